"""How often the report's intervals hold: synthetic sweeps with known contributions.

    python benchmarks/coverage.py [--sweeps 1000]

Two claims are checked in every setting: 95 % intervals of contributions (and scores) cover the
truth in 92 to 98 % of cases, and with all layers equal to full training "a layer beats full" is
claimed in at most 5 % of sweeps. The last setting shows what no interval can do: with one seed per
arm and seeds that differ, coverage of the expected score is lost, which the report warns about.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layergym.evals.measure import measure
from layergym.evals.results import arm_of
from layergym.evals.simulate import Design, outcomes
from layergym.evals.stats import Estimate

PROFILES = {
    "layers differ": (0.25, 0.75, (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.68, 0.45)),
    "all equal full": (0.25, 0.7, (0.7,) * 8),
    "gain of 15 points": (0.25, 0.4, (0.28, 0.3, 0.33, 0.36, 0.4, 0.4, 0.35, 0.3)),
}
DESIGNS = {
    "128 tasks x 2, 3 seeds": Design(),
    "128 tasks x 2, 1 seed, seeds alike": Design(seeds=1, seed_sd=0.0),
    "64 tasks x 2, 3 seeds far apart": Design(tasks=64, seed_sd=0.15),
    "256 tasks x 1, 2 seeds": Design(tasks=256, repeats=1, seeds=2, seed_sd=0.1),
}
UNSEEN = "128 tasks x 2, 1 seed, seeds far apart"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares over all sweeps of one setting."""

    contributions: float
    scores: float
    beats_full: float
    undefined: float


def simulate(
    base: float, full: float, layers: Sequence[float], design: Design, sweeps: int
) -> Outcome:
    """Analyse `sweeps` synthetic sweeps of known truth and count what was right."""
    names = ["base", "full", *map(arm_of, range(len(layers)))]
    trained = [name != "base" for name in names]
    truth = [(score - base) / (full - base) for score in layers]
    ratios: list[bool] = []
    scores: list[bool] = []
    beats, undefined = 0, 0
    for seed in range(sweeps):
        drawn = outcomes([base, full, *layers], trained, design, np.random.default_rng(seed))
        tables = {name: table.mean(axis=2) for name, table in zip(names, drawn, strict=True)}
        found = measure("simulated", tables, len(layers))
        beats += any(arm.against_full.above(0) for arm in found.arms)
        undefined += not found.defined
        for arm, score, ratio in zip(found.arms, layers, truth, strict=True):
            scores.append(_holds(arm.score, score))
            if arm.contribution is not None:
                ratios.append(_holds(arm.contribution, ratio))
    return Outcome(
        float(np.mean(ratios)), float(np.mean(scores)), beats / sweeps, undefined / sweeps
    )


def _holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low <= truth <= estimate.high


def main() -> int:
    """Print every setting; the exit status is 1 when a claim fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=1000, help="synthetic sweeps per setting")
    sweeps = parser.parse_args().sweeps
    print(f"{sweeps} sweeps per setting; shares in percent")
    print(f"{'':58}contributions  scores  'beats full'  undefined  CPU s")
    failed = False
    for profile, truth in PROFILES.items():
        for design_name, design in DESIGNS.items():
            began = time.process_time()
            found = simulate(*truth, design, sweeps)
            right = 0.92 <= found.contributions <= 0.98 and 0.92 <= found.scores <= 0.98
            right = right and found.beats_full <= 0.05
            failed |= not right
            _print(f"{profile}; {design_name}", found, time.process_time() - began, right=right)
    began = time.process_time()
    found = simulate(*PROFILES["layers differ"], Design(seeds=1, seed_sd=0.15), sweeps)
    _print(f"(expected to fail) {UNSEEN}", found, time.process_time() - began, right=True)
    return int(failed)


def _print(name: str, found: Outcome, seconds: float, *, right: bool) -> None:
    shares = (found.contributions, found.scores, found.beats_full, found.undefined)
    a, b, c, d = (100 * share for share in shares)
    mark = "" if right else "  FAILS"
    print(f"{name:58}{a:13.1f}{b:8.1f}{c:14.1f}{d:11.1f}{seconds:7.1f}{mark}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
