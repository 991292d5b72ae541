"""What the page is told of runs, sweeps and evaluations."""

from __future__ import annotations

import json
import shutil
from math import isclose
from pathlib import Path

import pytest

from layergym.agents.trajectories import NAME, read_records, write_records
from layergym.base.errors import InputError
from layergym.base.files import read_json, write_json
from layergym.base.locks import LOCK, locked
from layergym.cli.browse.library import Library
from layergym.evals.result_files import read_eval


def test_all_that_a_folder_holds_is_listed_once(library: Library) -> None:
    rows = {row["name"]: row for row in library.answer("runs")["runs"]}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "eval": "evaluation",
        "run": "run",
        "sweep": "sweep",
    }
    assert {row["state"] for row in rows.values()} == {"done"}
    assert (rows["run"]["step"], rows["run"]["steps"], rows["run"]["layers"]) == (1, 1, "3")


def test_a_run_says_what_it_logged(library: Library, number: dict[str, int], runs: Path) -> None:
    at = number["run"]
    found = library.answer(f"run/{at}")
    assert found["measures"][:2] == ["success", "reward"]
    assert ["env", "layergym/ALFWorld-v0"] in [list(pair) for pair in found["settings"]]
    [curve] = library.answer(f"curves/{at}", "reward")["curves"]
    logged = json.loads((runs / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert (curve["x"], curve["y"]) == ([1], [logged["reward"]])


def test_a_sweep_has_a_curve_for_every_run_and_contributions_by_depth(
    library: Library, number: dict[str, int], runs: Path
) -> None:
    at = number["sweep"]
    lines = library.answer(f"run/{at}")["runs"]
    assert [(line["arm"], line["seed"]) for line in lines] == [
        ("base", "0"),
        ("full", "0"),
        ("layer 0", "0"),
    ]
    scored = read_eval(runs / "sweep/arms/layer-00/seed-0/evals/t1.0.json")
    assert lines[2]["scores"]["t1.0"] == float(scored.rates.mean())
    trained = [curve["arm"] for curve in library.answer(f"curves/{at}", "success")["curves"]]
    assert trained == ["full", "layer 0"]
    shares = library.answer(f"contributions/{at}")
    assert shares["num_layers"] == 8
    [layer] = [arm for arm in shares["measures"][0]["arms"] if arm["layer"] is not None]
    assert layer["score"]["value"] == lines[2]["scores"]["t1.0"]


def test_an_episode_of_training_comes_with_its_group_prompts_tokens_and_credit(
    library: Library, number: dict[str, int], runs: Path
) -> None:
    at = number["run"]
    listed = library.answer(f"episodes/{at}")["episodes"]
    assert len(listed) == 4 and {line["from"] for line in listed} == {"training"}
    group = library.answer(f"episode/{at}/{listed[1]['id']}")
    assert (group["chosen"], len(group["episodes"])) == (1, 4)
    for episode in group["episodes"]:
        assert episode["turns"][0]["prompt"].startswith("<obs>")
        for turn in episode["turns"]:
            assert "".join(turn["pieces"]).startswith(turn["reply"])
            assert len(turn["pieces"]) == len(turn["logprobs"]) <= turn["tokens"][1]
            assert "episode_part" in turn
    first = {episode["turns"][0]["state"] for episode in group["episodes"]}
    assert first == {0}, "all episodes of a group begin in one state"


def test_evaluations_of_a_sweep_keep_the_same_tasks_for_every_arm(
    library: Library, number: dict[str, int]
) -> None:
    listed = library.answer(f"episodes/{number['sweep']}")["episodes"]
    scored = [line for line in listed if line["from"] == "t1.0"]
    runs = {line["run"] for line in scored}
    assert runs == {"base, seed 0", "full, seed 0", "layer 0, seed 0"}
    tasks = [{line["task"] for line in scored if line["run"] == run} for run in runs]
    assert tasks[0] == tasks[1] == tasks[2] and len(tasks[0]) == 2


def test_a_sweep_that_goes_on_says_how_many_runs_it_will_have(runs: Path, tmp_path: Path) -> None:
    sweep = shutil.copytree(runs / "sweep", tmp_path / "sweep")
    [line] = Library([tmp_path]).answer("runs")["runs"]
    assert (line["state"], line["step"], line["steps"]) == ("done", 3, 3)
    shutil.rmtree(sweep / "report")
    shutil.rmtree(sweep / "arms" / "layer-00")
    settings = read_json(sweep / "sweep.json")
    for change, steps in (({"seeds": [0, 1]}, 5), ({"extra": ["lora"]}, 4), ({"layers": "?"}, 2)):
        write_json(sweep / "sweep.json", settings | change)
        with locked(sweep):
            [line] = Library([tmp_path]).answer("runs")["runs"]
        assert (line["state"], line["step"], line["steps"]) == ("going", 2, steps)


@pytest.mark.parametrize("name", ["run", "sweep", "eval"])
def test_what_no_process_works_on_any_more_is_stopped(
    runs: Path, tmp_path: Path, name: str
) -> None:
    """As a process leaves it that was killed: unfinished, with its lock, which nobody holds."""
    folder = shutil.copytree(runs / name, tmp_path / name)
    shutil.rmtree(folder / "report", ignore_errors=True)
    for ended in ("delta.safetensors", "cost.json", "t1.0.json"):
        for file in folder.rglob(ended):
            file.unlink()
    (folder / LOCK).touch()
    library = Library([tmp_path])
    with locked(folder):
        assert library.answer("runs")["runs"][0]["state"] == "going"
        assert {run["state"] for run in library.answer("run/0")["runs"]} == {"going"}
    (folder / LOCK).touch()
    assert library.answer("runs")["runs"][0]["state"] == "stopped"
    assert {run["state"] for run in library.answer("run/0")["runs"]} == {"stopped"}


def test_a_run_that_goes_on_is_followed(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "run", tmp_path / "run")
    for name in ("delta.safetensors", "cost.json"):
        (run / name).unlink(missing_ok=True)
    library = Library([tmp_path])
    with locked(run):
        [line] = library.answer("runs")["runs"]
    assert (line["state"], line["step"]) == ("going", 1)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "success": 1.0}\n{"step": 3, "succ')
    assert library.answer("runs")["runs"][0]["step"] == 2
    assert library.answer("curves/0", "success")["curves"][0]["y"][-1] == 1.0
    before = library.answer("episodes/0")["episodes"]
    with (run / NAME).open("ab") as file:
        file.write((runs / "run" / NAME).read_bytes())
    assert len(library.answer("episodes/0")["episodes"]) == 2 * len(before)
    write_records(run / NAME, list(read_records(runs / "run" / NAME))[:1])
    assert len(library.answer("episodes/0")["episodes"]) == 1
    shutil.copytree(runs / "sweep", tmp_path / "later")
    assert [line["name"] for line in library.answer("runs")["runs"]] == ["run", "later"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nothing",
        "run",
        "run/99",
        "run/-1",
        "run/../../etc/passwd",
        "run/0/..",
        "runs/0",
        "curves/\u0663",
        "episode/0",
        "run/" + "9" * 5000,
    ],
)
def test_an_address_is_no_path(library: Library, address: str) -> None:
    with pytest.raises(KeyError):
        library.answer(address)


@pytest.mark.parametrize("name", ["..", "0", "0.999", "9.0", "a.b", "0.0/..", "\u0660.0"])
def test_an_episode_is_named_by_two_numbers(
    library: Library, number: dict[str, int], name: str
) -> None:
    with pytest.raises((KeyError, InputError)):
        library.answer(f"episode/{number['run']}/{name}")


@pytest.mark.parametrize("file", ["config.json", "metrics.jsonl", NAME])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"[1]\n", b'{"step": 1e999}\n'])
def test_a_damaged_file_is_a_problem_of_its_own_folder(
    runs: Path, tmp_path: Path, file: str, content: bytes
) -> None:
    shutil.copytree(runs / "run", tmp_path / "bad")
    shutil.copytree(runs / "run", tmp_path / "good")
    (tmp_path / "bad" / file).write_bytes(content)
    library = Library([tmp_path])
    bad, good = library.answer("runs")["runs"]
    assert "problem" not in good
    refused = {"config.json": content[:1] != b"{", "metrics.jsonl": content != b"", NAME: False}
    assert ("problem" in bad) == refused[file]
    for what in ("run", "curves", "contributions", "episodes"):
        library.answer(f"{what}/0")


def test_the_parts_of_an_advantage_add_up(library: Library, number: dict[str, int]) -> None:
    at = number["sweep"]
    names = [
        e["id"] for e in library.answer(f"episodes/{at}")["episodes"] if e["from"] == "training"
    ]
    seen = 0
    for name in names:
        for episode in library.answer(f"episode/{at}/{name}")["episodes"]:
            parts = {turn["episode_part"] for turn in episode["turns"]}
            assert len(parts) == 1, "what compares episodes is the same for all of its turns"
            seen += any(not isclose(t["advantage"], t["episode_part"]) for t in episode["turns"])
    assert names
