"""How much of the gain of full training each layer recovers when it is trained alone.

    contribution(k) = (score of layer k alone - base) / (full - base)      (arXiv 2607.01232)

A sweep is read in up to three ways, each a `Measure`: all arms at temperature 1, all arms greedy,
and all arms at temperature 1 against the *sharpened* base, which is the untrained base at its best
temperature. Reinforcement learning often only sharpens; the third way shows what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layergym.envs.errors import InputError
from layergym.evals import stats
from layergym.evals.results import Sweep, layer_of
from layergym.evals.stats import Estimate, Floats

SEED = 0
"""Of the bootstrap: reports made twice are the same."""


@dataclass(frozen=True, slots=True)
class ArmScore:
    """One trained arm other than full."""

    arm: str
    layer: int | None
    seeds: int
    score: Estimate
    gain: Estimate
    """Score - base."""
    contribution: Estimate | None
    """None where full - base is not distinguishably above 0."""
    against_full: Estimate
    """Score - full; the intervals of all arms hold together."""
    ranks: tuple[int, int] | None
    """Best and worst rank among the layers that the data allow."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Scores of all arms in one way of reading, with what may be concluded from them."""

    name: str
    sharpened: bool
    """Whether `base` is the untrained base at its best temperature."""
    base: Estimate
    full: Estimate
    gain: Estimate
    """Full - base."""
    arms: tuple[ArmScore, ...]
    thirds: tuple[float | None, ...]
    """Mean gain of the layers in the first, middle and last third of the stack."""
    middle_against_ends: Estimate | None
    """Mean gain of the middle third less that of the two others."""
    half_panel: float | None
    """Mean Spearman correlation over layers between halves of the panel."""
    single_seed: float | None
    """Mean Spearman correlation over layers between single seeds."""
    held_out_best: float | None
    """Gain of "the best layer" when it is chosen on half of the tasks and scored on the others."""

    @property
    def layers(self) -> tuple[ArmScore, ...]:
        """The arms that train one layer, by index."""
        return tuple(arm for arm in self.arms if arm.layer is not None)

    @property
    def defined(self) -> bool:
        """Whether contributions exist: full - base is distinguishably above 0."""
        return any(arm.contribution is not None for arm in self.arms)

    @property
    def best(self) -> ArmScore | None:
        """The layer with the highest score, if any; see its `ranks` before believing it."""
        return max(self.layers, key=lambda arm: arm.score.value, default=None)


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


def measure(
    name: str, tables: Mapping[str, Floats], num_layers: int, *, sharpened: Floats | None = None
) -> Measure:
    """Score all arms on one panel.

    Args:
        name: what the measure is called.
        tables: success rates (S, T) per arm; "base" and "full" among them.
        num_layers: of the model, for the thirds of its stack.
        sharpened: per-task scores (T,) that take the place of the base.

    Raises:
        InputError: there is only one task.
    """
    if tables["base"].shape[1] < 2:
        raise InputError("a panel of one task tells nothing about others; score at least 2 tasks")
    if sharpened is not None:
        tables = {**tables, "base": sharpened[None]}
    names = list(tables)
    cells = [tables[arm] for arm in names]
    draws = stats.joint_draws(cells, [arm != "base" for arm in names], seed=SEED)
    scores = np.array([table.mean() for table in cells])
    base, full = names.index("base"), names.index("full")
    arms = [i for i in range(len(names)) if i not in (base, full)]
    layers = [i for i in arms if layer_of(names[i]) is not None]
    gains, gain_draws = scores - scores[base], draws - draws[:, [base]]
    ratios = stats.contributions(
        gains[arms], float(gains[full]), gain_draws[:, arms], gain_draws[:, full]
    )
    versus = stats.simultaneous(scores[arms] - scores[full], draws[:, arms] - draws[:, [full]])
    ranks = dict(zip(layers, stats.rank_sets(scores[layers], draws[:, layers]), strict=True))
    rates = np.array([tables[names[i]].mean(axis=0) for i in layers])
    depths = [layer_of(names[i]) for i in layers]
    weights = [_share(depths, third) for third in stats.thirds(num_layers)]
    return Measure(
        name=name,
        sharpened=sharpened is not None,
        base=stats.score_interval(cells[base], draws[:, base]),
        full=stats.score_interval(cells[full], draws[:, full]),
        gain=stats.interval(float(gains[full]), gain_draws[:, full]),
        arms=tuple(
            ArmScore(
                arm=names[i],
                layer=layer_of(names[i]),
                seeds=len(cells[i]),
                score=stats.score_interval(cells[i], draws[:, i]),
                gain=stats.interval(float(gains[i]), gain_draws[:, i]),
                contribution=ratios[place] if ratios else None,
                against_full=versus[place],
                ranks=ranks.get(i),
            )
            for place, i in enumerate(arms)
        ),
        thirds=tuple(float(w @ gains[layers]) if w.any() else None for w in weights),
        middle_against_ends=_middle(weights, gains[layers], gain_draws[:, layers]),
        half_panel=stats.split_half(rates, seed=SEED) if layers else None,
        single_seed=_single_seed([cells[i] for i in layers]),
        held_out_best=(
            stats.held_out_best(rates, seed=SEED) - float(scores[base]) if layers else None
        ),
    )


def profile(sweep: Sweep) -> LayerProfile:
    """What `sweep` says about its model's layers.

    Raises:
        InputError: base or full has not been scored yet at a common temperature.
    """
    panel = sweep.panel
    if panel is None:
        raise InputError(f"{sweep.path} has no evaluation yet; let the sweep finish base and full")
    common = set(sweep.temperatures("base")) & set(sweep.temperatures("full"))
    if not common:
        raise InputError(
            f"{sweep.path}: base and full have no evaluation at the same temperature yet; "
            "resume the sweep until both are scored"
        )
    main = 1.0 if 1.0 in common else max(common)
    tables = _tables(sweep, main)
    num_layers = _num_layers(sweep)
    measures = [measure(temperature_name(main), tables, num_layers)]
    if 0.0 in common and main != 0.0:
        measures.append(measure("greedy", _tables(sweep, 0.0), num_layers))
    options = {t: _table(sweep, "base", t) for t in sweep.temperatures("base")}
    sharpening = "The base was scored at one temperature only, so sharpening was not examined."
    if len(options) > 1:
        rates = np.array([table.mean(axis=0) for table in options.values()])
        sharpened, chosen = stats.cross_fitted(rates, seed=SEED)
        name = f"{temperature_name(main)} against sharpened base"
        measures.append(measure(name, tables, num_layers, sharpened=sharpened))
        names = [temperature_name(list(options)[i]) for i in dict.fromkeys(chosen)]
        sharpening = _sharpening(measures[0], measures[-1], " or ".join(names))
    run = sweep.settings.get("run")
    run = run if isinstance(run, Mapping) else {}
    seeds = [len(table) for arm, table in tables.items() if arm != "base"]
    return LayerProfile(
        name=sweep.path.resolve().name,
        model=_text(run, "model"),
        model_hash=_text(sweep.manifest, "model_hash"),
        num_layers=num_layers,
        env_id=panel.env_id,
        panel_hash=panel.panel_hash,
        algorithm=_text(run, "algorithm"),
        tasks=len(panel.tasks),
        repeats=sweep.results("base", main)[0].repeats,
        seeds=(min(seeds), max(seeds)),
        measures=tuple(measures),
        base_by_temperature=_scores(options),
        sharpening=sharpening,
    )


def temperature_name(temperature: float) -> str:
    """What a sampling temperature is called: "greedy" for 0, else "temperature 0.5"."""
    return "greedy" if temperature == 0 else f"temperature {temperature:g}"


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
    left = "distinguishable from" if sharp.gain.above(0) else "not distinguishable from"
    return (
        f"Of the gain of {100 * gain:.1f} points at {plain.name}, {100 * also:.1f} points "
        f"({100 * also / gain:.0f} %) are also reached by the untrained base at {temperatures} "
        f"(its best setting, chosen on one half of the tasks and scored on the other). What full "
        f"training adds beyond that, {100 * sharp.gain.value:+.1f} "
        f"[{100 * (sharp.gain.low or 0):+.1f}, {100 * (sharp.gain.high or 0):+.1f}] points, "
        f"is {left} 0."
    )


def _tables(sweep: Sweep, temperature: float) -> dict[str, Floats]:
    scored = [arm for arm in sweep.arms if temperature in sweep.temperatures(arm)]
    return {arm: _table(sweep, arm, temperature) for arm in scored}


def _table(sweep: Sweep, arm: str, temperature: float) -> Floats:
    return np.array([result.rates for result in sweep.results(arm, temperature)])


def _scores(tables: Mapping[float, Floats]) -> tuple[tuple[float, Estimate], ...]:
    draws = stats.joint_draws(list(tables.values()), [False] * len(tables), seed=SEED)
    return tuple(
        (temperature, stats.score_interval(table, draws[:, place]))
        for place, (temperature, table) in enumerate(tables.items())
    )


def _text(values: Mapping[str, Any], key: str) -> str:
    return str(values.get(key, "unknown"))


def _num_layers(sweep: Sweep) -> int:
    highest = max((layer_of(arm) or 0 for arm in sweep.arms), default=0) + 1
    stated = sweep.settings.get("num_layers") or highest
    if not isinstance(stated, int) or stated < highest:
        raise InputError(
            f"{sweep.path / 'sweep.json'}: num_layers is {stated!r}, but layer {highest - 1} "
            "was trained; write the model's number of layers there"
        )
    return stated


def _share(depths: Sequence[int | None], third: range) -> Floats:
    inside = np.array([depth in third for depth in depths], dtype=np.float64)
    return inside / inside.sum() if inside.any() else inside


def _middle(weights: Sequence[Floats], gains: Floats, draws: Floats) -> Estimate | None:
    first, middle, last = weights
    ends = ((first > 0) | (last > 0)).astype(np.float64)
    if not middle.any() or not ends.any():
        return None
    contrast = middle - ends / ends.sum()
    return stats.interval(float(contrast @ gains), draws @ contrast)


def _single_seed(tables: Sequence[Floats]) -> float | None:
    fewest = min((len(table) for table in tables), default=0)
    if fewest < 2:
        return None
    return stats.between_seeds(np.array([table[:fewest].mean(axis=1) for table in tables]).T)
