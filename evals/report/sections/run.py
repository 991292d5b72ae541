"""Sections read from run folders: those of a sweep, those of one run, and settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from layergym.evals.contribution.moved import moved
from layergym.evals.report.model import Number, Section, Table, Text
from layergym.evals.report.sections.cost import cost_section
from layergym.evals.report.sections.curves import curves_section
from layergym.evals.report.sections.kinds import kinds_section
from layergym.evals.report.sections.moved import moved_section
from layergym.evals.report.sections.search import search_section
from layergym.evals.report.sections.unfinished import stopped_section
from layergym.evals.report.study import Finished
from layergym.evals.report.words import figure, listed, percent_with_interval, score_of
from layergym.evals.results import Run, cut_short
from layergym.evals.stats import Estimate
from layergym.evals.stats.board import score_alone


def sweep_sections(finished: Finished) -> tuple[Section, ...]:
    """What the runs of a sweep add to its profile."""
    sweep, main = finished.sweep, finished.profile.measures[0]
    best = max(main.layers or main.arms, key=lambda arm: arm.score.value, default=None)
    sections = [
        search_section(sweep),
        stopped_section(sweep),
        kinds_section(finished),
        moved_section(sweep.runs),
        curves_section(sweep.runs, best.arm if best else ""),
        cost_section(sweep.runs),
        settings_section(sweep.settings, sweep.manifest, sweep.runs),
    ]
    return tuple(section for section in sections if section is not None)


def run_sections(run: Run) -> tuple[Section, ...]:
    """A single training run: its scores, learning curve, cost and settings."""
    lost = [
        Text(f"{result.name}: {losses}", "warning")
        for result in run.evals
        if (losses := cut_short(result.errors, result.out_of_context, result.shortened))
    ]
    scores = [
        (
            result.name,
            figure(len(result.tasks)),
            figure(result.repeats),
            percent_with_interval(score_alone(result.rates)),
        )
        for result in sorted(run.evals, key=lambda r: -r.temperature)
    ]
    text = Text("This run has not been evaluated yet.", "warning")
    scored = run.evals[0].scored if run.evals else "success"
    table = Table(
        f"{score_of(scored)} in percent, with 95 % bootstrap intervals over tasks",
        ("evaluation", "tasks", "episodes per task", "score"),
        tuple(scores),
    )
    sections = [
        Section("Scores", (table, *lost) if scores else (text,)),
        moved_section((run,)),
        curves_section((run,), run.arm),
        cost_section((run,)),
        settings_section(run.config, run.manifest, (run,)),
    ]
    return tuple(section for section in sections if section is not None)


def costs(runs: Sequence[Run]) -> tuple[Mapping[str, Any], ...]:
    """The cost of every run as plain numbers, and how far it moved each layer (`moved`)."""
    return tuple(
        {"arm": run.arm, "seed": run.seed, **asdict(run.cost), "moved": moved(run)} for run in runs
    )


def settings_section(
    settings: Mapping[str, Any], manifest: Mapping[str, Any], runs: Sequence[Run]
) -> Section | None:
    """What was asked for and where it ran; None when neither is known."""
    tables = [
        Table(title, ("name", "value"), _flat(values), True)
        for title, values in (("Settings", settings), ("Manifest", manifest))
        if values
    ]
    if not tables:
        return None
    return Section("Settings and manifest", tuple(tables), _brief(manifest, runs))


def _brief(manifest: Mapping[str, Any], runs: Sequence[Run]) -> str:
    panel = next((result for run in runs for result in run.evals), None)
    parts = [panel.env_id, f"panel {panel.panel_hash[:8]}"] if panel else []
    seeds = sorted({run.seed for run in runs})
    parts += [f"seed{'s' * (len(seeds) > 1)} {listed(seeds)}"]
    parts += [f"commit {str(commit)[:8]}"] if (commit := manifest.get("commit")) else []
    return f"{', '.join(parts)}. All settings: layergym report with --html or --md."


def _flat(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and values, those inside a table by "table.name"."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}.{inner}", text) for inner, text in _flat(value)]
        else:
            rows.append((name, _plain(value)))
    return tuple(rows)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    with suppress(OverflowError):  # A whole number that no float holds is a text.
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return Number(str(value), Estimate(value))
    return "-" if value is None else str(value)
