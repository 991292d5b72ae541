"""Whose the rows of a pass are, and which rows each version of a module computes.

Shapes: B rows, of which a version computes R.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

BASE = -1
"""The number of the rows, and of the version, that do not belong to a variant."""
Versions = tuple[tuple[int, ...], ...]
"""For each version of a module beside the base's own, the variants that have it."""


@dataclass(frozen=True, slots=True)
class Deal:
    """Which rows each version of a module computes."""

    parts: tuple[tuple[int, torch.Tensor | None], ...]
    """Versions, and (R,) rows; None: all of them."""
    back: torch.Tensor | None = None
    """(B,) where each row is among those of all parts; None: where parts do not hold all rows, the
    base computes all of them first."""


class Crowd:
    """Whose the rows of a pass are."""

    def __init__(self, variants: Sequence[int], device: torch.device, least: int = 1) -> None:
        """Take (B,) variants.

        Args:
            variants: `BASE` for nobody's rows.
            device: where the rows are.
            least: rows that a version computes at least; where it has fewer, the last comes several
                times. Libraries multiply few rows otherwise than many (`models.forward.LEAST`).
        """
        self.variants = variants
        self.device = device
        self.least = least
        self._deals: dict[Versions, Deal] = {}

    @property
    def size(self) -> int:
        """B."""
        return len(self.variants)

    def first(self, count: int) -> Crowd:
        """The first `count` rows."""
        if count == self.size:
            return self
        return Crowd(self.variants[:count], self.device, self.least)

    def deal(self, versions: Versions) -> Deal:
        """Which rows each version computes; all others are the base's."""
        deal = self._deals.get(versions)
        if deal is None:
            of = {v: number for number, mine in enumerate(versions) for v in mine}
            deal = self._deals[versions] = self._dealt([of.get(v, BASE) for v in self.variants])
        return deal

    def _dealt(self, numbers: Sequence[int]) -> Deal:
        rows: dict[int, list[int]] = {}
        for row, number in enumerate(numbers):
            rows.setdefault(number, []).append(row)
        if len(rows) < 2:
            return Deal(tuple((number, None) for number in rows))
        # Where the base has most of the rows, it computes all: cheaper than to pick and put back.
        apart = 2 * len(rows.get(BASE, ())) <= len(numbers)
        if not apart:
            del rows[BASE]
        filled = [mine + mine[-1:] * (self.least - len(mine)) for mine in rows.values()]
        places = {row: place for place, row in enumerate(row for mine in filled for row in mine)}
        return Deal(
            tuple((n, self._tensor(mine)) for n, mine in zip(rows, filled, strict=True)),
            self._tensor([places[row] for row in range(len(numbers))]) if apart else None,
        )

    def _tensor(self, numbers: Sequence[int]) -> torch.Tensor:
        return torch.tensor(numbers, device=self.device)
