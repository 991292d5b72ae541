"""How often the report's statements hold: synthetic sweeps with known contributions.

    python benchmarks/coverage.py [--sweeps 1000] [--first 0] [--far] [--only "10 % of runs"]

In every setting the 95 % intervals of contributions and of scores must cover the truth in 92 to
98 % of cases, and those printed for the layer that was picked for its score in at least 92 %
(they hold for all layers together, so they may cover more). Each of these false claims may occur
in at most 5 % of sweeps: "a layer beats full", a recommended layer that does nothing, a middle of
the stack that is ahead of an end as good as it, and a rank that a layer cannot have. Where all
layers are equal, ranks are made to be wrong in just 5 %, so the luck of that many sweeps is
allowed for (a binomial test at 1 %). In worlds whose runs diverge only false claims are checked,
since no interval of three runs can hold for a loss that none of them shows; coverage is printed,
and beside it what one variance for all arms would give on the same sweeps, with the difference and
its 95 % interval (`--far`: these worlds alone).
The last setting shows what no interval can do: with one seed per arm and seeds that differ, all
this is lost, so the report then makes no claim about layers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from unittest import mock

import numpy as np
from scipy import stats

from layergym.evals.arms import BASE, FULL, ArmName
from layergym.evals.contribution.measure import ArmScore, Measure, measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.report.findings import recommendation
from layergym.evals.results import Floats
from layergym.evals.stats import Estimate, intervals, seed_variance
from layergym.evals.stats.agreement import thirds
from layergym.evals.stats.seeds import Spread
from layergym.evals.stats.simulate import Design, outcomes

Truth = tuple[float, float, tuple[float, ...]]
"""Expected scores of base, full, and every layer alone."""
PROFILES: dict[str, Truth] = {
    "layers differ": (0.25, 0.75, (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.68, 0.45)),
    "all equal full": (0.25, 0.7, (0.7,) * 8),
    "gain of 15 points": (0.25, 0.4, (0.28, 0.3, 0.33, 0.36, 0.4, 0.4, 0.35, 0.3)),
    "no layer does anything": (0.25, 0.7, (0.25,) * 8),
    "only the last third is bad": (0.25, 0.7, (0.65,) * 6 + (0.45,) * 3),
}
DESIGNS = {
    "128 tasks x 2, 3 seeds": Design(),
    "128 tasks x 2, 1 seed, seeds alike": Design(seeds=1, seed_sd=0.0),
    "64 tasks x 2, 3 seeds far apart": Design(tasks=64, seed_sd=0.15),
    "256 tasks x 1, 2 seeds": Design(tasks=256, repeats=1, seeds=2, seed_sd=0.1),
}
DEEP = {"28 equal full": (0.25, 0.7, (0.7,) * 28), "28 do nothing": (0.25, 0.7, (0.25,) * 28)}
DEEP_DESIGNS = {
    "64 tasks x 2, 3 seeds": Design(tasks=64),
    "64 tasks x 2, 1 seed, seeds alike": Design(tasks=64, seeds=1, seed_sd=0.0),
}
FAR = {
    "heavy tails (t2)": Design(heavy_tails=True, seed_sd=0.15),
    "5 % of runs diverge": Design(diverged=0.05),
    "10 % of runs diverge": Design(diverged=0.1),
    "10 % diverge, 2 seeds": Design(diverged=0.1, seeds=2),
}
"""Worlds whose runs lie apart as no normal distribution has them; 3 seeds unless said."""
LOST: Truth = (0.4, 0.52, (0.52,) * 8)
"""All trained arms equal, 12 points above the base; one run of one arm is lost."""
KEPT = 0.05
"""What that run keeps of its success."""
ENDS = {
    "92 to 98.5 %": (0.92, 0.985, (0.985,) * 8),
    "1 to 6 %": (0.01, 0.06, (0.06,) * 8),
}
"""Scores near the ends, on 200 tasks."""
UNSEEN = "128 tasks x 2, 1 seed, seeds far apart"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares over all sweeps of one setting."""

    contributions: float
    """Intervals of single layers that hold, as those of `scores`."""
    scores: float
    gain: float
    """The interval of full - base holds."""
    picked: float
    """Sweeps in which both joint intervals of the highest layer hold."""
    beats_full: float
    """Sweeps with a false claim of this kind, as all below."""
    ranks: float
    idle: float
    """A layer is recommended that does nothing."""
    middle: float
    undefined: float
    """Sweeps without contributions; no fault."""

    def right(self, sweeps: int, *, diverged: bool = False) -> bool:
        """Whether every promise is kept; about coverage, only where no run diverges."""
        covered = diverged or all(
            0.92 <= share <= 0.98 for share in (self.contributions, self.scores)
        )
        false = max(self.beats_full, self.idle, self.middle)
        chance = stats.binom.isf(0.01, sweeps, 0.05) / sweeps
        picked = diverged or self.picked >= 0.92
        return covered and picked and false <= 0.05 and bool(self.ranks <= chance)


def counted(rows: Floats) -> Outcome:
    """Shares over the sweeps of `judged`; contributions are missing where they are undefined."""
    return Outcome(*(_mean(column[~np.isnan(column)].tolist()) for column in rows.T))


def judged(
    base: float,
    full: float,
    layers: Sequence[float],
    design: Design,
    sweeps: range,
    lost: ArmName | None = None,
) -> Floats:
    """What was right in each synthetic sweep, by the fields of `Outcome`, (sweeps, 9).

    The second run of the arm `lost` keeps a twentieth of its success in every one of them.
    """
    names = [BASE, FULL, *map(ArmName.of_layer, range(len(layers)))]
    trained = [name.trained for name in names]
    given, kept = (base, full, *layers), design.expected
    truth = dict(zip(names[1:], [full * kept, *(score * kept for score in layers)], strict=True))
    if lost:
        truth[lost] *= 1 - (1 - KEPT) / design.seeds
    full, *layers = truth.values()
    ratios = [(score - base) / (full - base) for score in layers]
    rows = []
    for seed in sweeps:
        drawn = outcomes(given, trained, design, np.random.default_rng(seed))
        tables = {name: table.mean(axis=2) for name, table in zip(names, drawn, strict=True)}
        if lost:
            tables[lost][1] *= np.random.default_rng([seed, 1]).random(design.tasks) < KEPT
        found = measure("simulated", tables, len(layers))
        best = found.best
        assert best is not None and best.layer is not None
        chosen, _ = recommendation(_profile(found, design))
        pairs = list(zip(found.layers, ratios, strict=True))
        rows.append(
            (
                _mean([_holds(a.contribution, ratio) for a, ratio in pairs if a.contribution]),
                _mean([_holds(a.score, s) for a, s in zip(found.layers, layers, strict=True)]),
                _holds(found.gain, full - base),
                _holds(best.joint_gain, layers[best.layer] - base)
                and _holds(best.joint_contribution, ratios[best.layer]),
                any(a.against_full.above(0) and ratio <= 1 + 1e-9 for a, ratio in pairs),
                any(_wrong_rank(a, ratios) for a in found.layers),
                chosen != "all" and layers[int(chosen)] <= base,
                _wrong_middle(found, layers),
                not found.defined,
            )
        )
    return np.array(rows, dtype=np.float64)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _holds(estimate: Estimate | None, truth: float) -> bool:
    """Whether the interval holds; one without an end always does."""
    if estimate is None:
        return True
    assert estimate.low is not None and estimate.high is not None
    return estimate.low <= truth <= estimate.high


def _wrong_rank(arm: ArmScore, truth: Sequence[float]) -> bool:
    """Whether `arm` is put below a layer that is not better, or above one that is not worse."""
    assert arm.ranks is not None and arm.layer is not None
    own = truth[arm.layer]
    better, worse = sum(t > own for t in truth), sum(t < own for t in truth)
    return arm.ranks[0] > 1 + better or arm.ranks[1] < len(truth) - worse


def _wrong_middle(found: Measure, layers: Sequence[float]) -> bool:
    """Whether the middle is called better than both ends, though one is as good."""
    first, middle, last = (np.mean([layers[k] for k in third]) for third in thirds(len(layers)))
    gaps = (found.middle_less_first, found.middle_less_last)
    claimed = all(gap is not None and gap.above(0) for gap in gaps)
    return claimed and not middle > max(first, last)


def _profile(found: Measure, design: Design) -> LayerProfile:
    return LayerProfile(
        name="simulated",
        model="",
        model_hash="",
        num_layers=len(found.layers),
        env_id="",
        panel_hash="",
        algorithm="",
        tasks=design.tasks,
        repeats=design.repeats,
        seeds=(design.seeds, design.seeds),
        measures=(found,),
        base_by_temperature=(),
        sharpening="",
    )


def main() -> int:
    """Print every setting; the exit status is 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=1000, help="synthetic sweeps per setting")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--far", action="store_true", help="only worlds whose runs lie far apart")
    parser.add_argument("--only", default="", metavar="TEXT", help="of these, those named so")
    asked = parser.parse_args()
    sweeps = range(asked.first, asked.first + asked.sweeps)
    print(f"{asked.sweeps} sweeps per setting; shares in percent")
    print(f"{'':66}|        intervals hold         |        false claims         |")
    print(
        f"{'':66}|contrib.  scores   gain  picked|beats f. ranks  idle   middle|undefined   CPU s",
        flush=True,
    )
    kept = _far(sweeps, asked.only)
    if asked.far or asked.only:
        return int(not all(kept))
    grids = ((PROFILES, DESIGNS), (DEEP, DEEP_DESIGNS))
    settings = [
        (f"{profile}; {name}", truth, design)
        for profiles, designs in grids
        for profile, truth in profiles.items()
        for name, design in designs.items()
    ]
    settings += [
        (f"{name}; 200 tasks x 2, 3 seeds", t, Design(tasks=200)) for name, t in ENDS.items()
    ]
    kept += [_run(name, truth, design, sweeps)[1] for name, truth, design in settings]
    lone = Design(seeds=1, seed_sd=0.15)
    _run(f"(expected to fail) {UNSEEN}", PROFILES["layers differ"], lone, sweeps)
    return int(not all(kept))


def _far(sweeps: range, only: str = "") -> list[bool]:
    """Worlds whose runs lie far apart: with one variance for all arms, and as it is."""
    worlds: list[tuple[str, Truth, Design, ArmName | None]] = [
        (f"{profile}; {name}", PROFILES[profile], design, None)
        for name, design in FAR.items()
        for profile in ("layers differ", "all equal full", "gain of 15 points")
    ]
    worlds += [
        (f"one run of {arm.label} is lost, 3 seeds", LOST, Design(), arm)
        for arm in (ArmName.of_layer(3), FULL)
    ]
    kept = []
    for name, truth, design, lost in worlds:
        if only not in name:
            continue
        with mock.patch.object(intervals, "seed_spread", one_variance):
            before, _ = _run(f"(one variance) {name}", truth, design, sweeps, lost)
        now, right = _run(name, truth, design, sweeps, lost)
        print(f"{'    the same sweeps: more, in points':66}{_gained(before, now)}", flush=True)
        kept.append(right)
    return kept


def _gained(before: Floats, now: Floats) -> str:
    """By how many points more intervals hold, with the 95 % interval, of the first four kinds."""
    told = []
    for first, second in zip(before.T[:4], now.T[:4], strict=True):
        gaps = 100 * (second - first)[~np.isnan(first + second)]
        half = intervals.Z * gaps.std() / np.sqrt(max(len(gaps), 1))
        told.append(f"{_mean(gaps.tolist()):+.1f} +- {half:.1f}")
    return ", ".join(told)


def one_variance(cells: Sequence[Floats]) -> Spread:
    """What `seed_spread` was before it was robust."""
    variance, degrees = seed_variance(cells)
    return Spread(np.full(len(cells), variance), degrees, (), (), 0.0)


def _run(
    name: str, truth: Truth, design: Design, sweeps: range, lost: ArmName | None = None
) -> tuple[Floats, bool]:
    began = time.process_time()
    rows = judged(*truth, design, sweeps, lost)
    found = counted(rows)
    shares = "".join(f"{100 * getattr(found, field.name):8.1f}" for field in fields(found))
    seconds = time.process_time() - began
    right = found.right(len(sweeps), diverged=design.diverged > 0 or lost is not None)
    print(f"{name:66}{shares}{seconds:8.1f}{'' if right else '  FAILS'}", flush=True)
    return rows, right


if __name__ == "__main__":
    sys.exit(main())
