"""Sections about one profile: findings, contribution by depth, scores, temperatures."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.arms import ArmName
from layergym.evals.contribution.measure import ArmScore, Measure
from layergym.evals.contribution.profile import LayerProfile, temperature_name
from layergym.evals.contribution.rankings import depth_trend
from layergym.evals.report.cautions import cautions
from layergym.evals.report.findings import findings
from layergym.evals.report.model import Block, Plot, Section, Series, Table, Text
from layergym.evals.report.sections.seeds import runs_section, stand_apart
from layergym.evals.report.words import (
    percent_with_interval,
    points,
    rank_range,
    ratio,
    score_of,
)
from layergym.evals.stats import Estimate


def profile_sections(profile: LayerProfile) -> tuple[Section, ...]:
    """What one profile says, shows and recommends."""
    warned = tuple(Text(sentence, "warning") for sentence in stand_apart(profile))
    sections = [Section("Findings", (*findings(profile), *warned))]
    main = profile.measures[0]
    if main.layers:
        others = [depth_plot(m, profile) for m in profile.measures[1:] if m.defined]
        blocks: list[Block] = [depth_plot(main, profile), _layer_table(profile)]
        blocks += [*cautions(profile), *_trend(main, profile.num_layers), *others]
        sections.append(Section("Contribution by depth", tuple(blocks)))
    sections.append(Section("Scores", _scores(profile)))
    sections += [runs] if (runs := runs_section(profile)) else []
    return tuple(sections)


def depth_plot(shown: Measure, profile: LayerProfile) -> Plot:
    """Contribution of every layer with its interval; the gain where contribution is undefined."""
    best = shown.best
    defined = any(arm.joint_contribution is not None for arm in shown.layers)
    rest = [arm for arm in shown.layers if arm is not best]
    series = [_series("layer", rest, "ink", defined=defined)] if rest else []
    if best is not None:
        series.append(_series("highest layer", [best], "accent", defined=defined))
    full = 1.0 if defined else 100 * shown.gain.value
    what = "Contribution" if defined else "Gain"
    bars = f", with 95 % intervals that hold together ({_size(profile)})" if profile.repeats else ""
    base = "sharpened base" if shown.sharpened else "base"
    return Plot(
        caption=f"{what} of each layer trained alone, {shown.name}{bars}",
        x_label="layer",
        y_label=f"contribution, 0 = {base}, 1 = full" if defined else f"score - {base}, points",
        series=tuple(series),
        references=(("full", full), ("base", 0.0)),
        bands=_bands(shown, defined=defined),
        span=float(profile.num_layers - 1),
    )


def _series(name: str, arms: Sequence[ArmScore], role: str, *, defined: bool) -> Series:
    heights = [_height(arm, defined=defined) for arm in arms]
    return Series(
        name,
        tuple(float(arm.layer or 0) for arm in arms),
        tuple(at.value for at in heights),
        tuple(at.low for at in heights if at.low is not None),
        tuple(at.high for at in heights if at.high is not None),
        "accent" if role == "accent" else "ink",
    )


def _bands(shown: Measure, *, defined: bool) -> tuple[tuple[str, Estimate], ...]:
    """Control arms in the unit of the depth plot."""
    controls = (arm for arm in shown.arms if arm.arm.is_control)
    return tuple((arm.arm, _height(arm, defined=defined)) for arm in controls)


def _height(arm: ArmScore, *, defined: bool) -> Estimate:
    """An arm in the depth plot: its contribution, or its gain in points."""
    if defined and arm.joint_contribution is not None:
        return arm.joint_contribution
    at = arm.joint_gain
    low, high = (None if end is None else 100 * end for end in (at.low, at.high))
    return Estimate(100 * at.value, low, high)


def _layer_table(profile: LayerProfile) -> Table:
    main = profile.measures[0]
    others = [{arm.arm: arm for arm in m.arms} for m in profile.measures[1:]]
    rows = []
    for arm in main.layers:
        ranks = [rank_range(arm.ranks)] if arm.ranks else []
        more = [ratio(other[arm.arm].contribution) if arm.arm in other else "-" for other in others]
        rows.append((str(arm.layer), ratio(arm.contribution), *ranks, *more))
    columns = ["layer", main.name]
    caption = "Contribution"
    if profile.repeats:
        columns.append("rank")
        caption += (
            " with 95 % intervals for each layer by itself (Fieller), and the ranks that the data "
            "allow (joint)"
        )
    columns += [m.name for m in profile.measures[1:]]
    return Table(caption, tuple(columns), tuple(rows))


def _trend(main: Measure, num_layers: int) -> tuple[Text, ...]:
    trend = None if all(third is None for third in main.thirds) else depth_trend(main, num_layers)
    if trend is None:
        return ()
    return (
        Text(
            f"Spearman's correlation of contribution with closeness to the middle is "
            f"{ratio(trend.middle)}, with closeness to the input {ratio(trend.first)} "
            f"(intervals over the {trend.layers} layers).",
            numbers={
                "correlation with closeness to the middle": trend.middle,
                "correlation with closeness to the input": trend.first,
            },
        ),
    )


def _scores(profile: LayerProfile) -> tuple[Block, ...]:
    plain = [m for m in profile.measures if not m.sharpened]
    others = [{arm.arm: arm for arm in m.arms} for m in plain[1:]]
    main = plain[0]
    joint = " (joint)" if profile.repeats else ""
    columns = ["arm", main.name, "minus base, points", f"minus full, points{joint}"]
    columns += [m.name for m in plain[1:]]
    rows = [
        (
            "base",
            percent_with_interval(main.base),
            "",
            points(_negative(main.gain)),
            *_of(plain, "base"),
        ),
        ("full", percent_with_interval(main.full), points(main.gain), "", *_of(plain, "full")),
    ]
    for arm in main.arms:
        more = [
            percent_with_interval(other[arm.arm].score) if arm.arm in other else "-"
            for other in others
        ]
        rows.append(
            (
                arm.arm.label,
                percent_with_interval(arm.score),
                points(arm.gain),
                points(arm.against_full),
                *more,
            )
        )
    intervals = ", with 95 % intervals" if profile.repeats else ""
    caption = f"{score_of(profile.scored)} in percent{intervals}"
    blocks: list[Block] = [Table(caption, tuple(columns), tuple(rows))]
    extra = [arm for arm in main.arms if arm.layer is None]
    if extra:
        blocks.append(
            Table(
                "Contribution of further arms" if main.layers else "Contribution",
                ("arm", *(m.name for m in profile.measures)),
                tuple((arm.arm.label, *_contributions(profile, arm.arm)) for arm in extra),
            )
        )
    if len(profile.base_by_temperature) > 1:
        blocks.append(
            Table(
                "The untrained base by sampling temperature",
                ("temperature", "score, percent"),
                tuple(
                    (temperature_name(t).removeprefix("temperature "), percent_with_interval(score))
                    for t, score in profile.base_by_temperature
                ),
            )
        )
    return (*blocks, _method(profile))


def _of(measures: Sequence[Measure], arm: str) -> list[str]:
    return [percent_with_interval(m.base if arm == "base" else m.full) for m in measures[1:]]


def _contributions(profile: LayerProfile, name: ArmName) -> list[str]:
    scored = [{arm.arm: arm for arm in m.arms}.get(name) for m in profile.measures]
    return ["-" if arm is None else ratio(arm.contribution) for arm in scored]


def _negative(estimate: Estimate) -> Estimate:
    if estimate.low is None or estimate.high is None:
        return Estimate(-estimate.value)
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


def _method(profile: LayerProfile) -> Text:
    if profile.repeats == 0:
        return Text("A published table without repeats: no intervals can be given.")
    pooled = (
        ", and over seeds, whose variance is pooled over the trained arms, except those with a run "
        "that stands apart"
    )
    scored = "" if profile.scored == "success" else " Scores are mean returns, not success rates."
    return Text(
        f"{profile.env_id}: {_size(profile)} per trained arm, {profile.repeats} "
        f"episode{'s' * (profile.repeats > 1)} per task at {profile.measures[0].name}.{scored} "
        "Intervals: 95 %, bootstrap over tasks, "
        f"paired between arms{pooled if profile.seeds[1] > 1 else ''}. "
        '"Joint" intervals hold for all arms together (max-t), also for one that was picked for '
        "its score; the others are for one arm by itself."
    )


def _size(profile: LayerProfile) -> str:
    fewest, most = profile.seeds
    seeds = f"{most} seed{'s' * (most > 1)}" if fewest == most else f"{fewest} to {most} seeds"
    return f"{profile.tasks} tasks, {seeds}"
