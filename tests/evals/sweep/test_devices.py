"""Which GPU takes which run, with GPUs that `nvidia-smi` speaks of and nobody has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from layergym.base.errors import InputError
from layergym.evals.sweep.executors.bank import banks
from layergym.evals.sweep.executors.choose import open_executor
from layergym.evals.sweep.executors.devices import GPU, gpus, run_bytes, seats
from layergym.evals.sweep.executors.launch import Launch
from layergym.evals.sweep.jobs import SweepJob
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.spec import RunSpec

GB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs of 80 GiB, of which the first is half taken."""
    told = tmp_path / "bin" / "nvidia-smi"
    told.parent.mkdir()
    told.write_text("#!/bin/sh\necho 0, GPU-aa, 40960, 81920\necho 1, GPU-bb, 81920, 81920\n")
    told.chmod(0o755)
    monkeypatch.setenv("PATH", str(told.parent), prepend=":")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("", [("0", 40 * GB), ("1", 80 * GB)]),
        ("1", [("1", 80 * GB)]),
        ("GPU-bb,GPU-aa", [("GPU-bb", 80 * GB), ("GPU-aa", 40 * GB)]),
        ("MIG-cc", [("MIG-cc", 0)]),
    ],
)
def test_gpus_are_those_that_may_be_used(
    visible: str, found: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [(gpu.name, gpu.free) for gpu in gpus()] == found


def test_a_machine_that_tells_nothing_has_one_run_per_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = seats(gpus(), 1.0, cores=16, jobs=None)
    assert [(seat.name, seat.share) for seat in found] == [("0", 1.0), ("1", 1.0), ("2", 1.0)]


def test_runs_go_where_there_is_memory() -> None:
    devices = GPU("0", 40 * GB, 80 * GB), GPU("1", 80 * GB, 80 * GB)
    found = seats(devices, 20 * GB, cores=16, jobs=None)
    assert Counter(seat.name for seat in found) == {"0": 2, "1": 4}
    assert found[0].name == "1"
    assert {(seat.name, seat.share) for seat in found} == {("0", 0.25), ("1", 0.25)}


@pytest.mark.parametrize(
    ("need", "cores", "jobs", "many"),
    [
        (20 * GB, 3, None, 3),  # A core for each.
        (200 * GB, 16, None, 2),  # None fits twice: every GPU has one all the same.
        (20 * GB, 16, 5, 5),
        (20 * GB, 16, 1, 1),
        (20 * GB, 1, None, 2),
    ],
)
def test_how_many_run_side_by_side(need: float, cores: int, jobs: int | None, many: int) -> None:
    devices = GPU("0", 80 * GB, 80 * GB), GPU("1", 80 * GB, 80 * GB)
    found = seats(devices, need, cores, jobs)
    assert len(found) == many
    for device in ("0", "1"):
        assert sum(seat.share for seat in found if seat.name == device) <= 1.0


def test_a_run_needs_its_model_and_what_steps_it() -> None:
    tiny = run_bytes(RunSpec(env="alfworld-v0"))
    assert 3e9 < tiny < 3.1e9
    assert run_bytes(RunSpec(env="alfworld-v0", beta=0.1)) > tiny


def test_a_sweep_uses_the_gpus_unless_it_is_told_otherwise(
    sweep_of: Callable[..., SweepSpec], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = sweep_of()
    anywhere = resolve(spec, tmp_path)
    on_cpu = resolve(replace(spec, run=replace(spec.run, device="cpu")), tmp_path)
    request.getfixturevalue("machine")
    assert str(open_executor(Launch(jobs=5), anywhere)).endswith("5 at a time on 2 GPUs")
    assert "GPU" not in str(open_executor(Launch(jobs=5), on_cpu))


def test_banks_leave_no_gpu_idle(sweep_of: Callable[..., SweepSpec], tmp_path: Path) -> None:
    spec = replace(sweep_of(), layers=tuple(range(6)))
    jobs = [SweepJob(arm, spec.eval) for arm in resolve(spec, tmp_path).runs]
    assert [len(bundle) for bundle in banks(jobs)] == [1, 1, 6]
    assert [len(bundle) for bundle in banks(jobs, at_once=4)] == [1, 1, 2, 2, 2]


def test_a_run_takes_one_gpu_of_a_cluster() -> None:
    with pytest.raises(InputError, match=r"gpus .* to 1, not 8"):
        Launch(on="ray", gpus=8)
