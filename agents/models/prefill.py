"""Which new tokens are fed together: rows of like length, a bounded number of tokens at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from layergym.agents.models.rows import CacheRow

PIECE = 16384
"""Tokens of one pass, padding included, and of one row in it."""
_ALIKE = 32
"""Below this many new tokens, rows are alike."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one pass feeds to rows of which all or none hold something already."""

    rows: tuple[CacheRow, ...]
    """One for each distinct row of the pass."""
    copies: tuple[tuple[CacheRow, ...], ...]
    """Rows of the same first prompt, which get copies."""

    @property
    def fresh(self) -> bool:
        """Whether the rows are empty."""
        return not self.rows[0].length

    @property
    def new(self) -> list[list[int]]:
        """The tokens to feed."""
        return [row.context[row.length : row.length + _width(row)] for row in self.rows]

    @property
    def read(self) -> list[Hashable]:
        """What each row holds and is fed; rows of equal values are alike in all of it."""
        return [(r.length, tuple(r.context[: r.length + _width(r)])) for r in self.rows]

    @property
    def tokens(self) -> int:
        """Tokens of the pass, padding included."""
        return len(self.rows) * max(map(_width, self.rows))

    def every(self) -> Iterator[tuple[int, CacheRow]]:
        """All rows, copies included, with the row of the pass whose logits are theirs."""
        for n, (row, copies) in enumerate(zip(self.rows, self.copies, strict=True)):
            yield n, row
            yield from ((n, copy) for copy in copies)

    def copied(self) -> tuple[list[int], list[int]]:
        """Places to copy from and to."""
        pairs = [(self.rows[n].place, row.place) for n, row in self.every()]
        pairs = [(source, target) for source, target in pairs if source != target]
        return [source for source, _ in pairs], [target for _, target in pairs]

    def fed(self) -> None:
        """Take note that the rows hold now what was new."""
        for _, row in self.every():
            row.length += _width(row)


def first_pieces(rows: Sequence[CacheRow]) -> list[Piece]:
    """What to feed of what the cache lacks of `rows`: one pass of the greatest size, or several.

    The rows that have waited the longest, the first ones, come first.
    """
    fresh: dict[tuple[int, tuple[int, ...]], list[CacheRow]] = {}
    for row in rows:
        if not row.length:
            fresh.setdefault((row.variant, tuple(row.context)), []).append(row)
    cached = [[row] for row in rows if row.length]
    age = {id(row): n for n, row in enumerate(rows)}
    batches = [*_batches(cached), *_batches(list(fresh.values()))]
    batches.sort(key=lambda batch: min(age[id(alike[0])] for alike in batch))
    pieces: list[Piece] = []
    for batch in batches:
        piece = Piece(tuple(b[0] for b in batch), tuple(tuple(b[1:]) for b in batch))
        if pieces and sum(taken.tokens for taken in pieces) + piece.tokens > PIECE:
            break
        pieces.append(piece)
    return pieces


def _batches(groups: Sequence[list[CacheRow]]) -> Iterator[list[list[CacheRow]]]:
    """Groups of rows by length, so that padding is at most half of a batch of long ones."""
    batch: list[list[CacheRow]] = []
    for group in sorted(groups, key=lambda g: (_width(g[0]), g[0].context)):
        longest = _width(group[0])
        most = max(_ALIKE, 2 * _width(batch[0][0])) if batch else longest
        if batch and (longest > most or (len(batch) + 1) * longest > PIECE):
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _width(row: CacheRow) -> int:
    return min(row.pending, PIECE)
