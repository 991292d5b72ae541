"""What a running sweep shows."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from layergym.base.files import write_json
from layergym.cli.views.sweep_view import SweepView
from layergym.evals.sweep.next_jobs import all_runs
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import ArmRun, SweepSpec
from layergym.trainer.spec import RunSpec


@pytest.fixture
def running(sweep_folder: Path) -> list[ArmRun]:
    """Base and full are done, layer 0 is scored but failed, layer 1 trains, layer 5 waits."""
    run = RunSpec(env="layergym/ALFWorld-v0", model="tiny", steps=20)
    found = resolve(SweepSpec(run=run, layers=(0, 1, 5), num_layers=6), sweep_folder).runs
    failed, training, waiting = (arm.folder for arm in found[2:])
    (failed / "error.txt").write_text("out of memory")
    shutil.rmtree(training / "evals")
    rows = (training / "metrics.jsonl").read_text().splitlines()[:8]
    (training / "metrics.jsonl").write_text("".join(row + "\n" for row in rows))
    shutil.rmtree(waiting)
    for folder in (failed, training):
        (folder / "cost.json").unlink()
    return found


def lines_of(watched: list[ArmRun], height: int = 24, *, terminal: bool) -> list[str]:
    """What one update shows on 80 columns."""
    console = Console(
        file=StringIO(), width=80, height=height, record=True, force_terminal=terminal
    )
    with SweepView(watched, console) as view:
        view.update()
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_log_gets_one_line_per_run_and_change(running: list[ArmRun]) -> None:
    out = StringIO()
    with SweepView(running, Console(file=out, width=80)) as view:
        view.update()
        view.update()
        shutil.copytree(running[2].folder, running[4].folder)
        view.update()
    lines = [line.split("] ")[1] for line in out.getvalue().splitlines()]
    assert lines[0].startswith("base seed 0: done (greedy ")
    assert lines[1].startswith("full seed 0: done (greedy ")
    assert lines[2:] == [
        "layer-00 seed 0: failed",
        "layer-01 seed 0: training",
        "layer-05 seed 0: failed",
    ]


def test_a_terminal_gets_a_table_and_the_scores_so_far(running: list[ArmRun]) -> None:
    lines = lines_of(running, terminal=True)
    assert max(map(len, lines)) <= 80
    rows = {line.split("  ")[0]: line for line in lines}
    assert "7/20" in rows["layer 1"] and "training" in rows["layer 1"]
    assert "failed" in rows["layer 0"] and "waiting" in rows["layer 5"]
    assert any(line.startswith("T=1: base ▁") and "best layer 0, " in line for line in lines)
    (strip,) = [line for line in lines if line.startswith("layers ")]
    assert len(strip) == len("layers ") + 3 and strip.endswith("··")
    assert any(line.startswith("2 of 5 runs done, 1 waiting, 0:0") for line in lines)


def test_columns_stay_where_they_are_while_numbers_come_in(running: list[ArmRun]) -> None:
    before = lines_of(running, terminal=True)
    training = running[3].folder
    (training / "metrics.jsonl").write_text(json.dumps({"step": 19, "success": 1.0}) + "\n")
    after = lines_of(running, terminal=True)
    heading = [next(line for line in lines if "greedy" in line) for lines in (before, after)]
    assert heading[0] == heading[1]


def test_a_short_terminal_shows_what_needs_attention(running: list[ArmRun]) -> None:
    text = "\n".join(lines_of(running, height=11, terminal=True))
    assert "failed" in text and "training" in text
    assert "layer 5" not in text and "2 of 5 runs done" in text


def test_time_left_counts_only_steps_of_this_call(running: list[ArmRun]) -> None:
    console = Console(file=StringIO(), width=80, height=24, record=True, force_terminal=True)
    with SweepView(running, console) as view:
        view.update()
        assert " left" not in console.export_text()
        metrics = running[3].folder / "metrics.jsonl"
        metrics.write_text(json.dumps({"step": 12, "success": 1.0}) + "\n")
        view.update()
    assert " left" in console.export_text()


def test_tuning_runs_and_stopped_layers_are_told_apart(sweep_folder: Path) -> None:
    run = RunSpec(env="layergym/ALFWorld-v0", model="tiny", steps=20)
    search = Search(race=(8,), lr_grid=(1e-3, 1e-2))
    spec = SweepSpec(run=run, layers=(0, 1), num_layers=6, search=search)
    watched = all_runs(resolve(spec, sweep_folder))
    tried = sweep_folder / "tuning" / "full" / "lr-0.001"
    shutil.copytree(sweep_folder / "arms" / "full" / "seed-0", tried)
    (tried / "cost.json").unlink()
    stop = sweep_folder / "arms" / "layer-01" / "seed-0"
    (stop / "cost.json").unlink()
    write_json(stop / "manifest.json", {"stopped": "far behind"})
    lines = lines_of(watched, terminal=True)
    (tuned,) = [line for line in lines if line.startswith("full lr 0.001")]
    assert "tuning" in tuned and "19/20" in tuned
    assert any(line.startswith("layer 1") and "stopped" in line for line in lines)
    assert any("1 stopped, " in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_episodes_that_were_cut_short_are_counted(running: list[ArmRun]) -> None:
    full, training = running[1].folder, running[3].folder
    scored = full / "evals" / "t1.0.json"
    scored.write_text(json.dumps(json.loads(scored.read_text()) | {"out_of_context": 3}))
    with (training / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 8, "success": 0.5, "episodes_failed": 2.0}) + "\n")
    lines = lines_of(running, terminal=True)
    [told] = [line for line in lines if line.startswith("cut short: ")]
    assert "full seed 0: 3 out of context" in told and "layer 1 seed 0: 2 errors" in told
    log = lines_of(running, terminal=False)
    assert any("layer-01 seed 0: training (2 errors)" in line for line in log)
    assert any("full seed 0: done" in line and "3 out of context" in line for line in log)


def test_episodes_with_a_shortened_history_are_counted(running: list[ArmRun]) -> None:
    scored = running[1].folder / "evals" / "t1.0.json"
    scored.write_text(json.dumps(json.loads(scored.read_text()) | {"shortened": 5}))
    lines = lines_of(running, terminal=True)
    assert "cut short: full seed 0: 5 with a shortened history" in lines


def test_without_such_episodes_nothing_is_said_of_them(running: list[ArmRun]) -> None:
    assert all("cut short" not in line for line in lines_of(running, terminal=True))
