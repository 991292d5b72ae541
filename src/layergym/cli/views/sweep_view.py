"""What a sweep is doing, read from its folder: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from layergym.base.files import Lines
from layergym.cli.views.marks import MISSING, bar, duration, percent
from layergym.command.safe_console import SafeConsole
from layergym.evals.arms import ArmName
from layergym.evals.result_files import read_eval
from layergym.evals.results import cut_short
from layergym.evals.sweep.run_folder import finished, stopped
from layergym.evals.sweep.spec import ArmRun

RECENT = 5
"""Steps over which the training success shown is averaged."""
_COLUMNS = {"seed": 4, "state": 8, "": 12, "step": 9, "training": 8, "T=1": 7, "greedy": 7}
"""Headings and widths, fixed so that nothing moves while numbers come in."""
_AROUND = 9
"""Lines of the terminal that are not rows of the table."""


@dataclass(frozen=True, slots=True)
class ArmState:
    """How far one run is."""

    arm: ArmRun
    state: str
    """waiting, training, tuning, scoring, done, stopped or failed."""
    step: int
    success: float | None
    """Success rate in training, over the last steps."""
    scores: tuple[tuple[str, float], ...]
    """Score on the panel by temperature, as far as it was scored."""
    errors: int = 0
    """Episodes that ended in errors, in training and on the panel."""
    out_of_context: int = 0
    """Episodes on the panel that ended because the model's context was full."""
    shortened: int = 0
    """Episodes on the panel that went on without their oldest turns, for the same reason."""

    @property
    def cut(self) -> str:
        """How many episodes were cut short, by what; "" for none."""
        return cut_short(self.errors, self.out_of_context, self.shortened)


def observe(arm: ArmRun, metrics: Lines) -> ArmState:
    """Read what is new in one run's folder."""
    rows = metrics.read()
    recent = [row["success"] for row in rows[-RECENT:] if "success" in row]
    evals = [read_eval(path) for path in sorted((arm.folder / "evals").glob("*.json"))]
    step = int(rows[-1]["step"]) if rows else 0
    return ArmState(
        arm=arm,
        state=_state(arm, step),
        step=step,
        success=sum(recent) / len(recent) if recent else None,
        scores=tuple((e.name, float(e.rates.mean())) for e in evals),
        errors=int(sum(row.get("episodes_failed", 0) for row in rows))
        + sum(e.errors for e in evals),
        out_of_context=sum(e.out_of_context for e in evals),
        shortened=sum(e.shortened for e in evals),
    )


def _state(arm: ArmRun, step: int) -> str:
    if finished(arm.folder):
        return "done"
    if stopped(arm.folder):
        return "stopped"
    if (arm.folder / "error.txt").is_file():
        return "failed"
    if not arm.folder.is_dir():
        return "waiting"
    if not arm.name.trained or step >= arm.run.steps:
        return "scoring"
    return "tuning" if _tuned(arm) else "training"


def _tuned(arm: ArmRun) -> bool:
    """Whether this is a run of the grid of learning rates, which has no place in the profile."""
    return arm.folder.parent.parent.name == "tuning"


def _label(arm: ArmRun) -> str:
    return arm.name.label + _rate(arm)


def _rate(arm: ArmRun) -> str:
    return f" lr {arm.run.learning_rate:g}" if _tuned(arm) else ""


class SweepView:
    """A context manager; call `update` whenever something may have changed.

    On a terminal it draws a table in place. Elsewhere (a log, CI) it prints one line as each run
    begins and ends.
    """

    def __init__(
        self, arms: Sequence[ArmRun], console: Console | None = None, *, title: str = ""
    ) -> None:
        """Watch `arms`; `title` is said once."""
        self._arms = arms
        self._title = title
        self._console = console or SafeConsole()
        self._started = time.monotonic()
        self._steps_before: int | None = None
        self._known: dict[Path, ArmState] = {}
        self._metrics = {arm.folder: Lines(arm.folder / "metrics.jsonl") for arm in arms}
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._title:
            self._console.print(self._title, style="dim", highlight=False, soft_wrap=True)
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
            if before and before.state in ("done", "stopped", "failed"):
                continue
            now = observe(arm, self._metrics[arm.folder])
            self._known[arm.folder] = now
            if self._live is None and now.state != (before.state if before else "waiting"):
                self._console.print(_line(now, self._elapsed), highlight=False, soft_wrap=True)
        if self._live:
            self._live.update(self._drawing())

    def _drawing(self) -> Group:
        states = [self._known[arm.folder] for arm in self._arms]
        if self._steps_before is None:  # Those of an earlier, interrupted call.
            self._steps_before = _steps(states)
        shown = _shown(states, self._console.height - _AROUND)
        summary = _summary(states, self._elapsed, self._steps_before)
        parts = [_table(shown), Text(), _scores(states), _cut(states), summary]
        return Group(*(part for part in parts if part is not None))

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started


def _shown(states: Sequence[ArmState], room: int) -> list[ArmState]:
    """All runs where they fit, else those that are under way or failed, then base and full."""
    if len(states) <= room:
        return list(states)
    order = {"failed": 0, "done": 2, "stopped": 2, "waiting": 3}
    ranked = sorted(states, key=lambda s: (order.get(s.state, 1), s.arm.name.layer is not None))
    return [state for state in states if state in ranked[: max(room, 1)]]


def _table(states: Sequence[ArmState]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    names = max((len(_label(state.arm)) for state in states), default=0)
    table.add_column("arm", width=max(names, len("layer 00")), no_wrap=True)
    for name, width in _COLUMNS.items():
        left = name in ("state", "")
        table.add_column(name, width=width, justify="left" if left else "right", no_wrap=True)
    for state in states:
        table.add_row(*_row(state))
    return table


def _row(state: ArmState) -> list[Text | str | ProgressBar]:
    style = {"waiting": "dim", "done": "green", "stopped": "yellow", "failed": "red"}.get(
        state.state, "cyan"
    )
    scores = dict(state.scores)
    total = state.arm.run.steps if state.arm.name.trained else 0
    return [
        Text(_label(state.arm), style="bold" if state.arm.name.layer is None else ""),
        str(state.arm.run.seed),
        Text(state.state, style=style),
        ProgressBar(total, state.step, width=_COLUMNS[""]) if total else "",
        f"{state.step}/{total}" if total else "",
        percent(state.success),
        percent(scores.get("t1.0")),
        percent(scores.get("greedy")),
    ]


def _scores(states: Sequence[ArmState]) -> Text:
    """One bar per layer by its score at temperature 1, from the lowest arm's to the highest's."""
    states = [state for state in states if not _tuned(state.arm)]
    scores: dict[ArmName, list[float]] = {state.arm.name: [] for state in states}
    for state in states:
        scores[state.arm.name] += [value for name, value in state.scores if name == "t1.0"]
    means = {arm: sum(values) / len(values) for arm, values in scores.items() if values}
    low, high = min(means.values(), default=0.0), max(means.values(), default=1.0)
    bars = {arm: bar(means[arm], low, high) if arm in means else MISSING for arm in scores}
    layers = [arm for arm in scores if arm.layer is not None]
    lines = [
        f"{arm} {bars[arm]} {percent(means.get(arm))}".rstrip()
        for arm in scores
        if arm not in layers
    ]
    if scored := [arm for arm in layers if arm in means]:
        best = max(scored, key=means.__getitem__)
        lines.append(f"best {best.label}, {percent(means[best])}")
    strip = "".join(bars[arm] for arm in layers)
    return Text(f"T=1: {'  '.join(lines)}" + (f"\nlayers {strip}" if layers else ""))


def _cut(states: Sequence[ArmState]) -> Text | None:
    """Which runs had episodes that were cut short, in one line; None when none had."""
    runs = [f"{_label(run.arm)} seed {run.arm.run.seed}: {run.cut}" for run in states if run.cut]
    if not runs:
        return None
    return Text(f"cut short: {'; '.join(runs)}", "red", no_wrap=True, overflow="ellipsis")


def _steps(states: Sequence[ArmState]) -> int:
    return sum(state.step for state in states)


def _summary(states: Sequence[ArmState], elapsed_s: float, steps_before: int) -> Text:
    count = Counter(state.state for state in states)
    over = ("done", "stopped", "failed")
    going = [s for s in states if s.arm.name.trained and s.state not in over]
    taken = _steps(states) - steps_before
    rest = sum(state.arm.run.steps - state.step for state in going)
    left = f", about {duration(elapsed_s * rest / taken)} left" if taken and rest else ""
    out = f"{count['stopped']} stopped, " if count["stopped"] else ""
    return Text(
        f"{count['done']} of {len(states)} runs done, {out}{count['waiting']} waiting, "
        f"{duration(elapsed_s)}{left}",
        style="dim",
    )


def _line(state: ArmState, elapsed_s: float) -> str:
    what = f"{state.arm.name}{_rate(state.arm)} seed {state.arm.run.seed}: {state.state}"
    parts = [f"{name} {percent(value)}" for name, value in state.scores if state.state == "done"]
    parts += [state.cut] if state.cut else []
    return f"[{duration(elapsed_s)}] {what}" + (f" ({', '.join(parts)})" if parts else "")
