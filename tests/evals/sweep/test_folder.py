"""Sweeps in processes: complete, comparable, resumable at any kill."""

import json
import multiprocessing
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import FalconConfig, FalconForCausalLM

import layergym as lg
from layergym.agents.models.load import load_tokenizer
from layergym.agents.models.tiny import FOLDER
from layergym.base.files import write_json
from layergym.base.locks import locked
from layergym.cli.sweep import run_and_report
from layergym.command.console import output
from layergym.envs import InputError
from layergym.evals.report.build import build
from layergym.evals.result_files import read_sweep
from layergym.evals.sweep.executors.launch import Launch
from layergym.evals.sweep.executors.processes import Processes
from layergym.evals.sweep.folder import run_sweep, write_sweep
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.run_arm import run_arm
from layergym.evals.sweep.run_folder import finished
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import SweepSpec, read_spec
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec
from tests.small_runs import logged

SweepOf = Callable[..., SweepSpec]


def process_of(work: Callable[..., object], *given: object) -> BaseProcess:
    """A process that may be killed, of a server that has imported the libraries once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([Processes.__module__])
    return context.Process(target=work, args=given)


@pytest.fixture(scope="module")
def told(sweep_of: SweepOf, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a sweep that the command ran, by a short id, and what it printed."""
    folder, shown = tmp_path_factory.mktemp("work") / "sweep", StringIO()
    spec = replace(sweep_of(), run=replace(sweep_of().run, env="alfworld-v0"))
    with redirect_stdout(shown):
        assert run_and_report(spec, folder, Launch(jobs=2), output(Namespace())) == 0
    return folder, shown.getvalue()


def test_a_sweep_of_what_cannot_be_exact_leaves_no_folder(
    sweep_of: SweepOf, tmp_path: Path
) -> None:
    shape: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2}
    for part in (FalconForCausalLM(FalconConfig(**shape, alibi=True)), load_tokenizer(FOLDER)):
        part.save_pretrained(tmp_path / "falcon")
    spec = replace(sweep_of(), run=replace(sweep_of().run, model=str(tmp_path / "falcon")))
    with pytest.raises(InputError, match=r"falcon.*alibi"):
        write_sweep(spec, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_leaves_what_a_report_needs(sweep_of: SweepOf, told: tuple[Path, str]) -> None:
    folder, _ = told
    assert read_spec(folder) == sweep_of()
    sweep = read_sweep(folder)
    assert sweep.arms == ("base", "full", "layer-00", "layer-01")
    assert sweep.temperatures("base") == (1.0, 0.5, 0.0)
    assert sweep.temperatures("layer-01") == (1.0, 0.0)
    panels = {result.panel_hash for run in sweep.runs for result in run.evals}
    assert len(panels) == 1
    configs = [json.loads((run.path / "config.json").read_text()) for run in sweep.runs]
    assert {config["env"] for config in configs} == {"layergym/ALFWorld-v0"}
    for run in sweep.runs[1:]:
        assert [row["step"] for row in run.metrics] == [1, 2]
        assert run.cost.peak_memory_bytes
        assert not list(run.path.glob("checkpoint-*"))


def test_a_sweep_credits_as_the_published_implementation_does(
    sweep_of: SweepOf, tmp_path: Path
) -> None:
    """From `compat` to every arm's run, its weights and the report."""
    run = replace(sweep_of(steps=1).run, compat="verl-agent", invalid_penalty=0.1)
    few = replace(sweep_of().eval, size=2, repeats=1, base_temperatures=(1.0,))
    spec = replace(sweep_of(), run=run, eval=few, layers=(3,))
    assert run_sweep(write_sweep(spec, tmp_path / "sweep"), Processes(2)) == []
    [layer] = build([tmp_path / "sweep"]).profiles[0].measures[0].layers
    assert layer.layer == 3
    arms = [r.path for r in read_sweep(tmp_path / "sweep").runs if r.arm.trained]
    assert [RunSpec.read(path).credit.compat for path in arms] == ["verl-agent"] * 2
    other = replace(RunSpec.read(arms[1]), compat=None)
    train(other, tmp_path / "other")
    ours, theirs = (load_file(p / "delta.safetensors") for p in (tmp_path / "other", arms[1]))
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_command_reports_and_can_be_repeated(
    sweep_of: SweepOf, told: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, first = told
    assert run_and_report(sweep_of(), folder, Launch(jobs=2), output(Namespace())) == 0
    for shown in (first, capsys.readouterr().out):
        assert "contribution" in shown.lower()
        assert str(folder / "report" / "report.html") in shown.replace("\n", "")


def test_an_arm_killed_and_resumed_equals_one_that_was_not(
    sweep_of: SweepOf, tmp_path: Path
) -> None:
    spec = sweep_of(steps=4)
    arm = resolve(spec, tmp_path).runs[-1]
    run_arm(arm.run, spec.eval, arm.name, tmp_path / "whole")
    killed = tmp_path / "killed"
    process = process_of(run_arm, arm.run, spec.eval, arm.name, killed)
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
    assert any(row["grad_norm"] > 0 for row in logged(whole))
    assert logged(whole) == logged(killed)


def test_a_run_that_fails_is_named_and_the_others_go_on(sweep_of: SweepOf, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    rows = [{"layer": layer, "contribution": layer / 8} for layer in range(8)]
    write_json(profile, {"num_layers": 8, "layers": rows})
    spec = replace(sweep_of(), layers=(0,), extra=(f"top:1@{profile}",))
    sweep = write_sweep(spec, tmp_path / "sweep")
    profile.unlink()
    [failure] = run_sweep(sweep, Processes(2))
    assert "top-1, seed 0" in failure
    assert "no layer profile" in failure
    assert finished(tmp_path / "sweep" / "arms" / "layer-00" / "seed-0")


def test_a_killed_sweep_leaves_no_run_behind(sweep_of: SweepOf, tmp_path: Path) -> None:
    spec = sweep_of(steps=1000)
    full = tmp_path / "arms" / "full" / "seed-0" / "metrics.jsonl"
    sweep = process_of(run_sweep, write_sweep(spec, tmp_path), Processes(2))
    sweep.start()
    while not full.is_file() or not full.read_bytes():
        assert sweep.is_alive()
        time.sleep(0.05)
    sweep.kill()
    sweep.join()
    time.sleep(2)
    size = full.stat().st_size
    time.sleep(1)
    assert full.stat().st_size == size


def test_no_run_is_started_twice(sweep_of: SweepOf) -> None:
    with pytest.raises(InputError, match="each seed once"):
        replace(sweep_of(), seeds=(1, 1))


def test_nothing_starts_when_time_is_up(sweep_of: SweepOf, tmp_path: Path) -> None:
    write_sweep(sweep_of(), tmp_path)
    assert run_sweep(resolve(sweep_of(), tmp_path), Processes(2), deadline=time.time()) == []
    assert not (tmp_path / "arms").exists()


@pytest.mark.slow
def test_time_that_is_up_pauses_runs_at_a_checkpoint(sweep_of: SweepOf, tmp_path: Path) -> None:
    spec = replace(sweep_of(steps=500), layers=(3,))
    write_sweep(spec, tmp_path)
    full = tmp_path / "arms" / "full" / "seed-0"
    two = Processes(2)
    late: list[float] = []

    def until_it_trains() -> None:
        if not late and (full / "metrics.jsonl").is_file():
            late.append(time.time())

    for seconds in (6, 12, 24, 48, 96):  # However slow the machine is, it comes to train.
        deadline = time.time() + seconds
        assert (
            run_sweep(resolve(spec, tmp_path), two, deadline=deadline, on_poll=until_it_trains)
            == []
        )
        if late:
            break
    assert late and not finished(full) and not two.running
    assert list(full.glob("checkpoint-*"))


@pytest.mark.slow
def test_a_search_by_processes_is_resumed_to_the_same_decisions(
    sweep_of: SweepOf, tmp_path: Path
) -> None:
    dev = replace(sweep_of().eval, split="valid", size=32, repeats=1)
    games = {**sweep_of().run.env_args, "size": 60}
    spec = replace(
        sweep_of(steps=3),
        layers=(0, 3, 5, 7),
        search=Search(scan=2, race=(1,), lr_grid=(1e-3, 1e-2), dev=dev),
    )
    spec = replace(spec, run=replace(spec.run, env_args=games))
    write_sweep(spec, tmp_path)
    for _ in range(3):  # Killed on the way, by the limit.
        run_sweep(resolve(spec, tmp_path), Processes(2), deadline=time.time() + 8)
    assert run_sweep(resolve(spec, tmp_path), Processes(2)) == []
    sweep = read_sweep(tmp_path)
    assert {"base", "full", "layer-00", "layer-05", "layer-07"} <= set(sweep.arms)
    for run in sweep.runs[1:]:
        steps = [row["step"] for row in run.metrics]
        assert steps == sorted(set(steps))
        assert steps[-1] == (1 if run.manifest.get("stopped") else 3)
        assert bool(run.evals) is not bool(run.manifest.get("stopped"))


def test_a_folder_is_begun_once(sweep_of: SweepOf, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    write_sweep(sweep_of(), folder)
    before = (folder / "sweep.json").read_bytes()
    write_sweep(sweep_of(), folder)
    with pytest.raises(InputError, match="other settings"):
        write_sweep(replace(sweep_of(), layers=(5,)), folder)
    assert (folder / "sweep.json").read_bytes() == before


def test_a_sweep_that_another_process_runs_is_left_alone(sweep_of: SweepOf, tmp_path: Path) -> None:
    with locked(tmp_path / "sweep"), pytest.raises(InputError, match="another process"):
        lg.sweep(sweep_of(), tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()
