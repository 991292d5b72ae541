"""Decoded rows attend to the slots that they hold, not to as many as the longest row holds.

One call of attention reads as many slots of every row, so a batch is cut into runs of neighbours of
like length and attended to in one call for each. The mask stays that of the whole batch and carries
the runs: whoever makes another mask of it loses them, and attends to all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

CALL_BYTES = 1 << 19
"""Keys and values that one core reads in the time that one more call takes."""
_LEAST = 0.1
"""Share of what is read that cutting must save."""
_RUNS = "layergym_runs"

RowRun = tuple[slice, int]
"""Rows of a batch and how many of their first slots are read."""


def row_runs(spans: Sequence[int], *, heads: int, call: float, threads: int) -> list[RowRun]:
    """Cut a batch where that is faster; one run where it is not.

    Args:
        spans: slots that each row reads at least.
        heads: of keys. Threads divide rows and heads among them, so that few leave some idle.
        call: what one more call costs, in slots of one head.
        threads: that share a call.
    """
    whole = _cost(len(spans), max(spans), heads, threads)
    cut: list[RowRun] = []
    total = 0.0
    first, longest, cost = 0, spans[0], 0.0
    for n, span in enumerate(spans):
        joined = _cost(n + 1 - first, max(longest, span), heads, threads)
        apart = cost + call + _cost(1, span, heads, threads)
        if joined > apart:
            cut.append((slice(first, n), longest))
            total += cost + call
            first, longest, joined = n, span, _cost(1, span, heads, threads)
        longest, cost = max(longest, span), joined
    cut.append((slice(first, len(spans)), longest))
    saves = whole - total - cost > _LEAST * whole
    return cut if saves else [(slice(0, len(spans)), max(spans))]


def _cost(rows: int, span: int, heads: int, threads: int) -> float:
    """Slots that the busiest thread reads, times the threads."""
    return float(-(-rows * heads // threads) * threads * span)


def carry(mask: Tensor, runs: Sequence[RowRun]) -> Tensor:
    """The mask (B, 1, 1, S) with its runs, which attention finds with `runs_at`."""
    if len(runs) > 1:
        vars(mask)[_RUNS] = runs
    return mask


def runs_at(mask: Tensor) -> Sequence[RowRun]:
    """The runs that a mask carries; none: all rows at once."""
    cut: Sequence[RowRun] = vars(mask).get(_RUNS, ())
    return cut
