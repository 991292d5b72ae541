"""Bank or separate processes? A measurement of a few seconds on the machine at hand.

A bank pays where sampling waits for weights to be read or kernels to be launched, and not where
the cores are full already; which it is depends on the model, the machine and the rows of a run.
Measured is a short episode and an update: prompts, a few sampled tokens, and one pass with grad.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier

import numpy as np
import torch

from layergym.agents.models.compute import clock
from layergym.agents.models.requests import Request
from layergym.trainer.bank.bank import Bank
from layergym.trainer.bank.joint import joined
from layergym.trainer.bank.passes import Asked, all_scored
from layergym.trainer.layers.selection import select
from layergym.trainer.rows.trees import Ids, arrange, choose_trees
from layergym.trainer.spec import RunSpec

PROMPT, NEW = 16, 8
"""Tokens of every measured episode."""
ROWS = 256
"""Episodes in the measured bank at most, as long as it has two variants."""
ENOUGH_S = 1.0
"""Rounds are repeated until they have taken so long."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Which of the two samples and learns faster, in sampled tokens per second."""

    bank: float
    """All variants in one bank."""
    processes: float
    """`jobs` runs side by side, all together."""
    rows: int
    """Episodes of one run at a time."""
    variants: int
    """Variants in the measured bank."""
    jobs: int

    @property
    def faster(self) -> str:
        """The faster one: "bank" or "processes"."""
        return "bank" if self.bank > self.processes else "processes"

    def __str__(self) -> str:
        """Say what was measured and what follows."""
        why = (
            f"with {self.rows} episodes per run, a run alone waits more for weights and launches "
            "than for arithmetic"
            if self.faster == "bank"
            else f"with {self.rows} episodes per run the cores are full already"
        )
        return (
            f"{self.faster}: a bank of {self.variants} handles {self.bank:,.0f} tokens/s, "
            f"{self.jobs} process{'es' if self.jobs > 1 else ''} {self.processes:,.0f}; {why}"
        )


def compare_speeds(specs: Sequence[RunSpec], jobs: int) -> Speeds:
    """Go through random prompts by a bank of `specs`, and by `jobs` single runs side by side.

    Args:
        specs: runs that can share a bank, as `groups` finds them.
        jobs: processes that would run at a time.
    """
    rows = max(spec.tasks_per_step * spec.group_size for spec in specs)
    variants = min(len(specs), max(2, ROWS // rows))
    # Those that lie apart, as a bank of all does: its lowest and highest layers, and between.
    chosen = [specs[i * len(specs) // variants] for i in range(variants)]
    processes = _side_by_side(specs[0], rows, jobs)
    return Speeds(_speed(chosen, rows), processes, rows, variants, jobs)


def _side_by_side(spec: RunSpec, rows: int, jobs: int) -> float:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(jobs)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_prepare, initargs=(barrier, threads)
    ) as pool:
        return sum(pool.map(_speed_beside_others, [spec] * jobs, [rows] * jobs))


_barrier: Barrier | None = None


def _prepare(barrier: Barrier, threads: int) -> None:
    global _barrier
    _barrier = barrier
    torch.set_num_threads(threads)


def _speed_beside_others(spec: RunSpec, rows: int) -> float:
    assert _barrier is not None
    try:
        return _speed([spec], rows, _barrier)
    except BaseException:
        _barrier.abort()  # The others would wait for ever.
        raise


def _speed(specs: Sequence[RunSpec], rows: int, barrier: Barrier | None = None) -> float:
    """Tokens per second that a bank of `specs` samples and learns from, `rows` episodes each.

    A bank of one is an ordinary run. The best of a few rounds counts, unless they take long.
    """
    bank = Bank([replace(spec, max_new_tokens=NEW) for spec in specs])
    for variant, spec in zip(bank.views, specs, strict=True):
        select(variant, spec.layers)
    requests = _requests(bank, rows)
    if barrier:
        barrier.wait()
    best, spent = 0.0, 0.0
    while spent < ENOUGH_S:
        began = clock(bank.base.device)
        tokens = _round(bank, requests)
        took = clock(bank.base.device) - began
        best, spent = max(best, tokens / took), spent + took
    return best


def _round(bank: Bank, requests: Sequence[Request]) -> int:
    """Sample, and differentiate what was sampled; how many tokens that was."""
    joint = bank.sampler_at(bank.specs[0].temperature)
    samples = joint.sampler.sample(requests)
    joint.sampler.release([request.episode for request in requests])
    rows: list[list[Ids]] = [[] for _ in bank.specs]
    for request, sample in zip(requests, samples, strict=True):
        rows[joint.variant(request.episode)].append(request.ids + sample.ids)
    todo = [_asked(bank, variant, mine) for variant, mine in enumerate(rows)]
    entering = bank.passes.below(todo)
    todo = [replace(part, entering=hidden) for part, hidden in zip(todo, entering, strict=True)]
    while todo:
        scored = all_scored(bank.passes.score(todo))
        for part in scored:
            part.logprobs.sum().backward()
        bank.passes.backward(scored)
        todo = todo[len(scored) :]
    for view in bank.views:
        view.zero_grad()
    return sum(len(sample.ids) for sample in samples)


def _asked(bank: Bank, variant: int, rows: Sequence[Ids]) -> Asked:
    """The rows of a variant as its trainer would lay them out."""
    reach = bank.passes.reach
    trees = arrange(rows, choose_trees(rows, reach, len(rows)), reach)[1].to(bank.base.device)
    tokens = torch.arange(trees.places.shape[1], device=bank.base.device)
    lengths = torch.tensor([len(row) for row in trees.rows], device=bank.base.device)
    sampled = (tokens >= PROMPT) & (tokens < lengths[:, None])
    return Asked(variant, bank.starts[variant], trees, sampled, nullcontext)


def _requests(bank: Bank, rows: int) -> list[Request]:
    """First prompts of random tokens, the same in every variant and in all episodes of a group."""
    size = bank.base.config.get_text_config(decoder=True).vocab_size
    noise = np.random.default_rng(0)
    group = bank.specs[0].group_size
    prompts = [tuple(map(int, noise.integers(size, size=PROMPT))) for _ in range(rows)]
    return [
        Request(joined(row, variant), prompts[row // group], extends=False, seed=row)
        for variant in range(len(bank.specs))
        for row in range(rows)
    ]
