"""Pool sweeps that differ in their base checkpoint alone.

Does a finding hold for more than the one warm start it was made on? Each base has a sweep of its
own, all on one panel. Bases are the outer level of the statistics, crossed with tasks: the interval
of a pooled value holds what bases add (from how far they lie apart, by Student's t with one degree
of freedom fewer than bases, which contains the noise of their own training) and what the choice of
tasks adds, which all bases share and which their distance therefore does not show. Seeds of
reinforcement learning on one base do not replace a second base.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy

from layergym.base.errors import InputError
from layergym.command.console import Output
from layergym.evals import stats
from layergym.evals.arms import BASE, FULL, ArmName
from layergym.evals.contribution.profile import temperature_name
from layergym.evals.report.model import Block, Report, Section, Table, Text
from layergym.evals.report.render.terminal import show
from layergym.evals.report.study import Finished, Study
from layergym.evals.report.words import named, percent_with_interval, points, ratio
from layergym.evals.result_files import read_sweep
from layergym.evals.results import Sweep
from layergym.evals.stats import LEVEL, Estimate, Floats, Z
from layergym.evals.stats.board import SEED

EXAMPLES = """
examples:
  layergym bases runs/one runs/two         sweeps of two warm starts, otherwise alike
  layergym report runs/one runs/two        the same, and all that each of them says
"""
_FREE = {
    "model",
    "seed",
    "layers",
    "learning_rate",
    "save_every",
    "rows_per_pass",
    "tokens_per_pass",
    "sampler",
    "dtype",
    "device",
    "deterministic",
}
"""Settings of a run that may differ: the base, what an arm sets, and what changes no result."""


@dataclass(frozen=True, slots=True)
class PooledArm:
    """One arm over all bases."""

    arm: ArmName
    values: tuple[float, ...]
    """For each base: score minus that of the base; for "base" the score itself."""
    mean: Estimate
    contribution: Estimate | None
    """Mean gain over the mean gain of full training; None for base, full, and where undefined."""


@dataclass(frozen=True, slots=True)
class BaseSpread:
    """Standard deviations of success rates, the noise of tasks and sampling taken off."""

    base: float
    """Standard deviation of the untrained score between bases."""
    gain: float
    """Standard deviation of full training's gain between bases."""
    seeds: float | None
    """Standard deviation of a trained arm's score between seeds; None with one seed."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweeps", type=Path, nargs="+", help="sweep folders, two or more")


def run(args: Namespace, out: Output) -> None:
    """Pool the sweeps and show what holds over their bases."""
    sweeps = [read_sweep(folder) for folder in args.sweeps]
    groups = same_but_base([Finished.of(sweep) for sweep in sweeps])
    if not groups:
        raise InputError(
            "no two of these sweeps differ in their base checkpoint alone; give sweeps with the "
            "same environment, panel and settings, each of another base"
        )
    shown = tuple(map(bases_section, groups))
    show(Report("Base checkpoints", "", shown, ()), out.results)
    for group in groups if out.json else ():
        pooled = [finished.sweep for finished in group]
        for temperature in _temperatures(pooled):
            for arm in pool(pooled, temperature):
                out.record(event="pooled", temperature=temperature, **asdict(arm))


def same_but_base(several: Sequence[Finished]) -> list[list[Finished]]:
    """Groups of two or more sweeps that differ in their base checkpoint and nothing else."""
    groups: dict[tuple[object, ...], dict[str, Finished]] = {}
    for finished in several:
        asked, profile = finished.sweep.asked, finished.profile
        recipe = {k: v for k, v in asked.run.items() if v and k not in _FREE}
        key = (
            profile.env_id,
            profile.panel_hash,
            profile.num_layers,
            profile.repeats,
            profile.measures[0].name,
            json.dumps([recipe, asked.rates], sort_keys=True),
        )
        if profile.model_hash != "unknown":
            groups.setdefault(key, {}).setdefault(profile.model_hash, finished)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def pool(sweeps: Sequence[Sweep], temperature: float) -> tuple[PooledArm, ...]:
    """Base, full training and every arm that all bases have, at one temperature."""
    arms = _shared(sweeps, temperature)
    cells = _gains(sweeps, arms, temperature)
    values = cells.mean(axis=1)
    means, draws = values.mean(axis=0), _draws(cells)
    draws[:, 0] = draws[:, 0].clip(0, 1)
    ratios = stats.contribution_ratios(means[2:], float(means[1]), draws[:, 2:], draws[:, 1])
    contributions: list[Estimate | None] = [None] * len(arms)
    contributions[2:] = ratios or contributions[2:]
    return tuple(
        PooledArm(
            arm=arm,
            values=tuple(values[:, place].tolist()),
            mean=stats.interval(float(means[place]), draws[:, place]),
            contribution=contributions[place],
        )
        for place, arm in enumerate(arms)
    )


def spread(sweeps: Sequence[Sweep], temperature: float) -> BaseSpread:
    """How far bases lie apart, and seeds on one base."""
    cells = _gains(sweeps, [BASE, FULL], temperature)
    base, gain = (stats.seed_variance([cells[:, :, place]])[0] for place in (0, 1))
    trained = [
        np.array([result.rates for result in sweep.results(arm, temperature)])
        for sweep in sweeps
        for arm in sweep.arms
        if arm.trained and sweep.results(arm, temperature)
    ]
    seeds, freedom = stats.seed_variance(trained)
    return BaseSpread(base**0.5, gain**0.5, seeds**0.5 if freedom else None)


def _shared(sweeps: Sequence[Sweep], temperature: float) -> list[ArmName]:
    """Arms that every sweep has scored, base and full first."""
    return [arm for arm in sweeps[0].arms if all(s.results(arm, temperature) for s in sweeps)]


def _gains(sweeps: Sequence[Sweep], arms: Sequence[ArmName], temperature: float) -> Floats:
    """The base's score and the others' gains over it, (bases, tasks, arms), mean over seeds."""
    rates = [
        [np.mean([r.rates for r in sweep.results(arm, temperature)], axis=0) for arm in arms]
        for sweep in sweeps
    ]
    cells = np.array(rates, dtype=np.float64).transpose(0, 2, 1)
    cells[:, :, 1:] -= cells[:, :, :1]
    return cells


def _draws(cells: Floats) -> Floats:
    """Draws (B, A) of the means of `cells` (bases, tasks, arms) over further bases and tasks.

    The covariance of a mean over bases and tasks, which are crossed, is that between bases plus
    that between tasks minus that of the rest (which both contain), each as a mean square over the
    number of cells. The part of the tasks alone is kept from falling below 0.
    """
    bases, tasks, _ = cells.shape
    grand = cells.mean(axis=(0, 1))
    by_base, by_task = cells.mean(axis=1) - grand, cells.mean(axis=0) - grand
    rest = (cells - grand - by_base[:, None] - by_task).reshape(bases * tasks, -1)
    between_tasks = by_task.T @ by_task / (tasks * (tasks - 1))
    noise = rest.T @ rest / ((bases - 1) * (tasks - 1) * bases * tasks)
    sizes, axes = np.linalg.eigh(between_tasks - noise)
    shared = axes * np.sqrt(np.maximum(sizes, 0.0))
    generator = np.random.default_rng(SEED)
    widen = float(scipy.stats.t.ppf((1 + LEVEL) / 2, bases - 1)) / Z
    # Deviations weighted by independent normals have the covariance of the bases.
    over_bases = generator.standard_normal((stats.DRAWS, bases)) @ by_base
    over_tasks = generator.standard_normal((stats.DRAWS, len(sizes))) @ shared.T
    drawn: Floats = grand + widen / np.sqrt(bases * (bases - 1)) * over_bases + over_tasks
    return drawn


def sections(several: Sequence[Finished]) -> tuple[Section, ...]:
    """What holds over bases, for every group of sweeps that differ in nothing else."""
    return tuple(map(bases_section, same_but_base(several)))


def bases_section(group: Sequence[Finished]) -> Section:
    """What holds over sweeps that differ in their base checkpoint alone."""
    sweeps = [finished.sweep for finished in group]
    names = [finished.profile.name for finished in group]
    temperatures = _temperatures(sweeps)
    scored = group[0].profile.scored
    blocks: list[Block] = []
    for temperature in temperatures:
        arms = pool(sweeps, temperature)
        blocks += [_table(arms, temperature_name(temperature), names, scored), *_undefined(arms)]
    return Section("Over base checkpoints", (*blocks, *_texts(sweeps, temperatures[0])))


def _temperatures(sweeps: Sequence[Sweep]) -> list[float]:
    """The main temperature, and greedy, where every sweep scored base and full so."""
    scored = [set(sweep.temperatures(arm)) for sweep in sweeps for arm in ("base", "full")]
    common = set.intersection(*scored)
    main = 1.0 if 1.0 in common else max(common)
    return sorted({main, *({0.0} & common)}, reverse=True)


def _table(arms: Sequence[PooledArm], measure: str, names: Sequence[str], scored: str) -> Table:
    caption = (
        f"At {measure}: mean {named(scored)} of the base in percent, gain over it in points; mean "
        f"over {len(names)} base checkpoints, with 95 % intervals over bases and tasks; "
        "contribution; and the values on each base"
    )
    return Table(caption, ("arm", "mean", "contribution", *names), tuple(map(_row, arms)))


def _row(arm: PooledArm) -> tuple[str, ...]:
    if not arm.arm.trained:
        return (
            "base",
            percent_with_interval(arm.mean),
            "",
            *(f"{100 * value:.1f}" for value in arm.values),
        )
    share = "" if arm.arm == "full" else ratio(arm.contribution)
    gains = (f"{100 * value:+.1f}" for value in arm.values)
    return f"{arm.arm.label} - base", points(arm.mean), share, *gains


def _undefined(arms: Sequence[PooledArm]) -> tuple[Text, ...]:
    _, full, *others = arms
    if not others or any(arm.contribution for arm in others):
        return ()
    text = (
        f"Over bases, full - base is {points(full.mean)} points, not distinguishably above 0, so "
        "contributions are undefined here."
    )
    return (Text(text, "warning"),)


def _texts(sweeps: Sequence[Sweep], temperature: float) -> tuple[Text, Text]:
    count = len(sweeps)
    freedom = f"{count - 1} degree{'s' * (count > 2)} of freedom"
    method = (
        f"Bases are the outer level here: intervals come from how far the {count} bases lie apart "
        f"(Student's t, {freedom}) and from the choice of tasks, so they speak about further warm "
        "starts. The sweeps' own intervals speak about one base each."
    )
    spreads = spread(sweeps, temperature)
    sentence = (
        f"Standard deviation between bases, scoring noise taken off ({freedom}): "
        f"{100 * spreads.base:.1f} points for the untrained score, {100 * spreads.gain:.1f} for "
        "the gain of full training."
    )
    if spreads.seeds is not None:
        sentence += (
            f" Between seeds of reinforcement learning on one base: {100 * spreads.seeds:.1f} for "
            "a trained arm's score, pooled over arms, which may differ in this."
        )
    return Text(sentence), Text(method)


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, over_sweeps=sections)
