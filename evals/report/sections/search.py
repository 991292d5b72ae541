"""What a sweep decided on its way: learning rates, which layers it ran, which it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layergym.base.numbers import Bounds
from layergym.evals.arms import ArmName
from layergym.evals.report.model import Block, Section, Table, Text
from layergym.evals.report.words import figure, listed, named, percent_with_interval
from layergym.evals.results import Run, Sweep
from layergym.evals.stats import Estimate
from layergym.evals.sweep.tuning import GridScore, Tuning, read_tuning


def search_section(sweep: Sweep) -> Section | None:
    """The decisions, and what they mean for the reader; None where there were none."""
    blocks: list[Block] = []
    if tuning := read_tuning(sweep.path):
        blocks += _tuning(tuning, named(sweep.panel.scored if sweep.panel else "success"))
    if sweep.asked.scan:
        blocks.append(_scan(sweep, sweep.asked.scan))
    if sweep.asked.race:
        blocks.append(_race(sweep, sweep.asked.race))
    return Section("Decisions on the way", tuple(blocks)) if blocks else None


def _tuning(tuning: Tuning, scored: str) -> tuple[Block, ...]:
    rows = [
        (
            one.arm.label,
            figure(one.rate),
            percent_with_interval(Estimate(one.score, one.low, one.high)),
            "chosen" if one.rate == _chosen(tuning, one) else "",
        )
        for one in tuning.grid
    ]
    table = Table(
        f"Learning rates tried, one run each; {scored} in percent on {tuning.panel}, at "
        "temperature 1, with 95 % intervals over tasks",
        ("arm", "rate", scored, ""),
        tuple(rows),
    )
    edges = [one.arm for one in tuning.grid if _at_edge(tuning, one)]
    return (table, *(Text(_edge(arm), "warning") for arm in edges))


def _chosen(tuning: Tuning, one: GridScore) -> float:
    return tuning.full if one.arm == "full" else tuning.layer


def _at_edge(tuning: Tuning, one: GridScore) -> bool:
    rates = [other.rate for other in tuning.grid]
    return one.rate == _chosen(tuning, one) and one.rate in (min(rates), max(rates))


def _edge(arm: ArmName) -> str:
    return (
        f"The rate chosen for {arm.label} is the end of the grid; a wider grid might find a "
        "better one, and a comparison with the others be less fair."
    )


def _scan(sweep: Sweep, stride: int) -> Text:
    layers = sorted({layer for run in sweep.runs if (layer := run.arm.layer) is not None})
    return Text(
        f"A coarse-to-fine scan (one layer in {stride} first, then around the best on the "
        f"development panel) ran layers {listed(layers)}. It looks for a good layer; what the "
        "others would have reached is not known, and ranks are among those that ran."
    )


def _steps(run: Run) -> int:
    """How many the run was to take; those that it took, where its settings do not say."""
    steps: Any = run.config.get("steps")
    return int(steps) if Bounds(0, whole=True).hold(steps) else len(run.metrics)


def _race(sweep: Sweep, looks: Sequence[int]) -> Text:
    stopped = [run for run in sweep.runs if run.manifest.get("stopped")]
    out = sorted({layer for run in stopped if (layer := run.arm.layer) is not None})
    steps = sum(_steps(run) - len(run.metrics) for run in stopped)
    raced = f"Layers raced on the development panel at step {listed(looks)}"
    if not out:
        return Text(f"{raced}; none was clearly behind.")
    return Text(
        f"{raced}: stopped were {listed(out)}, which saved {steps} steps. They have no score on "
        "the final panel, hence no contribution; ranks are among the others."
    )
