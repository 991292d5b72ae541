"""Who is where in the cache, and what the rows that are being answered have said so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Logprobs = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class CacheRow:
    """One episode: `context[:length]` is cached at `place`, the rest is yet to be fed."""

    episode: int
    noise: np.random.Generator
    variant: int
    context: list[int]
    length: int = 0
    place: int = -1
    """In the cache; -1: none."""
    uniforms: NDArray[np.float64] | None = None
    """What the reply under way is drawn with, also where it begins again; None: not begun."""

    @property
    def pending(self) -> int:
        """Tokens that the cache lacks."""
        return len(self.context) - self.length

    def extend(self, ids: Sequence[int], *, extends: bool) -> None:
        """Take in a prompt; one that rewrites history keeps the beginning that is cached."""
        if extends:
            self.context.extend(ids)
            return
        self.length = min(_shared(self.context[: self.length], ids), len(ids) - 1)
        self.context = list(ids)


class Places:
    """Rows of the cache and whose they are. Rows that are decoded come first, without gaps."""

    def __init__(self) -> None:
        """Begin empty."""
        self._at: list[CacheRow | None] = []

    def __len__(self) -> int:
        """How many places there are, free ones included."""
        return len(self._at)

    def __iter__(self) -> Iterator[CacheRow]:
        """The rows."""
        return (row for row in self._at if row is not None)

    def __getitem__(self, place: int) -> CacheRow:
        """The row at a place that is not free."""
        row = self._at[place]
        assert row is not None
        return row

    def with_(self, row: CacheRow) -> int:
        """How many places there are once `row` has one."""
        return len(self._at) + (row.place < 0 and None not in self._at)

    def take(self, row: CacheRow) -> None:
        """Give a row the first free place, unless it has one."""
        if row.place < 0:
            row.place = self._at.index(None) if None in self._at else len(self._at)
            self._at[row.place : row.place + 1] = [row]

    def leave(self, row: CacheRow) -> None:
        """Free the place of a row; what it held is lost."""
        if row.place >= 0:
            self._at[row.place] = None
        row.place, row.length = -1, 0

    def first(self, rows: Sequence[CacheRow]) -> tuple[list[int], list[int]]:
        """Move `rows` to the first places; who was there takes the places that they leave.

        Returns:
            Places to copy from and to, all at once.
        """
        late = [row for row in rows if row.place >= len(rows)]
        ours = {row.place for row in rows}
        holes = [place for place in range(len(rows)) if place not in ours] if late else []
        source, target = [], []
        for row, hole in zip(late, holes, strict=True):
            other, place = self._at[hole], row.place
            source.append(place)
            target.append(hole)
            if other is not None:
                source.append(hole)
                target.append(place)
                other.place = place
            self._at[hole], self._at[place] = row, other
            row.place = hole
        return source, target


class Replies:
    """What is being said, by the place of the row that says it: K tokens at most."""

    def __init__(self, most: int, stop: Iterable[int]) -> None:
        """Begin empty; `most` is K, and `stop` are the tokens that end a reply."""
        self._most = most
        self._stop = np.array(sorted(stop), np.int64)
        self._begun = np.zeros(0, np.int64)
        self._count = np.zeros(0, np.int64)
        self._ids = np.zeros((0, most), np.int64)
        self._logprobs = np.zeros((0, most), np.float32)
        self._uniforms = np.zeros((0, most))

    def reach(self, places: int) -> None:
        """Have room for this many places."""
        while places > len(self._count):
            more = max(8, len(self._count))
            self._begun, self._count, self._ids, self._logprobs, self._uniforms = (
                np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])
                for array in self._arrays()
            )

    def begin(self, row: CacheRow) -> None:
        """Begin the reply to all of a row's context, which takes K uniforms of its noise."""
        self._begun[row.place], self._count[row.place] = len(row.context), 0
        if row.uniforms is None:
            row.uniforms = row.noise.random(self._most)
        self._uniforms[row.place] = row.uniforms

    def uniforms(self, places: Ints) -> NDArray[np.float64]:
        """(B,) for the next token of each."""
        drawn: NDArray[np.float64] = self._uniforms[places, self._count[places]]
        return drawn

    def add(self, places: Ints, tokens: Ints, logprobs: Logprobs) -> Ints:
        """Add a token (B,) to each reply, with its log-probability; the places that are done."""
        count = self._count[places]
        self._ids[places, count] = tokens
        self._logprobs[places, count] = logprobs
        self._count[places] = count + 1
        done: Ints = places[np.isin(tokens, self._stop) | (count + 1 == self._most)]
        return done

    def last(self, live: int) -> tuple[Ints, Ints]:
        """(B,) the last tokens of the first `live` rows and the positions that they stand at."""
        places, count = np.arange(live), self._count[:live]
        return self._ids[places, count - 1], self._begun[:live] + count - 1

    def length(self, place: int) -> int:
        """Tokens of the context and the reply that was begun last at a place."""
        return int(self._begun[place] + self._count[place])

    def said(self, place: int) -> tuple[tuple[int, ...], tuple[float, ...], bool]:
        """A reply's tokens, their log-probabilities, and whether a token ended it."""
        count = int(self._count[place])
        ids = self._ids[place, :count]
        stopped = bool(np.isin(ids[-1], self._stop))
        return tuple(ids.tolist()), tuple(self._logprobs[place, :count].tolist()), stopped

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Follow rows that have moved."""
        for array in self._arrays():
            array[target] = array[source]

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self._begun, self._count, self._ids, self._logprobs, self._uniforms


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    for n, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return n
    return min(len(left), len(right))
