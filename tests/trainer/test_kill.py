"""kill -9 at any moment: the resumed run ends exactly like one that was never interrupted."""

from __future__ import annotations

import random
import signal
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from layergym.trainer.run import train
from tests.small_runs import logged, small_run

KILLS, STEPS = 10, 36
SPEC = small_run(max_turns=5, steps=STEPS, invalid_penalty=0.1, beta=0.1, save_every=2)
"""A checkpoint every other step: what was done since the last one is done again."""


def start(folder: Path) -> BaseProcess:
    """A run in a process of its own, of a server that has imported the libraries once."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["layergym.trainer.run"])
    run = context.Process(target=train, args=(SPEC, folder), kwargs={"resume": True})
    run.start()
    return run


def steps_written(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def left_behind(folder: Path) -> tuple[bytes, list[dict[str, float]]]:
    """The trained weights, and every metric that does not depend on the machine."""
    return (folder / "delta.safetensors").read_bytes(), logged(folder)


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    run = start(straight)
    began = None
    while run.is_alive():
        if began is None and steps_written(straight):
            began = time.monotonic()
        run.join(0.01)
    assert run.exitcode == 0 and began is not None
    step_s = (time.monotonic() - began) / STEPS

    moments = random.Random(0)
    progress = [0, *sorted(moments.sample(range(1, STEPS - 4), KILLS - 1))]
    killed_at = []
    for least in progress:
        run = start(broken)
        while steps_written(broken) < least:
            assert run.is_alive()
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 2.0) * step_s)  # Anywhere: rollout, update, writing.
        run.kill()
        run.join()
        assert run.exitcode == -signal.SIGKILL
        killed_at.append(steps_written(broken))
    print(f"killed with {killed_at} of {STEPS} steps written")

    run = start(broken)
    run.join()
    assert run.exitcode == 0
    weights, metrics = left_behind(broken)
    assert [row["step"] for row in metrics] == list(range(1, STEPS + 1))
    assert (weights, metrics) == left_behind(straight)
