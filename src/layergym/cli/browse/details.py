"""One folder in detail: its runs, its curves, what its layers contribute, its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.base.files import read_json, read_lines
from layergym.cli.browse.folders import in_one_line, kind_of, run_line, sweep_runs
from layergym.evals.arms import ArmName
from layergym.evals.contribution.measure import ArmScore, Measure
from layergym.evals.contribution.profile import profile
from layergym.evals.result_files import read_sweep

POINTS = 300
"""Points of one curve at most."""
FIRST = ("success", "reward", "held_out/success", "held_out/reward", "loss", "entropy", "kl")
"""Measures that a reader looks for first."""


def in_detail(path: Path) -> dict[str, Any]:
    """What the page of one folder shows, but for curves and contributions."""
    found = in_one_line(path)
    if "problem" in found:
        return found
    runs = [(run, *_name(run)) for run in folders_of_runs(path)]
    lines = [_line(run, path) | {"arm": arm, "seed": seed} for run, arm, seed in runs]
    return found | {
        "runs": lines,
        "measures": measures_of(path),
        "settings": list(_flat(_settings(path))),
    }


def folders_of_runs(path: Path) -> list[Path]:
    """The run folders of a sweep or an evaluation; a run is its own."""
    kind = kind_of(path)
    if kind == "sweep":
        return sweep_runs(path)
    return sorted(path.glob("agents/*/seed-*")) if kind == "evaluation" else [path]


def measures_of(path: Path) -> list[str]:
    """What the runs of a folder logged, those first that a reader looks for."""
    last = [rows[-1] for run in folders_of_runs(path) if (rows := _rows(run))]
    names = {name for row in last for name in row} - {"step"}
    return sorted(names, key=lambda name: (_place(name), name))


def curves(path: Path, measure: str) -> dict[str, Any]:
    """One measure by step, a curve for every run that logged it."""
    found = []
    for run in folders_of_runs(path):
        points = [(row["step"], row[measure]) for row in _rows(run) if measure in row]
        if points:
            arm, seed = _name(run)
            thin = points[:: -(-len(points) // POINTS)]
            thin += points[-1:] if thin[-1] != points[-1] else []
            x, y = zip(*thin, strict=True)
            found.append({"arm": arm, "seed": seed, "x": list(x), "y": list(y)})
    return {"measure": measure, "curves": found}


def contributions_of(path: Path) -> dict[str, Any]:
    """What each layer of a sweep contributes, in every way of reading it."""
    if kind_of(path) != "sweep":
        return {}
    try:
        found = profile(read_sweep(path))
    except InputError as error:
        return {"problem": str(error)}
    return {
        "num_layers": found.num_layers,
        "tasks": found.tasks,
        "repeats": found.repeats,
        "measures": [_measure(measure) for measure in found.measures],
        "sharpening": found.sharpening,
    }


def _measure(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.name,
        "base": asdict(measure.base),
        "full": asdict(measure.full),
        "gain": asdict(measure.gain),
        "arms": [_arm(score) for score in measure.arms],
    }


def _arm(score: ArmScore) -> dict[str, Any]:
    share = score.joint_contribution or score.contribution
    return {
        "arm": score.arm.label,
        "layer": score.layer,
        "seeds": score.seeds,
        "score": asdict(score.score),
        "gain": asdict(score.joint_gain),
        "contribution": asdict(share) if share else None,
    }


def _name(run: Path) -> tuple[str, str]:
    """Arm or agent, and seed, of a run folder."""
    seed = run.name.removeprefix("seed-") if run.name.startswith("seed-") else ""
    if not seed:
        return run.resolve().name, ""
    return ArmName(run.parent.name).label, seed


def _line(run: Path, within: Path) -> dict[str, Any]:
    try:
        return run_line(run, within)
    except InputError as error:
        return {"problem": str(error)}


def _rows(run: Path) -> Sequence[Mapping[str, Any]]:
    try:
        return read_lines(run / "metrics.jsonl")
    except InputError:
        return []  # `_line` says so.


def _settings(path: Path) -> Mapping[str, Any]:
    names = {"sweep": "sweep.json", "evaluation": "eval.json", "run": "config.json"}
    return read_json(path / names[str(kind_of(path))])


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{before}{name}", text if len(text) < 300 else f"{text[:300]} ..."


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)
