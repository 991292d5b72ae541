"""A key-value cache whose rows have different lengths and live across turns."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

_GROWTH = 1.5
_BLOCK = 64
_KEYWORDS = ("cache", "past_key_values")
"""Since transformers 5.24, and before."""


def cache_keyword(names: Collection[str]) -> str:
    """Which of the arguments of a model's or layer's `forward` is the cache; "" if none is."""
    return next((name for name in _KEYWORDS if name in names), "")


_MOST = 256
"""Slots by which a store grows beyond what is needed."""
Read = tuple[slice | Tensor, int]
"""Which rows a pass attends to, and to how many of their first slots."""


class RaggedCache(Cache):
    """Preallocated keys and values of many sequences, each of its own length.

    Shapes: R allocated rows, C slots per row, H key-value heads, D head size, B rows and T tokens
    of one forward pass. One store per layer for keys and one for values, (R, H, C, D), the layout
    that attention reads fastest. The last slot of a row takes what is written for padding and is
    never read.

    The caller says with `place` where the next forward pass writes and what it reads; lengths are
    the caller's. Slots that were never written hold zeros, so that masked attention stays finite.
    """

    def __init__(self) -> None:
        """Create an empty cache; stores appear at the first forward pass."""
        super().__init__(layers=[])
        self.capacity = 0
        self._rows = 0
        self._stores: dict[int, tuple[Tensor, Tensor]] = {}
        self._rows_written = self._slots = torch.empty(0, dtype=torch.long)
        self._places: dict[int, Tensor] = {}
        self._read: Read | None = None
        self._shared: tuple[Tensor, Tensor] | None = None

    @property
    def bytes(self) -> int:
        """Memory of the stores."""
        return sum(store.nbytes for stores in self._stores.values() for store in stores)

    def slots(self, length: int) -> int:
        """Slots that rows have, or will have, to hold `length` tokens."""
        if length < self.capacity:
            return self.capacity
        wanted = max(length + 1, min(int(self.capacity * _GROWTH), self.capacity + _MOST))
        return -(-wanted // _BLOCK) * _BLOCK

    def rows(self, wanted: int) -> int:
        """How many rows there will be when this many have to be held; few more than that."""
        return self._rows if wanted <= self._rows else max(wanted, self._rows + self._rows // 8)

    def holds(self, rows: int, length: int) -> bool:
        """Whether there is room for that already."""
        return rows <= self._rows and length < self.capacity

    def plan(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of `length` tokens at the next `reserve`."""
        self.capacity, self._rows = self.slots(length), self.rows(rows)

    def reserve(self) -> None:
        """Make the room that was planned."""
        for layer in list(self._stores):
            keys, values = self._stores[layer]
            if keys.shape[0] < self._rows or keys.shape[2] < self.capacity:
                del self._stores[layer]
                keys = self._grown(keys)
                self._stores[layer] = (keys, self._grown(values))

    def place(self, rows: Tensor, slots: Tensor, read: Read | None) -> None:
        """Set up the next forward pass.

        Args:
            rows: (B,) where each row of the batch is kept.
            slots: (B, T) where its new tokens go.
            read: what the pass attends to, of as many rows; None attends to the new tokens alone
                (a prompt from its beginning).
        """
        self._rows_written = rows
        self._slots = slots
        self._places = {}
        self._read = read

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Write the new keys and values (B, H, T, D); return those to attend to."""
        stores = self._stores.get(layer_idx)
        if stores is None:
            stores = (self._empty(key_states), self._empty(value_states))
            self._stores[layer_idx] = stores
        keys, values = stores
        place = self._place(key_states.shape[1])
        for store, states in ((keys, key_states), (values, value_states)):
            every = states if self._shared is None else states[self._shared[0]]
            store.flatten(0, 2).index_copy_(0, place, every.flatten(0, 2))
        if self._read is None:
            return key_states, value_states
        rows, span = self._read
        if self._shared is not None:
            first = self._shared[1]
            rows = first + (rows.start or 0) if isinstance(rows, slice) else rows[first]
        return keys[:, :, :span][rows], values[:, :, :span][rows]

    @contextmanager
    def shared(self, of: Tensor, first: Tensor) -> Iterator[None]:
        """Within it, layers compute R distinct rows of the pass's B.

        Args:
            of: (B,) which of the distinct rows each row is; it is written what that one is.
            first: (R,) the rows that are read.
        """
        self._shared = of, first
        try:
            yield
        finally:
            self._shared = None

    def copy_rows(self, source: Tensor, target: Tensor, span: int) -> None:
        """Copy the first `span` slots of the rows `source` to the rows `target`."""
        for stores in self._stores.values():
            for store in stores:
                store[target, :, :span] = store[source, :, :span]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of slots that the next pass reads."""
        return self._read[1] if self._read else 0

    def _place(self, heads: int) -> Tensor:
        """(B * H * T,) where the new vectors go in a store flattened to (R * H * C, D)."""
        place = self._places.get(heads)
        if place is None:
            head = torch.arange(heads, device=self._slots.device)
            block = (self._rows_written[:, None] * heads + head) * self.capacity
            place = self._places[heads] = (block[..., None] + self._slots[:, None]).flatten()
        return place

    def _empty(self, states: Tensor) -> Tensor:
        return states.new_zeros(self._rows, states.shape[1], self.capacity, states.shape[3])

    def _grown(self, store: Tensor) -> Tensor:
        rows, heads, capacity, size = store.shape
        grown = store.new_zeros(self._rows, heads, self.capacity, size)
        grown[:rows, :, :capacity] = store
        return grown
