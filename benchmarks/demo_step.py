"""Where the time of one optimiser step of the demo goes, full against one layer.

    python benchmarks/demo_step.py [--steps 6]

Both arms play the same 128 episodes per step with the embedded policy on one thread; the first
step, which warms caches, is left out. Seconds are wall time per step: run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from layergym.evals.sweep.demo import demo_sweep
from layergym.trainer.run import train

PHASES = ("rollout", "logprobs", "update")


def per_step(metrics: Sequence[Mapping[str, float]], name: str) -> float:
    rows = [row.get(name, 0.0) for row in metrics[1:]]
    return sum(rows) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    spec = replace(demo_sweep((0,)).run, steps=steps, save_every=steps)
    print(f"{'layers':8}" + "".join(f"{name + ' s':>12}" for name in PHASES) + f"{'tokens/s':>12}")
    totals = {}
    for layers in ("all", "0", "4", "7"):
        with tempfile.TemporaryDirectory() as folder:
            done = train(replace(spec, layers=layers), Path(folder))
        times = [per_step(done.metrics, f"time/{name}_s") for name in PHASES]
        totals[layers] = sum(times)
        rate = per_step(done.metrics, "tokens") / times[0]
        print(f"{layers:8}" + "".join(f"{t:12.2f}" for t in times) + f"{rate:12,.0f}")
    print(f"one step of layer 4 takes {totals['4'] / totals['all']:.2f} of a full one")


if __name__ == "__main__":
    main()
