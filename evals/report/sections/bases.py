"""The section that pools sweeps over their base checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.contribution.profile import temperature_name
from layergym.evals.report.model import Block, Section, Table, Text
from layergym.evals.report.words import named, percent_with_interval, points, ratio
from layergym.evals.results import Sweep, arm_label
from layergym.evals.studies.bases import Found, PooledArm, pool, spread


def bases_section(found: Sequence[Found]) -> Section:
    """What holds over sweeps that differ in their base checkpoint alone."""
    sweeps = [sweep for sweep, _ in found]
    names = [told.name for _, told in found]
    temperatures = _temperatures(sweeps)
    scored = found[0][1].scored
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
    if arm.arm == "base":
        return (
            "base",
            percent_with_interval(arm.mean),
            "",
            *(f"{100 * value:.1f}" for value in arm.values),
        )
    share = "" if arm.arm == "full" else ratio(arm.contribution)
    gains = (f"{100 * value:+.1f}" for value in arm.values)
    return f"{arm_label(arm.arm)} - base", points(arm.mean), share, *gains


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
    found = spread(sweeps, temperature)
    told = (
        f"Standard deviation between bases, scoring noise taken off ({freedom}): "
        f"{100 * found.base:.1f} points for the untrained score, {100 * found.gain:.1f} for the "
        "gain of full training."
    )
    if found.seeds is not None:
        told += (
            f" Between seeds of reinforcement learning on one base: {100 * found.seeds:.1f} for a "
            "trained arm's score, pooled over arms, which may differ in this."
        )
    return Text(told), Text(method)
