"""How much of the gain of full training each layer recovers when it is trained alone.

    contribution(k) = (score of layer k alone - base) / (full - base)      (arXiv 2607.01232)

A sweep is read in up to three ways, each a `Measure`: all arms at temperature 1, all arms greedy,
and all arms at temperature 1 against the *sharpened* base, which is the untrained base at its best
temperature. Reinforcement learning often only sharpens; the third way shows what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from layergym.base.errors import InputError
from layergym.evals.arms import ArmName
from layergym.evals.contribution.measure import Measure, measure, measure_board
from layergym.evals.contribution.runs import RunScore, run_scores
from layergym.evals.results import Sweep
from layergym.evals.stats import Estimate, Floats
from layergym.evals.stats.agreement import cross_fitted
from layergym.evals.stats.board import SEED, Board, sweep_board


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """What a sweep, or a published table, says about the layers of one model."""

    name: str
    model: str
    model_hash: str
    num_layers: int
    env_id: str
    panel_hash: str
    algorithm: str
    tasks: int
    """Tasks of the panel, or benchmarks of a published table."""
    repeats: int
    """Episodes per task; 0 for a published table."""
    seeds: tuple[int, int]
    """Fewest and most seeds of reinforcement learning per trained arm; (0, 0) when unknown."""
    measures: tuple[Measure, ...]
    """The first is the main one."""
    base_by_temperature: tuple[tuple[float, Estimate], ...]
    sharpening: str
    """One sentence on how much of the gain the untrained base reaches by sampling colder."""
    runs: tuple[RunScore, ...] = ()
    """Every run's own score in the main measure; none in a published table."""
    scored: str = "success"
    """What a score is the mean of: "success" or "reward"."""


def main_temperature(sweep: Sweep) -> float:
    """The temperature that a report is about: 1 where base and full have it, else the highest.

    Raises:
        InputError: base or full has not been scored yet at a common temperature.
    """
    if sweep.panel is None:
        raise InputError(f"{sweep.path} has no evaluation yet; let the sweep finish base and full")
    common = set(sweep.temperatures("base")) & set(sweep.temperatures("full"))
    if not common:
        raise InputError(
            f"{sweep.path}: base and full have no evaluation at the same temperature yet; "
            "resume the sweep until both are scored"
        )
    return 1.0 if 1.0 in common else max(common)


def profile(sweep: Sweep, board: Board[ArmName] | None = None) -> LayerProfile:
    """What `sweep` says about its model's layers.

    Args:
        sweep: as it was read.
        board: its scores at `main_temperature`, where they are known already.

    Raises:
        InputError: base or full has not been scored yet at a common temperature.
    """
    main = main_temperature(sweep)
    panel = sweep.panel
    assert panel is not None
    board = board or sweep_board(sweep, main)
    num_layers = _num_layers(sweep)
    seeds = _seeds(sweep, main)
    measures = [measure_board(temperature_name(main), board, num_layers, seeds=seeds)]
    if main != 0.0 and 0.0 in sweep.temperatures("base") and 0.0 in sweep.temperatures("full"):
        greedy, own = sweep_board(sweep, 0.0), _seeds(sweep, 0.0)
        measures.append(measure_board("greedy", greedy, num_layers, seeds=own))
    options = {t: _table(sweep, "base", t) for t in sweep.temperatures("base")}
    sharpening = "The base was scored at one temperature only, so sharpening was not examined."
    if len(options) > 1:
        base, temperatures = _sharpened(options)
        name = f"{measures[0].name} against sharpened base"
        sharp = measure(name, board.tables, num_layers, sharpened=base, seeds=seeds)
        measures.append(sharp)
        sharpening = _sharpening(measures[0], sharp, temperatures)
    if sweep.selective:  # The means of those that are left would be too high.
        measures = [
            replace(
                m,
                thirds=(None,) * 3,
                middle_less_first=None,
                middle_less_last=None,
                controls=tuple(replace(c, mean_layer=None) for c in m.controls),
            )
            for m in measures
        ]
    counts = [len(table) for arm, table in board.tables.items() if arm.trained]
    return LayerProfile(
        name=sweep.path.resolve().name,
        model=sweep.asked.model,
        model_hash=str(sweep.manifest.get("model_hash", "unknown")),
        num_layers=num_layers,
        env_id=panel.env_id,
        panel_hash=panel.panel_hash,
        algorithm=sweep.asked.algorithm,
        tasks=len(panel.tasks),
        repeats=sweep.results("base", main)[0].repeats,
        seeds=(min(counts), max(counts)),
        measures=tuple(measures),
        base_by_temperature=_scores(options),
        sharpening=sharpening,
        runs=run_scores(sweep, main),
        scored=panel.scored,
    )


def temperature_name(temperature: float) -> str:
    """What a sampling temperature is called: "greedy" for 0, else "temperature 0.5"."""
    return "greedy" if temperature == 0 else f"temperature {temperature:g}"


def _sharpened(options: Mapping[float, Floats]) -> tuple[Floats, str]:
    """Scores per task of the base at its best temperature, and what that temperature is called."""
    rates = np.array([table.mean(axis=0) for table in options.values()])
    base, chosen = cross_fitted(rates, seed=SEED)
    names = [temperature_name(list(options)[place]) for place in dict.fromkeys(chosen)]
    return base, " or ".join(names)


def _sharpening(plain: Measure, sharp: Measure, temperatures: str) -> str:
    gain, also = plain.gain.value, sharp.base.value - plain.base.value
    if not plain.gain.above(0):
        return (
            f"Full training shows no distinguishable gain at {plain.name} "
            f"({100 * gain:+.1f} points), so there is nothing to explain by sharpening."
        )
    if also <= 0:
        return (
            f"No other temperature lifts the untrained base above its score at {plain.name}, so "
            f"none of the gain of {100 * gain:.1f} points is mere sharpening."
        )
    low, high = sharp.gain.low or 0.0, sharp.gain.high or 0.0
    clear = "distinguishably above" if low > 0 else "distinguishably below"
    left = clear if low > 0 or high < 0 else "not distinguishable from"
    return (
        f"Of the gain of {100 * gain:.1f} points at {plain.name}, {100 * also:.1f} points "
        f"({100 * also / gain:.0f} %) are also reached by the untrained base at {temperatures} "
        f"(its best setting, chosen on one half of the tasks and scored on the other). What full "
        f"training adds beyond that, {100 * sharp.gain.value:+.1f} "
        f"[{100 * low:+.1f}, {100 * high:+.1f}] points, "
        f"is {left} 0."
    )


def _seeds(sweep: Sweep, temperature: float) -> dict[ArmName, list[int]]:
    return {arm: [r.seed for r in sweep.results(arm, temperature)] for arm in sweep.arms}


def _table(sweep: Sweep, arm: str, temperature: float) -> Floats:
    return np.array([result.rates for result in sweep.results(arm, temperature)])


def _scores(tables: Mapping[float, Floats]) -> tuple[tuple[float, Estimate], ...]:
    names = {str(temperature): table for temperature, table in tables.items()}
    board = Board.of(names, untrained=names)
    return tuple((t, board.score(name)) for t, name in zip(tables, names, strict=True))


def _num_layers(sweep: Sweep) -> int:
    highest = max((arm.layer or 0 for arm in sweep.arms), default=0) + 1
    stated = sweep.asked.num_layers or highest
    if stated < highest:
        raise InputError(
            f"{sweep.path / 'sweep.json'}: num_layers is {stated!r}, but layer {highest - 1} "
            "was trained; write the model's number of layers there"
        )
    return stated
