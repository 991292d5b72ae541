"""Sections read from run folders: task types, learning curves, cost, settings, stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from layergym.evals import stats
from layergym.evals.contribution.measure import SEED
from layergym.evals.contribution.moved import moved
from layergym.evals.report.model import Block, Plot, Role, Section, Series, Table, Text
from layergym.evals.report.sections.moved import moved_section
from layergym.evals.report.sections.search import search_section
from layergym.evals.report.sections.unfinished import stopped_section
from layergym.evals.report.study import Finished
from layergym.evals.report.words import (
    amount,
    listed,
    named,
    percent_with_interval,
    score_of,
    together,
)
from layergym.evals.results import Cost, EvalResult, Run, Sweep, arm_label, cut_short
from layergym.evals.stats import Floats

_COST_UNITS = {
    "train_s": ("train (s)", "s"),
    "rollout_s": ("rollout (s)", "s"),
    "update_s": ("update (s)", "s"),
    "eval_s": ("eval (s)", "s"),
    "tokens": ("tokens", ""),
    "peak_memory_bytes": ("peak memory", "B"),
    "trainable_parameters": ("trained weights", ""),
    "checkpoint_bytes": ("delta file", "B"),
}


def sweep_sections(finished: Finished) -> tuple[Section, ...]:
    """What the runs of a sweep add to its profile."""
    sweep, main = finished.sweep, finished.profile.measures[0]
    best = max(main.layers or main.arms, key=lambda arm: arm.score.value, default=None)
    found = [
        search_section(sweep),
        stopped_section(sweep),
        _kinds(sweep, finished.temperature),
        moved_section(sweep.runs),
        _curves(sweep.runs, best.arm if best else ""),
        _cost(sweep.runs),
        settings_section(sweep.settings, sweep.manifest, sweep.runs),
    ]
    return tuple(section for section in found if section is not None)


def run_sections(run: Run) -> tuple[Section, ...]:
    """A single training run: its scores, learning curve, cost and settings."""
    lost = [
        Text(f"{result.name}: {told}", "warning")
        for result in run.evals
        if (told := cut_short(result.errors, result.out_of_context, result.shortened))
    ]
    scores = [
        (
            result.name,
            str(len(result.tasks)),
            str(result.repeats),
            percent_with_interval(_score(result)),
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
    found = [
        Section("Scores", (table, *lost) if scores else (text,)),
        moved_section((run,)),
        _curves((run,), run.arm),
        _cost((run,)),
        settings_section(run.config, run.manifest, (run,)),
    ]
    return tuple(section for section in found if section is not None)


def costs(runs: Sequence[Run]) -> tuple[Mapping[str, Any], ...]:
    """The cost of every run as plain numbers, and how far it moved each layer (`moved`)."""
    return tuple(
        {"arm": run.arm, "seed": run.seed, **asdict(run.cost), "moved": moved(run)} for run in runs
    )


def _kinds(sweep: Sweep, temperature: float) -> Section | None:
    panel = sweep.panel
    if panel is None or len(set(panel.kinds)) < 2:
        return None
    kinds = sorted(set(panel.kinds))
    inside = {kind: np.array([k == kind for k in panel.kinds]) for kind in kinds}
    arms = [arm for arm in sweep.arms if sweep.results(arm, temperature)]
    tables = [np.array([r.rates for r in sweep.results(arm, temperature)]) for arm in arms]
    trained = [arm != "base" for arm in arms]
    columns = [_kind([table[:, mask] for table in tables], trained) for mask in inside.values()]
    rows = zip(map(arm_label, arms), *columns, strict=True)
    counts = ("tasks", *(str(int(mask.sum())) for mask in inside.values()))
    title = (
        f"{named(panel.scored).capitalize()} in percent by type of task, with 95 % intervals over "
        "its tasks and the seeds, each on its own"
    )
    names = tuple(kind.replace("_", " ") or "(none)" for kind in kinds)
    return Section("Types of task", (Table(title, ("arm", *names), (counts, *rows)),))


def _kind(tables: Sequence[Floats], trained: Sequence[bool]) -> list[str]:
    """Scores of all arms on the tasks of one type; a single task has no interval."""
    if tables[0].shape[1] < 2:
        return [percent_with_interval(stats.Estimate(float(table.mean()))) for table in tables]
    draws = stats.joint_draws(tables, trained, seed=SEED)
    return [
        percent_with_interval(stats.score_interval(t, draws[:, i])) for i, t in enumerate(tables)
    ]


def _curves(runs: Sequence[Run], best: str) -> Section | None:
    plots: list[Block] = []
    for key, label in (("success", "success in training"), ("reward", "reward in training")):
        curves = {}
        for arm in dict.fromkeys(run.arm for run in runs):
            points = _curve([run for run in runs if run.arm == arm], key)
            if len(points) > 1:
                curves[arm] = points
        if curves:
            series = tuple(
                Series(arm_label(arm), tuple(points), tuple(points.values()), role=_role(arm, best))
                for arm, points in sorted(curves.items(), key=lambda item: _role(item[0], best))
            )
            plots.append(Plot("Learning curves, mean over seeds", "step", label, series, (), True))
    return Section("Learning curves", (plots[0], *_rates(runs))) if plots else None


def _rates(runs: Sequence[Run]) -> tuple[Text, ...]:
    """The learning rates that arms began with; published protocols differ in them."""
    arms: dict[float, list[str]] = {}
    for arm in dict.fromkeys(run.arm for run in runs):
        rows = [row for run in runs if run.arm == arm for row in run.metrics]
        rate = next((r for row in rows if (r := _number(row.get("learning_rate")))), None)
        if rate is not None:
            arms.setdefault(rate, []).append(arm)
    if not arms:
        return ()
    told = "; ".join(f"{rate:g}: {together(names)}" for rate, names in arms.items())
    return (Text(f"Learning rate at the first step: {told}."),)


def _role(arm: str, best: str) -> Role:
    return "accent" if arm == best else "ink" if arm == "full" else "muted"


def _curve(runs: Sequence[Run], key: str) -> dict[float, float]:
    found: dict[float, list[float]] = {}
    for run in runs:
        for row in run.metrics:
            step, value = _number(row.get("step")), _number(row.get(key))
            if step is not None and value is not None:
                found.setdefault(step, []).append(value)
    return {step: float(np.mean(values)) for step, values in sorted(found.items())}


def _number(value: Any) -> float | None:
    """`value` where it can be plotted: no NaN, nothing astronomical."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None


def _cost(runs: Sequence[Run]) -> Section | None:
    names = [field.name for field in fields(Cost)]
    known = [n for n in names if any(getattr(run.cost, n) is not None for run in runs)]
    if not known:
        return None
    rows = []
    for arm in dict.fromkeys(run.arm for run in runs):
        own = [run for run in runs if run.arm == arm]
        cells = [_mean_cost(own, name) for name in known]
        rows.append((arm_label(arm), str(len(own)), *cells))
    columns = ("arm", "runs", *(_COST_UNITS[name][0] for name in known))
    return Section("Cost", (Table("Mean per run", columns, tuple(rows)),))


def _mean_cost(runs: Sequence[Run], name: str) -> str:
    values = [v for run in runs if (v := getattr(run.cost, name)) is not None]
    text = amount(float(np.mean(values)) if values else None, _COST_UNITS[name][1])
    return text.removesuffix(" s")  # It stands in the heading.


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
    told = [panel.env_id, f"panel {panel.panel_hash[:8]}"] if panel else []
    seeds = sorted({run.seed for run in runs})
    told += [f"seed{'s' * (len(seeds) > 1)} {listed(seeds)}"]
    told += [f"commit {str(commit)[:8]}"] if (commit := manifest.get("commit")) else []
    return f"{', '.join(told)}. All settings: layergym report with --html or --md."


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
    return "-" if value is None else str(value)


def _score(result: EvalResult) -> stats.Estimate:
    table = result.rates[None]
    return stats.score_interval(table, stats.joint_draws([table], [False], seed=0)[:, 0])
