"""What a run leaves on disk, as frozen values: evaluations, costs, runs and sweeps.

A *run folder* holds one training run: `config.json`, `manifest.json`, `metrics.jsonl` (one object
per optimiser step), `cost.json` and `evals/<name>.json`. A *sweep folder* holds `sweep.json`,
`manifest.json` and its runs under `arms/<arm>/seed-<seed>/`; an arm is "base", "full",
"layer-<index>" or any other name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, read_lines, write_json, write_text
from layergym.evals.arms import ArmName
from layergym.evals.asked import SweepSettings

FORMAT = 1
RANKING = Path("ranking", "profile.json")
"""Where the folder of a comparison keeps the ranking that its arms go by."""
Scored = Literal["success", "reward"]
"""What a score is the mean of: whether episodes succeed, or their returns, from 0 to 1."""
Floats = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class EvalResult:
    """Every episode of one arm on one panel at one temperature, so that scores can be paired.

    `success`, `reward` and `turns` are indexed [task][repeat]; every task has equally many repeats.
    """

    env_id: str
    split: str
    panel_hash: str
    arm: str
    seed: int
    """The seed of the reinforcement learning run that is scored."""
    temperature: float
    """Sampling temperature; 0 is greedy."""
    tasks: tuple[str, ...]
    kinds: tuple[str, ...]
    success: tuple[tuple[bool, ...], ...]
    reward: tuple[tuple[float, ...], ...]
    """Undiscounted return of each episode."""
    turns: tuple[tuple[int, ...], ...]
    errors: int = 0
    """Episodes that ended in an error; the tables count them as lost."""
    out_of_context: int = 0
    """Episodes that ended because the model's context was full; they count as they stood."""
    shortened: int = 0
    """Episodes whose prompts left out the oldest turns because the model's context was full."""
    scored: Scored = "success"

    def __post_init__(self) -> None:
        """Refuse an empty panel, a task scored twice and ragged tables."""
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise InputError(f"arm {self.arm}: an evaluation needs tasks, each of them once")
        if len(self.kinds) != len(self.tasks):
            raise InputError(f"arm {self.arm}: {len(self.kinds)} kinds, {len(self.tasks)} tasks")
        repeats = len(self.success[0]) if self.success else 0
        for name in ("success", "reward", "turns"):
            rows = getattr(self, name)
            if len(rows) != len(self.tasks) or not repeats or {len(r) for r in rows} != {repeats}:
                raise InputError(
                    f"arm {self.arm}: {name} is not a table of {len(self.tasks)} tasks "
                    f"by {max(repeats, 1)} repeats"
                )
        counts = (self.errors, self.out_of_context, self.shortened)
        if min(counts) < 0 or max(self.cut, self.shortened) > len(self.tasks) * repeats:
            raise InputError(
                f"arm {self.arm}: {self.errors} episodes in errors and {self.out_of_context} out "
                f"of context, of {len(self.tasks) * repeats}"
            )
        if self.scored not in get_args(Scored):
            raise InputError(f"arm {self.arm}: a score is of success or reward, not {self.scored}")
        if self.scored == "reward" and not all(0 <= v <= 1 for row in self.reward for v in row):
            raise InputError(
                f"arm {self.arm}: returns lie outside 0 to 1, so their mean cannot be a score; "
                "score success"
            )
        if not math.isfinite(self.temperature) or self.temperature < 0:
            raise InputError(f"arm {self.arm}: a temperature is 0 or more, not {self.temperature}")

    @property
    def name(self) -> str:
        """The name of its file: "greedy", "t0.5", "t1.0"."""
        return score_name(self.temperature)

    @property
    def cut(self) -> int:
        """Episodes that ended in an error or out of context."""
        return self.errors + self.out_of_context

    @property
    def repeats(self) -> int:
        """Episodes per task."""
        return len(self.success[0])

    @cached_property
    def rates(self) -> Floats:
        """Scores of the tasks, from 0 to 1: success rates or mean returns, one per task."""
        table = self.success if self.scored == "success" else self.reward
        rates: Floats = np.asarray(table, dtype=np.float64).mean(axis=1)
        return rates


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took; a field is None when it was not measured."""

    train_s: float | None = None
    rollout_s: float | None = None
    update_s: float | None = None
    eval_s: float | None = None
    tokens: float | None = None
    """Tokens sampled in training."""
    peak_memory_bytes: float | None = None
    trainable_parameters: float | None = None
    checkpoint_bytes: float | None = None


@dataclass(frozen=True)
class Run:
    """One run folder as it was read. A run that is still going lacks evaluations."""

    path: Path
    arm: ArmName
    seed: int
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    cost: Cost
    evals: tuple[EvalResult, ...]


@dataclass(frozen=True)
class Sweep:
    """One sweep folder as it was read: its settings and all its runs, by arm and seed."""

    path: Path
    settings: Mapping[str, Any]
    """As `sweep.json` has them, to be shown; `asked` is what to read."""
    manifest: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def arms(self) -> tuple[ArmName, ...]:
        """Arms: base, full, the layers by index, then the others by name."""
        return tuple(sorted({run.arm for run in self.runs}, key=lambda arm: arm.order))

    def results(self, arm: str, temperature: float) -> tuple[EvalResult, ...]:
        """Evaluations of `arm` at `temperature`, one per seed, by seed; none of stopped runs."""
        return tuple(
            result
            for run in self.runs
            if run.arm == arm and not run.manifest.get("stopped")
            for result in run.evals
            if result.temperature == temperature
        )

    def temperatures(self, arm: str) -> tuple[float, ...]:
        """Temperatures at which `arm` was scored, falling; 0 is greedy."""
        own = [run for run in self.runs if run.arm == arm and not run.manifest.get("stopped")]
        found = {result.temperature for run in own for result in run.evals}
        return tuple(sorted(found, reverse=True))

    @property
    def selective(self) -> bool:
        """Whether scores decided which layers were trained to the end (a scan, or a race)."""
        return bool(self.asked.scan) or any(run.manifest.get("stopped") for run in self.runs)

    @cached_property
    def asked(self) -> SweepSettings:
        """The settings in typed form."""
        return SweepSettings.of(self.settings)

    @property
    def panel(self) -> EvalResult | None:
        """Any evaluation, for what all of them share: tasks, kinds, panel hash."""
        return next((result for run in self.runs for result in run.evals), None)


def cut_short(errors: int, out_of_context: int, shortened: int = 0) -> str:
    """How many episodes were cut short, by what: "3 errors, 1 out of context"; "" for none."""
    told = [f"{errors} error{'s' * (errors > 1)}"] * bool(errors)
    told += [f"{out_of_context} out of context"] * bool(out_of_context)
    told += [f"{shortened} with a shortened history"] * bool(shortened)
    return ", ".join(told)


def score_name(temperature: float) -> str:
    """What an evaluation at a temperature is called: "greedy", "t0.5", "t1.0"."""
    return "greedy" if temperature == 0 else f"t{float(temperature)}"


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


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _cost(path: Path) -> Cost:
    value = _optional(path)
    known = {field.name for field in fields(Cost)}
    try:
        return Cost(**{k: _number(v) for k, v in value.items() if k in known and v is not None})
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} does not hold costs ({error})") from None


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
