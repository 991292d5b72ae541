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
from layergym.evals import stats
from layergym.evals.results import EvalResult, read_run
from layergym.evals.sweep.run_arm import LOOK_AT, finished
from layergym.evals.sweep.spec import Arm, SweepSpec, arm_run, recipe

FILE = "tuning.json"


@dataclass(frozen=True, slots=True)
class GridScore:
    """One run of the grid."""

    arm: str
    rate: float
    score: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was tried and chosen."""

    panel: str
    """On which tasks."""
    full: float
    layer: float
    grid: tuple[GridScore, ...]


def tuning_seed(spec: SweepSpec) -> int:
    """The seed of the grid's runs, which no run of the sweep has."""
    return max((*spec.seeds, spec.run.seed)) + 1


def tuning_arms(spec: SweepSpec, folder: Path) -> list[Arm]:
    """The runs of the grid."""
    seed = tuning_seed(spec)
    listed = []
    for expression in ("full", str(spec.num_layers // 2)):
        made = arm_run(spec, folder, recipe(expression, spec), seed)
        for rate in sorted(spec.search.lr_grid):
            place = folder / "tuning" / made.name / f"lr-{rate:g}"
            run = replace(made.run, learning_rate=rate)
            listed.append(Arm(made.name, run, place))
    return listed


def settle_rates(spec: SweepSpec, folder: Path) -> Tuning | None:
    """The choice, written down once all runs of the grid are finished; None before.

    The rate with the highest success on the development panel is taken; of equals, the lowest.
    """
    if not spec.search.lr_grid:
        return None
    if (folder / FILE).is_file():
        return read_tuning(folder)
    tried = tuning_arms(spec, folder)
    if not all(finished(arm.folder) for arm in tried):
        return None
    results = [_scored(arm.folder) for arm in tried]
    grid = tuple(_score(a, r) for a, r in zip(tried, results, strict=True))
    first = results[0]
    layer = next(score.arm for score in grid if score.arm != "full")
    found = Tuning(
        panel=f"{len(first.tasks)} tasks of the {first.split} split, {first.panel_hash[:8]}",
        full=_best(grid, "full"),
        layer=_best(grid, layer),
        grid=grid,
    )
    write_json(folder / FILE, asdict(found))
    return found


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
        grid = tuple(GridScore(**row) for row in value["grid"])
        return Tuning(value["panel"], float(value["full"]), float(value["layer"]), grid)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not describe a grid ({briefly(error)})") from None


def _scored(folder: Path) -> EvalResult:
    return next(r for r in read_run(folder).evals if r.temperature == LOOK_AT)


def _score(arm: Arm, result: EvalResult) -> GridScore:
    table = result.rates[None]
    draws = stats.joint_draws([table], [False], seed=0)[:, 0]
    found = stats.score_interval(table, draws)
    assert arm.run.learning_rate is not None
    return GridScore(arm.name, arm.run.learning_rate, found.value, found.low, found.high)


def _best(grid: Sequence[GridScore], arm: str) -> float:
    own = [score for score in grid if score.arm == arm]
    return own[int(np.argmax([score.score for score in own]))].rate
