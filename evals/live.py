"""What a sweep is doing, read from its folder: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from layergym.evals.arm import finished
from layergym.evals.results import layer_of, read_eval
from layergym.evals.sweep import Arm

RECENT = 5
"""Steps over which the training success shown is averaged."""


@dataclass(frozen=True, slots=True)
class ArmState:
    """How far one run is."""

    arm: Arm
    state: str
    """waiting, training, scoring, done or failed."""
    step: int
    success: float | None
    """Success rate in training, over the last steps."""
    scores: tuple[tuple[str, float], ...]
    """Success on the panel by temperature, as far as it was scored."""


def observe(arm: Arm) -> ArmState:
    """Read one run's folder."""
    rows = _metrics(arm.folder / "metrics.jsonl")
    recent = [row["success"] for row in rows[-RECENT:] if "success" in row]
    evals = [read_eval(path) for path in sorted((arm.folder / "evals").glob("*.json"))]
    step = int(rows[-1]["step"]) if rows else 0
    return ArmState(
        arm=arm,
        state=_state(arm, step),
        step=step,
        success=sum(recent) / len(recent) if recent else None,
        scores=tuple((e.name, float(e.rates.mean())) for e in evals),
    )


def _state(arm: Arm, step: int) -> str:
    if finished(arm.folder):
        return "done"
    if (arm.folder / "error.txt").is_file():
        return "failed"
    if not arm.folder.is_dir():
        return "waiting"
    if arm.name == "base" or step >= arm.run.steps:
        return "scoring"
    return "training"


def _metrics(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


class SweepView:
    """A context manager; call `update` whenever something may have changed.

    On a terminal it draws a table in place. Elsewhere (a log, CI) it prints one line as each run
    begins and ends.
    """

    def __init__(self, arms: Sequence[Arm], console: Console | None = None) -> None:
        """Watch `arms`."""
        self._arms = arms
        self._console = console or Console()
        self._started = time.monotonic()
        self._known: dict[Path, ArmState] = {}
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        if self._live:
            self._live.__exit__(kind, error, trace)

    def update(self) -> None:
        """Read the folders of runs that are not over and draw."""
        for arm in self._arms:
            before = self._known.get(arm.folder)
            if before and before.state in ("done", "failed"):
                continue
            now = observe(arm)
            self._known[arm.folder] = now
            if self._live is None and now.state != (before.state if before else "waiting"):
                self._console.print(_line(now, time.monotonic() - self._started), highlight=False)
        if self._live:
            self._live.update(self._table())

    def _table(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("arm", "seed", "", "step"):
            table.add_column(name)
        for name in ("training", "T=1", "greedy"):
            table.add_column(name, justify="right")
        states = [self._known[arm.folder] for arm in self._arms]
        for state in states:
            table.add_row(*_row(state))
        return Group(table, _summary(states, time.monotonic() - self._started))


def _row(state: ArmState) -> list[Text | str | ProgressBar]:
    style = {"waiting": "dim", "done": "green", "failed": "red"}.get(state.state, "cyan")
    scores = dict(state.scores)
    total = 0 if state.arm.name == "base" else state.arm.run.steps
    bar = ProgressBar(total, state.step, width=16) if total else ""
    return [
        Text(state.arm.name, style="bold" if layer_of(state.arm.name) is None else ""),
        str(state.arm.run.seed),
        Text(state.state, style=style),
        bar,
        _percent(state.success),
        _percent(scores.get("t1.0")),
        _percent(scores.get("greedy")),
    ]


def _summary(states: Sequence[ArmState], elapsed_s: float) -> Text:
    done = sum(state.state == "done" for state in states)
    steps = sum(state.arm.run.steps for state in states if state.arm.name != "base")
    taken = sum(state.step for state in states)
    left = f", about {_clock(elapsed_s * (steps - taken) / taken)} left" if taken else ""
    return Text(f"{done} of {len(states)} runs done, {_clock(elapsed_s)}{left}", style="dim")


def _line(state: ArmState, elapsed_s: float) -> str:
    scores = ", ".join(f"{name} {_percent(value)}" for name, value in state.scores)
    what = f"{state.arm.name} seed {state.arm.run.seed}: {state.state}"
    return f"[{_clock(elapsed_s)}] {what}" + (f" ({scores})" if state.state == "done" else "")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
