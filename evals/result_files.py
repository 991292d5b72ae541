"""The files of runs and sweeps, and the values in them.

A *run folder* holds one training run: `config.json`, `manifest.json`, `metrics.jsonl` (one object
per optimiser step), `cost.json` and `evals/<name>.json`. A *sweep folder* holds `sweep.json`,
`manifest.json` and its runs under `arms/<arm>/seed-<seed>/`; an arm is "base", "full",
"layer-<index>" or any other name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, read_lines, write_json, write_text
from layergym.evals.arms import ArmName
from layergym.evals.results import Cost, EvalResult, Run, Sweep

FORMAT = 1
RANKING = Path("ranking", "profile.json")
"""Where the folder of a comparison keeps the ranking that its arms go by."""
T = TypeVar("T")


def is_sweep(path: Path) -> bool:
    """Whether `path` is a sweep folder."""
    return (path / "sweep.json").is_file()


# ---- writing ---------------------------------------------------------------------------------


def write_eval(folder: Path, result: EvalResult) -> Path:
    """Write `result` to `folder`/evals/<name>.json and return the path."""
    path = folder / "evals" / f"{result.name}.json"
    write_text(path, json.dumps({"format": FORMAT, **asdict(result)}, allow_nan=False) + "\n")
    return path


def write_cost(folder: Path, cost: Cost) -> None:
    """Write `cost` to `folder`/cost.json."""
    write_json(folder / "cost.json", asdict(cost))


# ---- reading ---------------------------------------------------------------------------------


def read_eval(path: Path) -> EvalResult:
    """Read one evaluation.

    Raises:
        InputError: the file is missing, truncated, or not an evaluation.
    """
    value = read_json(path)
    if value.get("format") != FORMAT:
        raise InputError(f"{path} is not an evaluation of format {FORMAT}; evaluate the run again")
    try:
        return EvalResult(
            **{name: _text(value[name]) for name in ("env_id", "split", "panel_hash", "arm")},
            seed=int(value["seed"]),
            temperature=float(value["temperature"]),
            tasks=tuple(map(_text, value["tasks"])),
            kinds=tuple(map(_text, value["kinds"])),
            success=_table(value["success"], _flag),
            reward=_table(value["reward"], _number),
            turns=_table(value["turns"], int),
            errors=int(value.get("errors", 0)),
            out_of_context=int(value.get("out_of_context", 0)),
            shortened=int(value.get("shortened", 0)),
            scored=value.get("scored", "success"),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(
            f"{path} is not an evaluation ({briefly(error)}); evaluate again"
        ) from None


def read_run(path: Path) -> Run:
    """Read one run folder; its arm and seed come from a path arms/<arm>/seed-<seed>, else config.

    Raises:
        InputError: `path` is not a run folder, or one of its files is damaged.
    """
    config = read_json(path / "config.json")
    arm, seed = str(config.get("arm", path.name)), config.get("seed", 0)
    place = re.fullmatch(r"seed-(\d+)", path.name)
    if place and path.parent.parent.name == "arms":
        arm, seed = path.parent.name, int(place[1])
    evals = tuple(read_eval(file) for file in sorted((path / "evals").glob("*.json")))
    for result in evals:
        if place and (result.arm, result.seed) != (arm, seed):
            raise InputError(
                f"{path} holds an evaluation of arm {result.arm}, seed {result.seed}; "
                "the folder was mixed up or copied by hand"
            )
    return Run(
        path=path,
        arm=ArmName(arm),
        seed=seed if isinstance(seed, int) else 0,
        config=config,
        manifest=_optional(path / "manifest.json"),
        metrics=tuple(read_lines(path / "metrics.jsonl")),
        cost=_cost(path / "cost.json"),
        evals=evals,
    )


def read_sweep(path: Path) -> Sweep:
    """Read a sweep folder; runs that have not started yet are absent.

    Raises:
        InputError: `path` is not a sweep folder, a file is damaged, or panels differ between arms.
    """
    settings = read_json(path / "sweep.json")
    folders = [f for f in (path / "arms").glob("*/seed-*") if (f / "config.json").is_file()]
    runs = sorted(map(read_run, folders), key=lambda run: (run.arm.order, run.seed))
    results = [result for run in runs for result in run.evals]
    for result in results:
        if (result.env_id, result.panel_hash, result.tasks) != (
            results[0].env_id,
            results[0].panel_hash,
            results[0].tasks,
        ):
            raise InputError(
                f"{path}: arm {result.arm} (seed {result.seed}, {result.name}) was scored on "
                f"another task panel than arm {results[0].arm}; evaluate it again on the same one"
            )
    return Sweep(path, settings, _optional(path / "manifest.json"), tuple(runs))


def on_one_panel(results: Sequence[EvalResult]) -> bool:
    """Whether all were scored on the same tasks, equally often, so that they can be paired."""
    return len({(r.env_id, r.panel_hash, r.tasks, r.repeats) for r in results}) <= 1


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _cost(path: Path) -> Cost:
    value = _optional(path)
    known = {field.name for field in fields(Cost)}
    try:
        return Cost(**{k: _number(v) for k, v in value.items() if k in known and v is not None})
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} does not hold costs ({error}); remove it, or train again"
        ) from None


def _table(rows: Any, cell: Callable[[Any], T]) -> tuple[tuple[T, ...], ...]:
    return tuple(tuple(cell(value) for value in row) for row in rows)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(f"{value!r} is not true or false")
    return bool(value)


def _number(value: Any) -> float:
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
