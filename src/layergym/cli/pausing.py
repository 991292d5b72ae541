"""When a run is to stop and keep a checkpoint: its time is up, or a signal came."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class PauseRequest:
    """Asked after every step: True once the time is up, or after Ctrl-C, SIGTERM or SIGHUP.

    While it is entered, the first signal asks for a pause and the second acts as ever.
    """

    def __init__(self, max_s: float | None, tell: Callable[[str], None]) -> None:
        """Count `max_s` seconds from now; `tell` a person that a signal was understood."""
        self.signal: int | None = None
        self._deadline = None if max_s is None else time.monotonic() + max_s
        self._tell = tell
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether to pause now."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return late or self.signal is not None

    def __enter__(self) -> Self:
        """Take over the signals, those that are ignored (`nohup`) aside."""
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.__exit__(None, None, None)
        self._tell("stopping after this step; once more: at once, without its checkpoint")
