"""Progress of one training run in a log: a table that grows by a line per step."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from layergym.cli.views.marks import MISSING

COLUMNS = {
    "step": ("step", "{:>5.0f}"),
    "reward": ("reward", "{:>7.3f}"),
    "success": ("success", "{:>8.3f}"),
    "turns": ("turns", "{:>6.1f}"),
    "invalid": ("invalid", "{:>8.3f}"),
    "step_groups_shared": ("shared", "{:>7.2f}"),
    "grad_norm": ("gradient", "{:>9.3f}"),
    "kl": ("KL", "{:>8.4f}"),
    "mismatch": ("mismatch", "{:>9.1e}"),
    "time/rollout_s": ("rollout", "{:>7.1f}s"),
    "time/update_s": ("update", "{:>6.1f}s"),
}
"""Metric, heading, format."""


class StepLines:
    """Prints one line per optimiser step."""

    def __init__(self, console: Console) -> None:
        """Print on `console`."""
        self._console = console
        self._columns: list[str] | None = None

    def show(self, metrics: Mapping[str, float]) -> None:
        """Print a step's line; the heading comes with the first."""
        if self._columns is None:
            self._columns = [name for name in COLUMNS if name in metrics]
            head = " ".join(COLUMNS[name][0].rjust(_width(name)) for name in self._columns)
            self._print(head, "bold")
        # An update on a rollout that was used before has no rewards of its own.
        cells = [
            COLUMNS[name][1].format(metrics[name])
            if metrics.get(name) is not None
            else MISSING.rjust(_width(name))
            for name in self._columns
        ]
        self._print(" ".join([*cells, *_remarks(metrics)]))

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, highlight=False, soft_wrap=True)


def _width(name: str) -> int:
    return len(COLUMNS[name][1].format(0))


def _remarks(metrics: Mapping[str, float]) -> list[str]:
    """The score on held-out tasks after some steps, and what went wrong with episodes."""
    failed, full = metrics.get("episodes_failed", 0), metrics.get("out_of_context", 0)
    held_out = metrics.get("held_out/success")
    remarks = [] if held_out is None else [f"{held_out:.1%} of held-out tasks".replace("%", " %")]
    remarks += [f"{failed:.3g} episodes failed"] if failed else []
    remarks += [f"{full:.1%} out of context".replace("%", " %")] if full else []
    short = metrics.get("shortened", 0)
    remarks += [f"{short:.1%} with a shortened history".replace("%", " %")] if short else []
    return [" " + ", ".join(remarks)] if remarks else []
