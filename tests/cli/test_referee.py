"""A referee's result: what it says, how it is checked, what it is not compared with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layergym.__main__ import main
from layergym.base.errors import InputError
from layergym.base.files import read_json, write_json
from layergym.cli.presets import fixed_panels, presets
from layergym.command.options import env_args
from layergym.envs import make, panel
from layergym.evals.score.contest import ContestSpec
from layergym.evals.score.referee import PanelAsked, referee, result_digest
from layergym.evals.score.referee_check import check_result, compare_results, read_result


@pytest.fixture(scope="session")
def refereed(games: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The result of an agent on three tasks of either panel."""

    def scored(agent: str) -> Path:
        folder = tmp_path_factory.mktemp("referee")
        line = f"referee {agent} --preset gigpo-alfworld --eval-tasks 3 --env-arg games={games}"
        assert main([*line.split(), "--env-arg", "max_turns=30", "--out", str(folder)]) == 0
        return folder / "referee.json"

    return scored


@pytest.fixture(scope="session")
def expert(refereed: Callable[[str], Path]) -> Path:
    return refereed("expert")


def test_the_result_names_its_panels_and_types_of_games(expert: Path) -> None:
    result = read_result(expert)
    assert [one["name"] for one in result["panels"]] == ["valid_seen", "valid_unseen"]
    for one in result["panels"]:
        assert (one["tasks"], one["whole"], len(one["hash"])) == (3, False, 64)
        assert set(one["kinds"]) <= {"pick_and_place_simple", "look_at_obj_in_light"}
        assert sum(kind["tasks"] for kind in one["kinds"].values()) == 3
        won = sum(episode["success"] for episode in one["episodes"]) / 3
        assert one["success"]["value"] == pytest.approx(won)
        assert one["success"]["low"] <= won <= one["success"]["high"]
        assert one["settings"]["env_args"] == {"max_turns": 30}, "a place means nothing elsewhere"
    assert str(expert.parent) not in expert.read_text()


def test_others_can_check_it_without_the_model(
    expert: Path, games: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["referee", "--check", str(expert), "--env-arg", f"games={games}"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert said.count("3 of 3 episodes come out the same") == 2 and "WRONG" not in said
    assert main(line[:3]) == 0, "what cannot be looked at here is not wrong"
    assert "not checked" in capsys.readouterr().out


def _success(one: dict[str, Any]) -> None:
    one["episodes"][0]["success"] = not one["episodes"][0]["success"]


def _action(one: dict[str, Any]) -> None:
    one["episodes"][0]["actions"] = one["episodes"][0]["actions"][:-1]


def _score(one: dict[str, Any]) -> None:
    one["success"]["value"] += 0.01


def _hash(one: dict[str, Any]) -> None:
    one["hash"] = "0" * 64


@pytest.mark.parametrize("change", [_success, _action, _score, _hash])
def test_a_result_that_was_changed_does_not_hold(
    expert: Path, games: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    values = copy.deepcopy(read_result(expert))
    change(values["panels"][0])
    there = {"games": str(games)}
    assert [f.what for f in check_result(values, there) if f.holds is False]
    values["digest"] = result_digest(values)  # Whoever forges it can also write a new digest.
    wrong = [finding.what for finding in check_result(values, there) if finding.holds is False]
    assert wrong and all("as it was written" not in what for what in wrong)


def test_two_results_are_compared_on_the_same_panels_only(
    expert: Path,
    refereed: Callable[[str], Path],
    games: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = refereed("random")
    difference = compare_results(read_result(expert), read_result(other))
    assert all(found.value < 0 for found in difference.values())
    assert main(["referee", "--check", str(expert), str(other)]) == 0
    assert "second minus first" in capsys.readouterr().out
    for name, value in (("hash", "1" * 64), ("settings", {"repeats": 2, "env_args": {}})):
        changed = read_json(other)
        changed["panels"][1][name] = value
        with pytest.raises(InputError, match="cannot be compared"):
            compare_results(read_result(expert), changed)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"format": 1, "panels": []}', b'{"format": 1, "panels": [{}]}', b"\xff", b"[1]"],
)
def test_what_is_no_result_is_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert main(["referee", "--check", str(tmp_path / "x.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_another_panel_than_the_published_one_is_refused_before_it_is_played(
    games: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"referee expert --preset gigpo-alfworld --env-arg games={games} --out {tmp_path / 'r'}"
    assert main(line.split()) == 2
    assert "140" in capsys.readouterr().err
    assert not list((tmp_path / "r").rglob("trajectories.jsonl"))


@pytest.mark.parametrize(
    ("preset", "place", "data", "where"),
    [
        ("gigpo-alfworld", 0, "json_2.1.1", "games=alfworld"),
        ("gigpo-webshop", 0, "items_shuffle_1000", "data=webshop"),
        ("gigpo-webshop", 0, "generated", ""),
    ],
)
def test_the_recorded_hashes_are_those_of_the_data(
    shared_data: Path, preset: str, place: int, data: str, where: str
) -> None:
    one = fixed_panels(preset)[place]
    name, _, folder = where.partition("=")
    settings = env_args([*one.env_arg, *([f"{name}={shared_data / folder}"] if where else [])])
    found = panel(
        make(presets()[preset].settings["eval"]["env"].value, split=one.split, **settings)
    )
    assert (len(found), found.hash) == (one.tasks, one.data[data])


@pytest.mark.parametrize(("last", "told"), [("", 0), ("0" * 64, 2)])
def test_other_data_than_the_published_are_refused_unless_some_are_not_recorded(
    last: str, told: int, tmp_path: Path
) -> None:
    rooms = {"size": 6, "max_turns": 3}
    spec = ContestSpec(env="alfworld-v0", env_args=rooms, split="test", agents=("expert",))
    asked = PanelAsked(name="it", spec=spec, tasks=6, data={"one": "1" * 64, "other": last})
    if told:
        with pytest.raises(InputError, match="published data"):
            referee("any", [asked], tmp_path / "r")
    else:
        [found] = referee("any", [asked], tmp_path / "r")["panels"]
        assert (found["data"], found["recorded"], found["whole"]) == ("other", False, True)


def test_a_whole_panel_of_known_data_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"referee expert --preset gigpo-webshop --out {tmp_path / 'r'}"
    assert main(line.split()) == 0
    [found] = read_result(tmp_path / "r" / "referee.json")["panels"]
    assert (found["tasks"], found["data"], found["recorded"]) == (500, "generated", True)
    said = " ".join(capsys.readouterr().out.split())
    assert "generated, by its recorded hash" in said


def test_every_published_panel_says_who_scores_on_it() -> None:
    having = [preset.name for preset in presets().values() if preset.panels]
    assert having == ["gigpo-alfworld", "gigpo-webshop"]
    for name in having:
        assert all(one.source and one.tasks for one in fixed_panels(name))
    with pytest.raises(InputError):
        fixed_panels("layers-math")


def test_a_run_folder_is_an_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rooms = "alfworld-v0 --env-arg max_turns=4 --env-arg size=12"
    run = tmp_path / "run"
    train = f"train {rooms} --layers 3 --steps 1 --tasks 1 --group 2 --quiet --out {run}"
    assert main(train.split()) == 0
    capsys.readouterr()
    score = f"eval {rooms} --agent tiny {run} --eval-tasks 2 --json --out {tmp_path / 'e'}"
    assert main(score.split()) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["agent"] for row in rows] == ["tiny", str(run)]
    assert all(row["episodes"] == 2 for row in rows)
    write_json(run / "config.json", read_json(run / "config.json") | {"model": "nowhere/at/all"})
    assert main(score.replace(str(tmp_path / "e"), str(tmp_path / "f")).split()) == 2
