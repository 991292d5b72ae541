"""Sweeps in processes: complete, comparable, resumable at any kill."""

import json
import multiprocessing
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from layergym.agents.tiny import build_model, build_tokenizer
from layergym.cli.console import output
from layergym.cli.sweep import go
from layergym.envs import InputError, make
from layergym.evals.arm import EvalSpec, finished, run_arm
from layergym.evals.arms import SweepSpec, arms
from layergym.evals.engines.launch import Launch
from layergym.evals.engines.processes import Processes
from layergym.evals.results import read_sweep
from layergym.evals.sweep import read_spec, run_sweep, write_sweep
from layergym.trainer.run import RunSpec

GAMES = {"size": 12, "max_receptacles": 5, "num_objects": 3, "max_turns": 3}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer policy with random weights that knows a few of ALFWorld's words."""
    folder = tmp_path_factory.mktemp("policy")
    env = make("alfworld-v0", **GAMES)
    texts = [env.reset(seed=seed)[0] for seed in range(5)] + list(env.admissible() or ())
    tokenizer = build_tokenizer(texts)
    build_model(tokenizer, layers=2, width=32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text('{"model": "new"}')
    return folder


def sweep_of(policy: Path, steps: int = 2) -> SweepSpec:
    return SweepSpec(
        run=RunSpec(
            env="layergym/ALFWorld-v0",
            env_args=GAMES,
            model=str(policy),
            steps=steps,
            tasks_per_step=2,
            group_size=2,
            save_every=1,
        ),
        eval=EvalSpec(size=6, repeats=2, base_temperatures=(1.0, 0.5, 0.0)),
        layers=(0, 1),
        num_layers=2,
        seeds=(0,),
    )


def test_a_sweep_leaves_what_a_report_needs(policy: Path, tmp_path: Path) -> None:
    spec, folder = sweep_of(policy), tmp_path / "sweep"
    write_sweep(spec, folder)
    assert read_spec(folder) == spec
    assert run_sweep(spec, folder, Processes(2)) == []
    sweep = read_sweep(folder)
    assert sweep.arms == ("base", "full", "layer-00", "layer-01")
    assert sweep.temperatures("base") == (1.0, 0.5, 0.0)
    assert sweep.temperatures("layer-01") == (1.0, 0.0)
    panels = {result.panel_hash for run in sweep.runs for result in run.evals}
    assert len(panels) == 1
    for run in sweep.runs[1:]:
        assert [row["step"] for row in run.metrics] == [1, 2]
        assert run.cost.peak_memory_bytes
        assert not list(run.path.glob("checkpoint-*"))


def test_an_arm_killed_and_resumed_equals_one_that_was_not(policy: Path, tmp_path: Path) -> None:
    spec = sweep_of(policy, steps=4)
    arm = arms(spec, tmp_path)[-1]
    run_arm(arm.run, spec.eval, arm.name, tmp_path / "whole")
    killed = tmp_path / "killed"
    process = multiprocessing.get_context("spawn").Process(
        target=run_arm, args=(arm.run, spec.eval, arm.name, killed)
    )
    process.start()
    while not list(killed.glob("checkpoint-*")):
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not finished(killed)
    run_arm(arm.run, spec.eval, arm.name, killed)
    whole = tmp_path / "whole"
    assert finished(killed)
    for name in ("evals/t1.0.json", "evals/greedy.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes()
    one, other = (load_file(folder / "delta.safetensors") for folder in (whole, killed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert _steps(whole) == _steps(killed)


def _steps(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def test_a_run_that_fails_is_named_and_the_others_go_on(policy: Path, tmp_path: Path) -> None:
    spec = replace(sweep_of(policy), layers=(0, 7))
    write_sweep(spec, tmp_path)
    [failure] = run_sweep(spec, tmp_path, Processes(2))
    assert "layer-07, seed 0" in failure
    assert "there is no layer 7" in failure
    assert finished(tmp_path / "arms" / "layer-00" / "seed-0")


def test_a_killed_sweep_leaves_no_run_behind(policy: Path, tmp_path: Path) -> None:
    spec = sweep_of(policy, steps=1000)
    write_sweep(spec, tmp_path)
    code = "import sys; from pathlib import Path; from layergym.evals.sweep import *\n"
    code += "from layergym.evals.engines.processes import Processes\n"
    code += "run_sweep(read_spec(Path(sys.argv[1])), Path(sys.argv[1]), Processes(1))"
    full = tmp_path / "arms" / "full" / "seed-0" / "metrics.jsonl"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as sweep:
        while not full.is_file() or not full.read_bytes():
            assert sweep.poll() is None
            time.sleep(0.05)
        sweep.kill()
    time.sleep(2)
    size = full.stat().st_size
    time.sleep(1)
    assert full.stat().st_size == size


def test_no_run_is_started_twice(policy: Path) -> None:
    with pytest.raises(InputError, match="each seed once"):
        replace(sweep_of(policy), seeds=(1, 1))


def test_the_command_reports_and_can_be_repeated(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    for _ in range(2):
        assert go(sweep_of(policy), folder, Launch(jobs=2), output(Namespace())) == 0
        shown = capsys.readouterr().out
        assert "contribution" in shown.lower()
        assert str(folder / "report" / "report.html") in shown.replace("\n", "")
