"""The section that pools sweeps over their base checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.bases import pool
from layergym.evals.contribution import LayerProfile
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.report.words import points, ratio
from layergym.evals.results import arm_label


def bases_section(profiles: Sequence[LayerProfile]) -> Section:
    """What holds over sweeps that differ in their base checkpoint alone."""
    rows = tuple(
        (
            arm_label(arm.arm),
            points(arm.gain),
            "" if arm.arm == "full" else ratio(arm.contribution),
            *(f"{100 * gain:+.1f}" for gain in arm.gains),
        )
        for arm in pool(profiles)
    )
    names = tuple(profile.name for profile in profiles)
    count = len(profiles)
    caption = (
        f"Gain over the base in points at {profiles[0].measures[0].name}, mean over {count} base "
        "checkpoints, with 95 % intervals between bases; contribution; and the gain on each base"
    )
    text = (
        f"Bases are the outer level here: intervals come from how far the {count} bases lie apart "
        f"(Student's t, {count - 1} degree{'s' * (count > 2)} of freedom), so they speak about "
        "further warm starts. The sweeps' own intervals speak about one base each."
    )
    columns = ("arm", "gain, points", "contribution", *names)
    return Section("Over base checkpoints", (Table(caption, columns, rows), Text(text)))
