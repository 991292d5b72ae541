"""Several agents on one panel: nothing is played twice, an error is nobody's failure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layergym as lg
from layergym.__main__ import main
from layergym.agents.servers.openai_client import RequestLimits
from layergym.agents.trajectories import NAME, Recorder, read_records
from layergym.base.locks import locked
from layergym.envs.core import Outcome, TextEnv
from layergym.evals import stats
from layergym.evals.report.build import build
from layergym.evals.report.model import Story, Table, Text
from layergym.evals.report.render.page import render
from layergym.evals.result_files import read_eval, read_run
from layergym.evals.score.contest import Contest, ContestSpec
from layergym.evals.score.standings import standings
from tests.http_server import HttpServer

HOSTILE = "<script>alert(1)</script>"


class Doors(TextEnv):
    """Some doors open by "push", the others by "pull"."""

    splits = ("test",)
    max_turns = 2

    def start(self) -> str:
        return f"Door {self.task}. {HOSTILE}"

    def play(self, action: str) -> Outcome:
        right = action == ("push" if int(self.task[-1]) % 2 else "pull")
        return Outcome("It opens." if right else "It stays.", float(right), right, True, right)

    def kind(self, task: str) -> str:
        return "odd" if int(task[-1]) % 2 else "even"

    def admissible(self) -> Sequence[str]:
        return ["push", "pull"]

    def expert(self) -> str:
        return "push" if int(self.task[-1]) % 2 else "pull"


lg.register("test/Doors-v0", Doors)


class Pusher:
    """A server that always says "push", and refuses the tasks it was told to refuse."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked += 1
                door = body["messages"][-1]["content"]
                refused = any(task in door for task in outer.refused)
                choice = {"message": {"content": "push"}, "finish_reason": "stop"}
                usage = {"prompt_tokens": 10, "completion_tokens": 1}
                data = json.dumps({"choices": [choice], "usage": usage}).encode()
                self.send_response(403 if refused else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HttpServer(("127.0.0.1", 0), Handler)
        self.name = f"openai:m@http://127.0.0.1:{self.http.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def pusher() -> Iterator[Pusher]:
    server = Pusher()
    yield server
    server.stop()


SPEC = ContestSpec(env="test/Doors-v0", agents=("expert", "random"), size=8, format="plain")
IMPATIENT = RequestLimits(retries=0)


def keys(contest: Contest, agent: str) -> list[tuple[str, int]]:
    path = contest.run_folder(agent, 0) / NAME
    return [(r.trajectory.task, r.trajectory.seed) for r in read_records(path)]


def test_agents_are_compared_on_the_same_tasks(tmp_path: Path) -> None:
    contest = Contest.open(replace(SPEC, repeats=3, seeds=(0, 1)), tmp_path)
    contest.play()
    found = standings(contest)
    expert, chance = found.rows
    assert (expert.episodes, expert.errors, expert.missing, len(found.tasks)) == (48, 0, 0, 8)
    assert expert.score and expert.score.value == 1.0
    assert chance.difference and chance.score
    assert chance.difference.value == pytest.approx(chance.score.value - 1)
    assert set(chance.kinds) == {"odd", "even"}
    assert (expert.turns, expert.invalid, expert.prompt_tokens) == (1.0, 0.0, None)


def test_results_are_run_folders(tmp_path: Path) -> None:
    contest = Contest.open(SPEC, tmp_path)
    contest.play()
    run = read_run(contest.run_folder("random", 0))
    [result] = run.evals
    assert (run.arm, result.arm, result.panel_hash) == ("random", "random", contest.panel.hash)
    played = contest.played("random", 0)
    assert [row[0] for row in result.success] == [played[j].success for j in contest.jobs(0)]


def test_what_a_model_saw_is_kept(tmp_path: Path) -> None:
    rooms = {"max_turns": 3, "max_receptacles": 5, "num_objects": 5}
    spec = ContestSpec(env="alfworld-v0", env_args=rooms, agents=("tiny", "random"), size=2)
    contest = Contest.open(spec, tmp_path / "eval")
    contest.play()
    for record in contest.records("tiny", 0):
        seen, said = record.trajectory.turns, record.details
        for turn, kept in zip(seen, said, strict=True):
            assert "".join(turn.observation.split()) in "".join(kept.prompt.split())
        assert [kept.extends for kept in said] == [False] + [True] * (len(seen) - 1)
        assert all(kept.logprobs and max(kept.logprobs) <= 0 for kept in said)
    assert all(record.details == () for record in contest.records("random", 0))


def test_what_was_played_is_not_played_again(tmp_path: Path) -> None:
    contest = Contest.open(SPEC, tmp_path)
    contest.play()
    before = (contest.run_folder("expert", 0) / NAME).read_bytes()
    Contest.open(SPEC, tmp_path).play()
    assert (contest.run_folder("expert", 0) / NAME).read_bytes() == before


def test_a_run_cut_anywhere_is_finished_without_loss_or_repetition(tmp_path: Path) -> None:
    whole = Contest.open(SPEC, tmp_path / "whole")
    whole.play()
    lines = (whole.run_folder("random", 0) / NAME).read_bytes()
    for cut in range(0, len(lines), 501):
        folder = tmp_path / str(cut)
        part = Contest.open(replace(SPEC, agents=("random",)), folder)
        part.run_folder("random", 0).mkdir(parents=True)
        (part.run_folder("random", 0) / NAME).write_bytes(lines[:cut])
        part.play(in_flight=3)
        assert len(keys(part, "random")) == 8
        assert part.played("random", 0) == whole.played("random", 0)


def test_an_error_is_reported_apart_and_played_again(tmp_path: Path, pusher: Pusher) -> None:
    prices = {pusher.name: (2.0, 10.0)}
    spec = replace(SPEC, agents=("expert", pusher.name), size=40, prices=prices)
    contest = Contest.open(spec, tmp_path)
    task = contest.panel.tasks[0]
    pusher.refused = {task}
    contest.play(IMPATIENT)
    expert, served = standings(contest).rows
    assert (served.episodes, served.errors, served.missing) == (39, 1, 0)
    assert "answered 403" in served.error
    assert served.score and expert.score
    solved = sum(int(t[-1]) % 2 for t in contest.panel.tasks[1:])
    assert served.score.value == pytest.approx(solved / 39)
    evals = contest.run_folder(pusher.name, 0) / "evals"
    assert not evals.exists()
    text = " ".join(b.text for s in build([tmp_path]).sections for b in s.blocks
                    if isinstance(b, Text))  # fmt: skip
    assert "1 episodes ended in errors and count in no score" in text
    assert "Scores are on the 39 tasks" in text

    pusher.refused = set()
    asked = pusher.asked
    Contest.open(spec, tmp_path).play(IMPATIENT)
    served = standings(contest).rows[1]
    assert (served.episodes, served.errors) == (40, 0)
    assert pusher.asked - asked <= 2
    assert len(read_eval(evals / "t1.0.json").tasks) == 40
    assert served.prompt_tokens == 10 * pusher.asked - 10
    assert served.cost == pytest.approx((served.prompt_tokens * 2 + pusher.asked * 10 - 10) / 1e6)


def test_with_many_errors_there_is_no_score_and_the_others_keep_theirs(
    tmp_path: Path, pusher: Pusher, capsys: Any
) -> None:
    tasks = Contest.open(replace(SPEC, size=40), tmp_path / "tasks").panel.tasks
    pusher.refused = set(tasks[-3:])
    agents = ["--agent", pusher.name, "expert", "random"]
    command = ["eval", "test/Doors-v0", *agents, "--eval-tasks", "40", "--format", "plain"]
    assert main([*command, "--retries", "0", "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr()
    assert f"{pusher.name}: 3 of 40 episodes ended in errors, so there is no score" in shown.err
    assert "403" in shown.err
    served, expert, chance = standings(Contest.read(tmp_path / "out")).rows
    assert (served.episodes, served.errors, served.score) == (37, 3, None)
    assert expert.score and expert.score.value == 1.0 and chance.score
    assert expert.difference is chance.difference is None  # Nothing to compare with.


@pytest.mark.parametrize(("cut", "refused"), [(4, False), (5, True)])
def test_more_than_a_tenth_out_of_context_is_no_score(
    cut: int, refused: bool, tmp_path: Path
) -> None:
    contest = Contest.open(replace(SPEC, agents=("expert",), size=40), tmp_path)
    contest.play()
    path = contest.run_folder("expert", 0) / NAME
    records = list(read_records(path))
    path.unlink()
    with Recorder(path) as recorder:
        for place, one in enumerate(records):
            short = replace(one.trajectory, ended="context", success=False)
            recorder.write(replace(one, trajectory=short) if place < cut else one)
    [row] = standings(contest).rows
    assert row.out_of_context == cut and (row.score is None) == bool(row.refused) == refused
    if row.score:
        assert row.score.value == pytest.approx(1 - cut / 40)
    assert f"{cut} episodes ended because its context was full" in " ".join(
        b.text for s in build([tmp_path]).sections for b in s.blocks if isinstance(b, Text)
    )


def test_episodes_with_a_shortened_history_count_and_are_told(tmp_path: Path) -> None:
    contest = Contest.open(replace(SPEC, agents=("expert",), size=8), tmp_path)
    contest.play()
    path = contest.run_folder("expert", 0) / NAME
    records = list(read_records(path))
    path.unlink()
    with Recorder(path) as recorder:
        for place, one in enumerate(records):
            first, *rest = one.trajectory.turns
            short = replace(first, reply=replace(first.reply, forgotten=int(place < 3)))
            turns = (short, *rest)
            recorder.write(replace(one, trajectory=replace(one.trajectory, turns=turns)))
    [row] = standings(contest).rows
    assert row.shortened == 3 and row.score and row.score.value == 1.0
    assert "expert: 3 episodes went on without their oldest turns" in " ".join(
        b.text for s in build([tmp_path]).sections for b in s.blocks if isinstance(b, Text)
    )


def test_a_server_that_is_gone_stops_its_agent_and_no_other(tmp_path: Path) -> None:
    pusher = Pusher()
    spec = replace(SPEC, agents=(pusher.name, "expert"))
    contest = Contest.open(spec, tmp_path)
    pusher.stop()
    contest.play(IMPATIENT, in_flight=2)
    served, expert = standings(contest).rows
    assert (served.episodes, served.errors, served.missing) == (0, 2, 6)
    assert (expert.episodes, expert.missing) == (8, 0)
    assert served.score is None
    assert expert.score and expert.score.value == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"agents": ("expert", "expert")},
        {"agents": ()},
        {"seeds": (1, 1)},
        {"repeats": 0},
        {"prices": {"nobody": (1.0, 1.0)}},
        {"agents": ("openai:m@nowhere",)},
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(lg.InputError):
        replace(SPEC, **changes)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    Contest.open(SPEC, tmp_path / "a")
    with pytest.raises(lg.InputError, match="other settings"):
        Contest.open(replace(SPEC, repeats=2), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("x")
    with pytest.raises(lg.InputError, match="holds no evaluation"):
        Contest.open(SPEC, tmp_path / "b")
    value = json.loads((tmp_path / "a" / "eval.json").read_text())
    value["panel"]["hash"] = "other"
    (tmp_path / "a" / "eval.json").write_text(json.dumps(value))
    with pytest.raises(lg.InputError, match="tasks have changed"):
        Contest.open(SPEC, tmp_path / "a")


def test_names_that_are_alike_have_folders_of_their_own(tmp_path: Path) -> None:
    contest = Contest.open(SPEC, tmp_path)
    names = ["openai:m@http://a/v1", "openai:m@http:/a/v1", "tiny", "~/m", "m"]
    folders = {contest.run_folder(name, 0) for name in names}
    assert len(folders) == 5
    assert all(folder.is_relative_to(tmp_path / "agents") for folder in folders)


def test_equal_agents_are_not_claimed_to_be_equal_for_sure() -> None:
    table = np.ones((1, 12))
    found = stats.difference_interval(table, table, np.zeros(100))
    assert found.value == 0 and found.low and found.high
    assert (found.low, found.high) == pytest.approx((-0.265, 0.265), abs=1e-3)
    found = stats.difference_interval(0 * table, table, np.zeros(100))
    assert found.high == 1.0 and found.low == pytest.approx(1 - 2 * 0.2646, abs=1e-3)


# ---- reports and the command line ----------------------------------------------------------------


def test_a_report_shows_episodes_and_runs_nothing_in_them(tmp_path: Path) -> None:
    Contest.open(SPEC, tmp_path).play()
    report = build([tmp_path])
    assert [s.heading for s in report.sections] == ["Agents", "Settings and manifest", "Episodes"]
    tables = [b for s in report.sections for b in s.blocks if isinstance(b, Table)]
    assert tables[0].columns[:3] == ("agent", "success (%)", "minus the first")
    stories = [b for s in report.sections for b in s.blocks if isinstance(b, Story)]
    assert any("expert" in story.title and "solved" in story.title for story in stories)
    page = render(report)
    assert "<script" not in page
    assert page.count('<details class="story">') == len(stories)


def test_the_command_goes_on_where_it_was(tmp_path: Path, capsys: Any) -> None:
    out = str(tmp_path / "out")
    command = ["eval", "test/Doors-v0", "--agent", "expert", "random", "--out", out]
    assert main([*command, "--eval-tasks", "6"]) == 0
    first = capsys.readouterr()
    assert "100.0 [54.1, 100.0]" in first.out
    assert "expert 6/6, 6 solved" in first.err
    assert main(["eval", "--resume", out]) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (first.out, "")
    assert main([*command, "--eval-tasks", "7"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_the_command_says_when_something_is_missing(tmp_path: Path, capsys: Any) -> None:
    command = ["eval", "test/Doors-v0", "--agent", "openai:m@http://127.0.0.1:1/v1", "--retries"]
    assert main([*command, "0", "--eval-tasks", "3"]) == 1
    assert "3 episodes ended in errors" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("price", ["m", "m=1", "m=1,x", "m=-1,1", "m=nan,1"])
def test_a_price_that_is_none(price: str, capsys: Any) -> None:
    assert main(["eval", "test/Doors-v0", "--agent", "m", "--price", price]) == 2
    assert "--price takes" in capsys.readouterr().err


def test_trajectories_in_the_terminal(tmp_path: Path, capsys: Any) -> None:
    contest = Contest.open(SPEC, tmp_path)
    contest.play()
    assert main(["trajectories", str(tmp_path), "--agent", "expert", "--limit", "3"]) == 0
    assert capsys.readouterr().out.count("solved") == 3
    failed = sum(not t.success for t in contest.played("random", 0).values())
    assert main(["trajectories", str(tmp_path), "--failed"]) == 0
    assert capsys.readouterr().out.count("truncated") == failed
    assert main(["trajectories", str(tmp_path), "--task", "odd", "--full", "--solved"]) == 0
    shown = capsys.readouterr().out
    assert "1> push" in shown
    assert "1> pull" not in shown


def test_the_terminal_is_not_at_the_mercy_of_what_was_said(tmp_path: Path, capsys: Any) -> None:
    contest = Contest.open(replace(SPEC, agents=("expert",)), tmp_path)
    contest.play()
    path = contest.run_folder("expert", 0) / NAME
    record = next(read_records(path))
    turn = replace(record.trajectory.turns[0], observation="\x1b]0;owned\x07\x1b[2J[red]x")
    hostile = replace(record.trajectory, turns=(turn,), task="\x1b[31mtask")
    with Recorder(tmp_path / "hostile.jsonl") as recorder:
        recorder.write(replace(record, trajectory=hostile))
    for options in ([], ["--full"]):
        assert main(["trajectories", str(tmp_path / "hostile.jsonl"), *options]) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_what_was_chosen_is_exported(tmp_path: Path, capsys: Any) -> None:
    Contest.open(SPEC, tmp_path / "run").play()
    out = tmp_path / "out.jsonl"
    export = ["trajectories", str(tmp_path / "run"), "--solved", "--export", str(out)]
    assert main(export) == 0
    records = list(read_records(out))
    assert records and all(record.trajectory.success for record in records)
    assert main(export) == 2
    assert "is there already" in capsys.readouterr().err


def test_two_evaluations_do_not_share_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "eval"
    line = ["eval", "alfworld-v0", "--agent", "random", "--eval-tasks", "2", "--out", str(folder)]
    with locked(folder):
        assert main(line) == 2
        with pytest.raises(lg.InputError, match="another process"):
            lg.evaluate(SPEC, folder)
    assert "another process" in capsys.readouterr().err
    assert not folder.exists()
