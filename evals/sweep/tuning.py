"""Learning rates for all parameters and for one layer, chosen on tasks that are never reported.

Published comparisons of full and single-layer training depend on the rate that each was given, so
both get the same grid, the same number of runs and the same panel. For single layers the middle
one stands for all.

    FOLDER/tuning/<full | layer-04>/lr-0.0003/    one run each
    FOLDER/tuning.json                            all grid scores and what was chosen
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.base.numbers import Bounds
from layergym.evals.arms import Arm, ArmName
from layergym.evals.result_files import read_run
from layergym.evals.results import EvalResult
from layergym.evals.stats.board import score_alone
from layergym.evals.sweep.run_folder import LOOK_AT, finished
from layergym.evals.sweep.spec import ArmRun, Rates, ResolvedSweep, SweepSpec

FILE = "tuning.json"
_RATE, _SCORE = Bounds(0, 100, above=True), Bounds(optional=True)
_GRID = {"rate": _RATE, "score": Bounds(), "low": _SCORE, "high": _SCORE}


@dataclass(frozen=True, slots=True)
class GridScore:
    """One run of the grid."""

    arm: ArmName
    rate: float
    score: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was tried and chosen."""

    panel: str
    """The tasks on which learning rates are compared."""
    full: float
    layer: float
    grid: tuple[GridScore, ...]

    @property
    def rates(self) -> Rates:
        """Those chosen, for the sweep's arms."""
        return Rates(self.full, self.layer)


def tuning_seed(spec: SweepSpec) -> int:
    """The seed of the grid's runs, which no run of the sweep has."""
    return max((*spec.seeds, spec.run.seed)) + 1


def tuning_runs(sweep: ResolvedSweep) -> list[ArmRun]:
    """The runs of the grid: every parameter, and the middle layer."""
    seed = tuning_seed(sweep.spec)
    runs = []
    for expression in ("full", str(sweep.spec.num_layers // 2)):
        arm = Arm.parse(expression)
        for rate in sorted(sweep.spec.search.lr_grid):
            run = replace(sweep.spec.run, layers=arm.layers, learning_rate=rate, seed=seed)
            runs.append(ArmRun(arm, run, sweep.folder / "tuning" / arm.name / f"lr-{rate:g}"))
    return runs


def settle_rates(sweep: ResolvedSweep) -> Tuning | None:
    """The choice, written down once all runs of the grid are finished; None before.

    The rate with the highest success on the development panel is taken; of equals, the lowest.
    """
    if not sweep.spec.search.lr_grid:
        return None
    if (sweep.folder / FILE).is_file():
        return read_tuning(sweep.folder)
    tried = tuning_runs(sweep)
    if not all(finished(run.folder) for run in tried):
        return None
    results = [_scored(run.folder) for run in tried]
    grid = tuple(_score(a, r) for a, r in zip(tried, results, strict=True))
    first = results[0]
    tuning = Tuning(
        panel=f"{len(first.tasks)} tasks of the {first.split} split, {first.panel_hash[:8]}",
        full=_best(grid, tried[0].name),
        layer=_best(grid, tried[-1].name),
        grid=grid,
    )
    write_json(sweep.folder / FILE, asdict(tuning))
    return tuning


def read_tuning(folder: Path) -> Tuning | None:
    """What was tried and chosen in the sweep in `folder`; None where nothing was.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    value = read_json(path)
    try:
        grid = tuple(
            GridScore(ArmName(row["arm"]), *(b.read(row, name) for name, b in _GRID.items()))
            for row in value["grid"]
        )
        full, layer = (_RATE.read(value, name) for name in ("full", "layer"))
        return Tuning(str(value["panel"]), full, layer, grid)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not describe a grid ({briefly(error)}); delete it, and it is made again"
        ) from None


def _scored(folder: Path) -> EvalResult:
    return next(r for r in read_run(folder).evals if r.temperature == LOOK_AT)


def _score(run: ArmRun, result: EvalResult) -> GridScore:
    score = score_alone(result.rates)
    assert run.run.learning_rate is not None
    return GridScore(run.name, run.run.learning_rate, score.value, score.low, score.high)


def _best(grid: Sequence[GridScore], arm: str) -> float:
    own = [score for score in grid if score.arm == arm]
    return own[int(np.argmax([score.score for score in own]))].rate
