"""Variants of one model, all in one batch against one after another: CPU time, and equality.

    python -m benchmarks.dissect SWEEP                     # the default sets of seed 0
    python -m benchmarks.dissect SWEEP --sets shapley --tasks 20

Both ways play the same variants on the same tasks in the same process, in turns, so that the ratio
holds on a machine that is busy with other things. Wanted are equal episodes: every reply, token for
token. Environments that remember what they made (ALFWorld's games) have been asked for all tasks
before.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from layergym.agents.llm import LLMAgent
from layergym.agents.rollouts import Job, rollout
from layergym.agents.types import Trajectory
from layergym.evals.contribution.cuts import DEFAULT, SETS, Cut, Stack, cuts, layers_named
from layergym.evals.result_files import read_sweep
from layergym.evals.score.evaluate import CHUNK, panel_jobs
from layergym.evals.stats.shapley import every_coalition
from layergym.evals.sweep.spec import read_spec
from layergym.evals.sweep.variants import Bench, Runs
from layergym.trainer.bank.together import Together
from layergym.trainer.layers.variants import Variant
from layergym.trainer.run import agent_of
from layergym.trainer.spec import make_env_of

T = TypeVar("T")


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(DEFAULT), choices=[*SETS, "shapley"])
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = _bench(args.sweep, args.tasks)
    variants = [bench.variant(cut, args.seed) for cut in _cuts(bench, args.sets, args.seed)]
    jobs = panel_jobs(bench.panel, 1, 0)
    for job in jobs:
        make_env_of(bench.run, bench.spec.split)().reset(seed=job.seed, options={"task": job.task})
    one, one_s = _timed(lambda: [_alone(bench, variant, jobs) for variant in variants])
    all_, all_s = _timed(lambda: _together(bench, variants, jobs))
    pairs = [
        (left, right)
        for mine, theirs in zip(one, all_, strict=True)
        for left, right in zip(mine, theirs, strict=True)
    ]
    print(
        json.dumps(
            {
                "variants": len(variants),
                "episodes_each": len(jobs),
                "one_after_another_cpu_s": round(one_s, 1),
                "in_one_batch_cpu_s": round(all_s, 1),
                "ratio": round(one_s / all_s, 2),
                "episodes": len(pairs),
                "episodes_with_equal_tokens": sum(_said(a) == _said(b) for a, b in pairs),
                "episodes_with_equal_outcome": sum(
                    (a.success, a.total_reward) == (b.success, b.total_reward) for a, b in pairs
                ),
                "largest_difference_of_a_log_probability": max(_apart(a, b) for a, b in pairs),
            },
            indent=1,
        )
    )


def _bench(folder: Path, tasks: int) -> Bench:
    settings, sweep = read_spec(folder), read_sweep(folder)
    done = {(run.arm, run.seed): run.path / "delta.safetensors" for run in sweep.runs}
    runs = Runs(
        {seed: path for (arm, seed), path in done.items() if arm == "full"},
        {(a.layer, s): path for (a, s), path in done.items() if a.layer is not None},
    )
    return Bench(settings.run, replace(settings.eval, size=tasks), runs, 1.0)


def _cuts(bench: Bench, sets: Sequence[str], seed: int) -> list[Cut]:
    alone = sorted(layer for layer, of in bench.runs.alone if of == seed)
    stack = Stack(bench.layers, bench.modules, tuple(alone))
    found = [Cut("base"), Cut("full"), *cuts([name for name in sets if name in SETS], stack)]
    if "shapley" in sets:
        found += [Cut("moved", layers_named(c)) for c in every_coalition(bench.layers) if c]
    return list(dict.fromkeys(found))


def _alone(bench: Bench, variant: Variant, jobs: Sequence[Job]) -> list[Trajectory]:
    undo = variant.delta.put(bench.model)
    try:
        return _play(bench, agent_of(bench.run, bench.model, bench.tokenizer, 1.0), jobs)
    finally:
        undo.put(bench.model)


def _together(
    bench: Bench, variants: Sequence[Variant], jobs: Sequence[Job]
) -> list[list[Trajectory]]:
    both = Together(bench.model, [variant.delta for variant in variants])
    agent = agent_of(bench.run, both.model, bench.tokenizer, 1.0, variants=both)
    played = _play(bench, agent, [job for job in jobs for _ in variants])
    return [played[place :: len(variants)] for place in range(len(variants))]


def _play(bench: Bench, agent: LLMAgent, jobs: Sequence[Job]) -> list[Trajectory]:
    return rollout(agent, make_env_of(bench.run, bench.spec.split), jobs, in_flight=CHUNK)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    return work(), time.process_time() - began


def _said(played: Trajectory) -> list[tuple[int, ...]]:
    return [turn.reply.ids for turn in played.turns]


def _apart(left: Trajectory, right: Trajectory) -> float:
    """How far log-probabilities of the same tokens are from each other at most."""
    return max(
        (
            abs(a - b)
            for one, other in zip(left.turns, right.turns, strict=False)
            if one.reply.ids == other.reply.ids and one.observation == other.observation
            for a, b in zip(one.reply.logprobs, other.reply.logprobs, strict=True)
        ),
        default=0.0,
    )


if __name__ == "__main__":
    main()
