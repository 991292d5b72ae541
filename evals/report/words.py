"""Numbers and layers as text, in the same form everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from layergym.base.numbers import in_runs
from layergym.evals.arms import ArmName
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.report.model import Number, Text
from layergym.evals.stats import Estimate


def named(scored: str) -> str:
    """What a score is the mean of, for captions: "success", or "return"."""
    return {"reward": "return"}.get(scored, scored)


def score_of(scored: str) -> str:
    """What a caption calls the score: it says so where the score is not of success."""
    return "Score" if scored == "success" else f"Score (mean {named(scored)})"


def percent_with_interval(estimate: Estimate | None) -> str:
    """A score in percent with its interval."""
    return with_interval(estimate, 100, "{:z.1f}")


def points(estimate: Estimate | None) -> str:
    """A difference of scores in percentage points with its interval."""
    return with_interval(estimate, 100, "{:+z.1f}")


def ratio(estimate: Estimate | None) -> str:
    """A contribution or correlation with its interval."""
    return with_interval(estimate, 1, "{:z.2f}")


def figure(value: float | None, form: str = "{:g}", scale: float = 1) -> str:
    """`scale` times a value without an interval, in the format `form`; "-" when it is unknown."""
    return "-" if value is None else Number(form.format(scale * value), Estimate(value))


def rank_range(ranks: tuple[int, int]) -> str:
    """The ranks that the data allow: "2-5"."""
    best, worst = ranks
    return Number(f"{best}-{worst}", Estimate(best, best, worst))


def amount(value: float | None, unit: str = "") -> str:
    """A count or amount in short form: 1.2 M, 3.4 MB, 81.6 s; "-" when it is unknown."""
    return "-" if value is None else Number(_short(value, unit), Estimate(value))


def _short(value: float, unit: str) -> str:
    if unit == "s" or value < 1000:
        digits = 0 if unit != "s" or value >= 100 else 1
        return f"{value:,.{digits}f} {unit}".strip()
    for prefix in ("k", "M", "G", "T"):
        value /= 1000
        if value < 1000 or prefix == "T":
            break
    return f"{value:.3g} {prefix}{unit}"


def listed(layers: Sequence[int]) -> str:
    """Layers as runs: 0-3, 5, 8-9."""
    return in_runs(layers, ", ")


def together(arms: Sequence[ArmName]) -> str:
    """Arms in short: "full, layers 0-3, 5"."""
    layers = [layer for arm in arms if (layer := arm.layer) is not None]
    named = [arm.label for arm in arms if arm.layer is None]
    name = "layers" if len(layers) > 1 else "layer"
    return ", ".join(named + ([f"{name} {listed(layers)}"] if layers else []))


def single_runs(profile: LayerProfile) -> bool:
    """Whether every arm was trained with one seed, so that luck of training is not measured."""
    return profile.seeds[1] == 1


def claim(profile: LayerProfile, text: str, tone: Literal["plain", "finding"] = "finding") -> Text:
    """What the data show about layers; with one seed per arm they show it about runs only."""
    if single_runs(profile):
        return Text(f"{text} These are single runs: one seed per arm says nothing about layers.")
    return Text(text, tone)


def with_interval(estimate: Estimate | None, scale: float, form: str) -> str:
    """`scale` times an estimate, each number in the format `form` (with a "z": never -0.0)."""
    if estimate is None:
        return "undefined"
    text = form.format(scale * estimate.value)
    if estimate.low is not None and estimate.high is not None:
        low, high = (form.format(scale * bound) for bound in (estimate.low, estimate.high))
        text += f" [{low}, {high}]"
    return Number(text, estimate)
