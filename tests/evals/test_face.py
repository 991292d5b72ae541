"""The functions of `layergym` for those who evaluate, and for those who want contributions."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import layergym as lg
from layergym.base.files import read_json
from layergym.evals.contribution.profile import profile
from layergym.evals.contribution.profile_file import write_profile
from layergym.evals.result_files import read_sweep
from layergym.evals.sweep.spec import read_spec

SweepOf = Callable[..., lg.SweepSpec]
GAMES = {"max_receptacles": 5, "num_objects": 4, "max_turns": 6}
TABLE = "layer,average,contribution\nBase,30,0.0\nFull,50,1.0\nL0,40,0.5\nL1,51,1.05\n"


def test_agents_are_scored_and_compared_with_the_first(tmp_path: Path) -> None:
    spec = lg.ContestSpec(env="alfworld-v0", env_args=GAMES, agents=("random", "expert"), size=6)
    random, expert = lg.evaluate(spec, str(tmp_path / "two")).rows
    assert (random.agent, expert.agent) == ("random", "expert")
    assert (random.episodes, random.missing, expert.errors) == (6, 0, 0)
    assert random.score and expert.score and expert.difference
    assert expert.difference.value == pytest.approx(expert.score.value - random.score.value)
    before = (tmp_path / "two" / "agents" / "expert" / "seed-0" / "trajectories.jsonl").read_text()
    again = lg.evaluate(spec, tmp_path / "two").rows
    after = (tmp_path / "two" / "agents" / "expert" / "seed-0" / "trajectories.jsonl").read_text()
    assert (again, after) == ((random, expert), before)


def test_every_layer_of_the_models_own_depth_is_swept() -> None:
    run = lg.RunSpec(env="alfworld-v0")
    spec = lg.every_layer(run, seeds=range(3))
    assert (spec.run, spec.layers, spec.num_layers) == (run, tuple(range(8)), 8)
    assert spec.seeds == (0, 1, 2)


def test_contributions_are_those_of_the_report(sweep_folder: Path) -> None:
    arms = lg.contributions(str(sweep_folder))
    assert [arm.layer for arm in arms] == list(range(6))
    assert arms == lg.report(sweep_folder).profiles[0].measures[0].layers


def test_contributions_are_read_without_torch(sweep_folder: Path) -> None:
    source = "import sys, layergym as lg\nprint(len(lg.contributions(sys.argv[1])))"
    source += "\nassert 'torch' not in sys.modules"
    command = [sys.executable, "-c", source, str(sweep_folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "6\n"


def test_contributions_come_from_profiles_and_published_tables_too(
    sweep_folder: Path, tmp_path: Path
) -> None:
    file, table = tmp_path / "profile.json", tmp_path / "published.csv"
    write_profile(file, profile(read_sweep(sweep_folder)))
    table.write_text(TABLE, encoding="utf-8")
    assert lg.contributions(file) == lg.contributions(sweep_folder)
    found = lg.contributions(table)
    shares = [arm.contribution.value for arm in found if arm.contribution]
    assert shares == pytest.approx([0.5, 1.05])


def test_a_report_is_written_only_where_one_is_asked_for(
    sweep_folder: Path, tmp_path: Path
) -> None:
    there = sorted(sweep_folder.iterdir())
    lg.report(sweep_folder)
    assert sorted(sweep_folder.iterdir()) == there
    lg.report(sweep_folder, out=tmp_path / "out")
    files = {"report.html", "report.json", "report.md", "profile.json"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == files


def test_a_folder_of_something_else_is_refused(sweep_of: SweepOf, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    for folder in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(lg.InputError, match="another folder"):
            lg.sweep(sweep_of(), folder)
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.slow
def test_a_sweep_is_run_once_and_can_be_read(sweep_of: SweepOf, tmp_path: Path) -> None:
    whole = sweep_of(steps=1)
    spec = replace(whole, run=replace(whole.run, env="alfworld-v0"), layers=(1,), num_layers=0)
    found = lg.sweep(spec, tmp_path)
    assert (read_spec(tmp_path).num_layers, found.num_layers) == (8, 8)
    assert found.measures[0].layers == lg.contributions(tmp_path)
    assert (tmp_path / "report" / "report.html").is_file()
    engines = len(read_json(tmp_path / "manifest.json")["executors"])
    costs = {file: file.stat().st_mtime_ns for file in tmp_path.glob("arms/*/*/cost.json")}
    assert len(costs) == 3
    assert lg.sweep(spec, tmp_path) == found  # Nothing is trained again.
    assert {file: file.stat().st_mtime_ns for file in costs} == costs
    assert len(read_json(tmp_path / "manifest.json")["executors"]) == engines + 1
    with pytest.raises(lg.InputError, match="other settings"):
        lg.sweep(replace(spec, seeds=(1,)), tmp_path)
