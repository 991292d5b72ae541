"""Which folders there are to browse, and what each of them is in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from layergym.base.errors import InputError
from layergym.base.files import read_json, read_lines
from layergym.base.locks import held
from layergym.evals.arms import ArmName
from layergym.evals.result_files import is_sweep, read_eval
from layergym.evals.score.contest import ContestSpec, is_contest
from layergym.evals.sweep.run_folder import finished, stopped

DEPTH = 3
"""How far below a folder that is given runs are looked for."""
RECENT = 5
"""Steps over which the success in training is averaged."""
FolderKind = Literal["sweep", "run", "evaluation"]


def kind_of(path: Path) -> FolderKind | None:
    """What `path` holds; None where it is no folder of ours."""
    if is_sweep(path):
        return "sweep"
    if is_contest(path):
        return "evaluation"
    begun = (path / "config.json").is_file() and (path / "manifest.json").is_file()
    return "run" if begun else None


def find_folders(roots: Sequence[Path]) -> list[Path]:
    """The runs, sweeps and evaluations that `roots` are or hold, each once.

    Raises:
        InputError: one of `roots` is no folder.
    """
    for root in roots:
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; give folders of runs or sweeps")
    return list(dict.fromkeys(path for root in roots for path in _below(root, DEPTH)))


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if kind_of(folder):
        yield folder
    elif depth:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from _below(path, depth - 1)


def in_one_line(path: Path) -> dict[str, Any]:
    """A folder as a line of the list. What cannot be read says so under "problem"."""
    kind = kind_of(path)
    line: dict[str, Any] = {"kind": kind, "name": path.resolve().name, "changed": changed(path)}
    try:
        return line | {"sweep": _sweep, "evaluation": _evaluation, "run": _run}[str(kind)](path)
    except InputError as error:
        return line | {"problem": str(error)}


def run_line(path: Path, within: Path | None = None) -> dict[str, Any]:
    """How far one run is, and how it scored.

    Args:
        path: its folder.
        within: the sweep or evaluation that it is a part of.

    Raises:
        InputError: one of its files is damaged.
    """
    config = read_json(path / "config.json")
    rows = read_lines(path / "metrics.jsonl")
    recent = [row["success"] for row in rows[-RECENT:] if "success" in row]
    evals = [read_eval(file) for file in sorted((path / "evals").glob("*.json"))]
    return {
        **_asked(config),
        "seed": config.get("seed"),
        "state": _ended(path) or _at_work(path, within or path),
        "step": rows[-1]["step"] if rows else 0,
        "steps": config.get("steps"),
        "success": fmean(recent) if recent else None,
        "scores": {found.name: float(found.rates.mean()) for found in evals},
        "errors": sum(found.errors for found in evals),
    }


def changed(path: Path) -> float:
    """When something was last written into a folder of ours, in seconds since 1970."""
    names = ("*.json*", "evals/*.json", "arms/*/*/*.json*", "agents/*/*/*.jsonl")
    files = [file for name in names for file in path.glob(name)]
    return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)


def sweep_runs(path: Path) -> list[Path]:
    """The runs of a sweep that have begun, by arm and seed."""
    found = [file.parent for file in path.glob("arms/*/seed-*/config.json")]
    return sorted(found, key=lambda run: (ArmName(run.parent.name).order, _seed(run)))


def _seed(run: Path) -> int:
    number = run.name.removeprefix("seed-")
    return int(number) if number.isdecimal() else 0


def _ended(run: Path) -> str:
    """How a run ended; "" where it has not."""
    if finished(run) or (run / "delta.safetensors").is_file():
        return "done"
    if stopped(run):
        return "stopped"
    return "failed" if (run / "error.txt").is_file() else ""


def _at_work(*folders: Path) -> str:
    """The state of what has not ended: it goes on where a process holds one of its folders."""
    return "going" if any(map(held, folders)) else "stopped"


def _run(path: Path) -> dict[str, Any]:
    return run_line(path)


def _sweep(path: Path) -> dict[str, Any]:
    settings = read_json(path / "sweep.json")
    ended = [bool(_ended(run)) for run in sweep_runs(path)]
    reported = (path / "report" / "report.json").is_file()
    asked = settings.get("run")
    return {
        **_asked(asked if isinstance(asked, Mapping) else {}),
        "layers": "each alone",
        "state": "done" if reported and all(ended) else _at_work(path),
        "step": sum(ended),
        "steps": len(ended) if reported else max(len(ended), _planned(settings)),
        "success": None,
    }


def _planned(settings: Mapping[str, Any]) -> int:
    """How many runs a sweep asks for: the base, and every other arm once a seed.

    A sweep that scans or races decides as it goes; 0 there, and where the file is odd.
    """
    asked = [settings.get(name) for name in ("layers", "extra", "seeds")]
    counts = [len(each) for each in asked if isinstance(each, list)]
    search = settings.get("search")
    if len(counts) < len(asked):
        return 0
    if any(isinstance(search, Mapping) and search.get(name) for name in ("scan", "race")):
        return 0
    layers, extra, seeds = counts
    return 1 + seeds * (1 + layers + extra)


def _evaluation(path: Path) -> dict[str, Any]:
    spec = ContestSpec.read(path)
    runs = sorted(path.glob("agents/*/seed-*"))
    over = sum(any(run.glob("evals/*.json")) for run in runs)
    planned = len(spec.agents) * len(spec.seeds)
    return {
        "env": spec.env,
        "model": ", ".join(spec.agents),
        "state": "done" if over == planned else _at_work(path),
        "step": over,
        "steps": planned,
        "success": None,
    }


def _asked(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: config.get(name) for name in ("env", "model", "algorithm", "layers")}
