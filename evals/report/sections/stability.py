"""The section about several profiles: how alike they rank their layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from layergym.evals.contribution.measure import ArmScore
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.rankings import compare_profiles, gains_by_depth
from layergym.evals.report.model import Plot, Role, Section, Series, Table, Text
from layergym.evals.report.words import figure, ratio
from layergym.evals.stats.agreement import Agreement

_ROLES: tuple[Role, ...] = ("ink", "accent")
_PATTERNS = 4
CORRELATIONS = ("Spearman", "Kendall", "Spearman, no trend", "Kendall, no trend")
"""Columns for how alike two profiles are: as they stand, and without a trend in depth."""


def stability_section(profiles: Sequence[LayerProfile]) -> Section:
    """How alike several profiles rank their layers."""
    rows = []
    for first, second in itertools.combinations(profiles, 2):
        alike = compare_profiles(first, second)
        rows.append(
            (
                f"{first.name} / {second.name}",
                figure(alike.layers),
                *correlations(alike.raw),
                *correlations(alike.without_trend),
            )
        )
    plot = Plot(
        "Contribution by relative depth in each run (gain over the largest gain of a layer where "
        "contributions are undefined); its table gives 95 % intervals over tasks and seeds",
        "relative depth",
        "contribution",
        tuple(_outline(p, i) for i, p in enumerate(profiles)),
        references=(("full", 1.0), ("base", 0.0)),
        joined=True,
    )
    text = (
        "Raw correlation mostly says that good and bad regions of the stack agree. What is left "
        "after a quadratic trend in depth is removed says whether single layers do. Intervals are "
        "over layers (Fisher's z), not corrected for attenuation: noise in the profiles lowers a "
        "correlation, so the true profiles may agree better than the interval says. Sweeps with "
        "the same seeds share some luck of training, which raises it. Models of different depth "
        "are matched by relative depth."
    )
    if all(row[2:] == ("-",) * 4 for row in rows):
        text = "No correlation is given: it takes five layers in common, and profiles that vary."
        return Section("Ranking stability", (plot, Text(text)))
    table = Table("Agreement of profiles", ("runs", "layers", *CORRELATIONS), tuple(rows))
    return Section("Ranking stability", (plot, table, Text(text)))


def _outline(profile: LayerProfile, place: int) -> Series:
    """The profile's curve; two colours and four patterns tell eight apart."""
    role, dash = _ROLES[place % 2], place // 2 % _PATTERNS
    main = profile.measures[0]
    depth, gains = gains_by_depth(profile)
    unit = main.gain.value if main.defined else max(*map(abs, gains.tolist()), 1e-9)
    ends = [_ends(arm, unit, defined=main.defined) for arm in main.layers]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    low, high = zip(*known, strict=True) if len(known) == len(ends) else ((), ())
    return Series(
        profile.name, tuple(depth.tolist()), tuple((gains / unit).tolist()), low, high, role, dash
    )


def _ends(arm: ArmScore, unit: float, *, defined: bool) -> tuple[float | None, float | None]:
    """The interval of the arm's point in the plot."""
    if defined:
        at = arm.contribution
        return (None, None) if at is None else (at.low, at.high)
    low, high = arm.gain.low, arm.gain.high
    return (None, None) if low is None or high is None else (low / unit, high / unit)


def correlations(agreement: Agreement | None) -> tuple[str, str]:
    """The two cells of a table with `CORRELATIONS` that are without trend, or the two with it."""
    if agreement is None:
        return "-", "-"
    return ratio(agreement.spearman), ratio(agreement.kendall)
