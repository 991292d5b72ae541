"""What `overlap` does to the demo: the same runs with and without it, for several seeds.

Success on held-out tasks after the last step, mean success of the last ten rollouts, and seconds of
a step by the clock, of which the step waited for its rollout. Seconds are to be taken on a quiet
machine; scores do not depend on it.

    python benchmarks/overlap.py                     # three seeds of full training, minutes
    python benchmarks/overlap.py --seeds 0 --steps 4 --held-out 16   # a trial
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

from layergym.evals.sweep.demo import demo_sweep
from layergym.trainer.ahead import AGE
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec

LAST = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--layers", default="all")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--held-out", type=int, default=256, help="tasks")
    arguments = parser.parse_args()
    spec = demo_sweep((0,)).run
    steps = arguments.steps or spec.steps
    spec = replace(spec, layers=arguments.layers, steps=steps, save_every=steps, eval_every=steps)
    spec = replace(spec, eval_tasks=arguments.held_out)
    print(f"{'seed':>4} {'overlap':>8} {'held out':>9} {'last ten':>9} {'s/step':>7} {'waited':>7}")
    gains = []
    for seed in arguments.seeds:
        scores = [row(replace(spec, seed=seed, overlap=overlap)) for overlap in (False, True)]
        gains.append(scores[1] - scores[0])
    if len(gains) > 1:
        error = stdev(gains) / len(gains) ** 0.5
        print(f"with overlap minus without, held out: {fmean(gains):+.1%} ± {error:.1%}")


def row(spec: RunSpec) -> float:
    """Train, and print a line; the success on held-out tasks."""
    with tempfile.TemporaryDirectory() as folder:
        done = train(spec, Path(folder))
    if spec.overlap:
        assert [one[AGE] for one in done.metrics] == [0.0] + [1.0] * (spec.steps - 1)
    score = done.metrics[-1]["held_out/success"]
    recent = fmean(one["success"] for one in done.metrics[-LAST:])
    waited = fmean(one["time/rollout_s"] for one in done.metrics)
    print(
        f"{spec.seed:4} {'on' if spec.overlap else 'off':>8} {score:9.1%} {recent:9.1%} "
        f"{done.train_s / spec.steps:7.2f} {waited:7.2f}",
        flush=True,
    )
    return float(score)


if __name__ == "__main__":
    main()
