"""Measures of our own in the log line of an optimiser step, beside those of TRL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from trl import GRPOTrainer  # type: ignore[attr-defined]

from layergym.agents.models.compute import clock


class Noted(GRPOTrainer):
    """A `GRPOTrainer` whose log lines have more measures."""

    def note(self, measures: Mapping[str, float]) -> None:
        """Add to the next log line; of values that come more than once it shows the mean."""
        for name, value in measures.items():
            self._metrics["train"][name].append(value)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Note how many seconds this part of a step takes, as "time/PART_s"."""
        started = self._clock()
        try:
            yield
        finally:
            self.note({f"time/{part}_s": self._clock() - started})

    def _clock(self) -> float:
        """Seconds, once everything that the device was asked for is done."""
        return clock(self.args.device)
