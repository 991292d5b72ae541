"""GiGPO against GRPO and Dr. GRPO on tasks that take many turns, with the embedded policy.

    python benchmarks/credit_study.py --out runs/credit [--horizons 25 10] [--seeds 0 1 2]

Two-object and clean, heat and cool tasks in rooms about twice as large as the policy was warmed up
in. All arms train all layers with equal budgets. Each algorithm's learning rate is the one of
RATES with the highest success on `valid` rooms after TUNING_STEPS steps with a seed of its own.
Then every algorithm runs once per seed and horizon and is scored on `test` rooms, which neither
training nor tuning uses. Finished runs are kept: after a kill, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from layergym.base.files import read_lines
from layergym.evals.result_files import read_eval
from layergym.evals.stats import interval, joint_draws
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.run_arm import run_arm
from layergym.evals.sweep.run_folder import finished
from layergym.trainer.spec import RunSpec

ALGORITHMS = ("gigpo", "grpo", "dr_grpo")
RATES = (1e-4, 3e-4, 1e-3)
KINDS = (
    "pick_clean_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_two_obj_and_place",
)
STEPS, TUNING_STEPS, WINDOW = 24, 12, 4


def spec(algorithm: str, rate: float, turns: int, seed: int, steps: int = STEPS) -> RunSpec:
    return RunSpec(
        env="layergym/ALFWorld-v0",
        env_args={
            "kinds": list(KINDS),
            "size": 2000,
            "max_receptacles": 18,
            "num_objects": 18,
            "max_turns": turns,
        },
        algorithm=algorithm,
        learning_rate=rate,
        steps=steps,
        seed=seed,
    )


def run(spec: RunSpec, scored: EvalSpec, folder: Path) -> None:
    if not finished(folder):
        run_arm(spec, scored, "full", folder)


def score(folder: Path, name: str) -> NDArray[np.float64]:
    """Success rates (T,) of one run."""
    return read_eval(folder / "evals" / f"{name}.json").rates


def tune(out: Path, turns: int) -> Iterator[tuple[str, float]]:
    scored = EvalSpec(split="valid", size=128, temperatures=(1.0,))
    for algorithm in ALGORITHMS:
        rates = {}
        for rate in RATES:
            folder = out / "tuning" / f"{algorithm}-{rate:g}"
            run(spec(algorithm, rate, turns, 1000, TUNING_STEPS), scored, folder)
            rates[rate] = float(score(folder, "t1.0").mean())
        best = max(rates, key=lambda rate: rates[rate])
        shown = ", ".join(f"{rate:g}: {value:.3f}" for rate, value in rates.items())
        print(f"  {algorithm:8} valid success by learning rate  {shown}  -> {best:g}", flush=True)
        yield algorithm, best


def curve(folders: Sequence[Path], name: str) -> str:
    """Means of windows of steps with 95 % t intervals over seeds."""
    table = np.array([[row[name] for row in read_lines(f / "metrics.jsonl")] for f in folders])
    windows = table.reshape(len(folders), -1, WINDOW).mean(axis=2)
    half = np.zeros(windows.shape[1])
    if len(folders) > 1:
        error = windows.std(axis=0, ddof=1) / len(folders) ** 0.5
        half = stats.t.ppf(0.975, len(folders) - 1) * error
    return "  ".join(f"{m:.2f}±{h:.2f}" for m, h in zip(windows.mean(axis=0), half, strict=True))


def report(out: Path, turns: int, seeds: Sequence[int]) -> None:
    folders = {a: [out / f"{turns}" / a / f"seed-{s}" for s in seeds] for a in ALGORITHMS}
    print(f"  training success, windows of {WINDOW} steps, mean and 95 % interval over seeds")
    for algorithm in ALGORITHMS:
        print(f"    {algorithm:8} {curve(folders[algorithm], 'success')}")
    print("  share of step groups larger than one, and their mean size (all step groups)")
    for algorithm in ALGORITHMS:
        print(f"    {algorithm:8} {curve(folders[algorithm], 'step_groups_shared')}")
        print(f"    {'':8} {curve(folders[algorithm], 'step_group_size')}")
    for name, label in (("t1.0", "temperature 1"), ("greedy", "greedy")):
        base = score(out / f"{turns}" / "base", name)[None]
        tables = [
            base,
            *(np.stack([score(f, name) for f in folders[a]]) for a in ALGORITHMS),
        ]
        draws = joint_draws(tables, [False, True, True, True], seed=0)
        print(f"  test rooms, {label}: base {100 * base.mean():.1f}")
        for i, algorithm in enumerate(ALGORITHMS, 1):
            own = interval(tables[i].mean(), draws[:, i])
            line = f"    {algorithm:8} {100 * own.value:5.1f} {_range(own.low, own.high)}"
            if i > 1:
                gap = interval(tables[1].mean() - tables[i].mean(), draws[:, 1] - draws[:, i])
                line += f"   gigpo less this: {100 * gap.value:+5.1f} {_range(gap.low, gap.high)}"
            print(line, flush=True)


def _range(low: float | None, high: float | None) -> str:
    return f"[{100 * (low or 0):.1f}, {100 * (high or 0):.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/credit"))
    parser.add_argument("--horizons", type=int, nargs="+", default=[25, 10], help="turns")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"learning rates, tuned at {args.horizons[0]} turns", flush=True)
    rates = dict(tune(args.out, args.horizons[0]))
    scored = EvalSpec(split="test", size=200, base_temperatures=(1.0, 0.0))
    for turns in args.horizons:
        print(f"\n{turns} turns", flush=True)
        first = spec("gigpo", rates["gigpo"], turns, 0)
        folder = args.out / f"{turns}"
        if not finished(folder / "base"):
            run_arm(first, scored, "base", folder / "base")
        for seed in args.seeds:
            for algorithm in ALGORITHMS:
                one = replace(first, algorithm=algorithm, learning_rate=rates[algorithm], seed=seed)
                run(one, scored, folder / algorithm / f"seed-{seed}")
        report(args.out, turns, args.seeds)
    (args.out / "rates.json").write_text(json.dumps(rates) + "\n")


if __name__ == "__main__":
    main()
