"""One training run while it goes on: drawn in place on a terminal, a line per step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from layergym.agents.types import Trajectory, Turn
from layergym.cli.views.run_drawing import draw_run
from layergym.cli.views.run_state import Playing, RunState
from layergym.cli.views.step_lines import StepLines


class RunView:
    """A context manager to give to a run's `Watch`: `show` and `turn`."""

    def __init__(self, state: RunState, console: Console) -> None:
        """Show the run that `state` describes."""
        self.state = state
        self._lines = None if console.is_terminal else StepLines(console)
        self._live = Live(self, console=console, refresh_per_second=2, vertical_overflow="crop")

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._lines is None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing; the last picture stays."""
        if self._lines is None:
            self._live.stop()

    def show(self, row: Mapping[str, float]) -> None:
        """Take in the metrics of a step."""
        kept = [known for known in self.state.rows if known["step"] < row["step"]]
        self.state.rows = [*kept, row]
        self.state.ends.append(time.monotonic())
        if not self.state.playing.last:  # Else the next rollout is being played already.
            self.state.playing = Playing()
        if self._lines:
            self._lines.show(row)

    def turn(self, episode: int, turn: Turn) -> None:
        """Take in a turn of the rollout; after the last one of an episode, of the next rollout."""
        if episode in self.state.playing.over:
            self.state.playing = Playing()
        self.state.playing.turn(episode, turn)

    def end(self, episode: int, _: Trajectory) -> None:
        """Take in that an episode of the rollout is over."""
        self.state.playing.end(episode)

    def notice(self, text: str) -> None:
        """Say something below the picture, or on a line of its own."""
        self.state.notice = text
        if self._lines:
            self._live.console.print(text, markup=False, soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What `Live` draws."""
        # The cursor's own line is not for drawing: a full screen would scroll.
        yield from draw_run(self.state, options.max_width, console.height - 1)
