"""The space of all strings, usable in Gymnasium's vector environments."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing import get_context
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector.utils.shared_memory import (
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

_SLOT = (1 << 18) + 4
"""Shared memory held for one text in `AsyncVectorEnv`, bytes: length and UTF-8; longer is cut."""


class FreeText(Space[str]):
    """Every `str`, of any length and alphabet (`gymnasium.spaces.Text` fixes both)."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        """Create the space; `seed` is for `sample` only."""
        super().__init__(shape=None, dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Texts have no fixed size, so they cannot be flattened."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draw a random lower-case text of 1 to 20 characters."""
        letters = self.np_random.integers(97, 123, size=int(self.np_random.integers(1, 21)))
        return "".join(map(chr, letters))

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string."""
        return isinstance(x, str)

    def __eq__(self, other: object) -> bool:
        """All free-text spaces are equal."""
        return isinstance(other, FreeText)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Name the space."""
        return "FreeText()"


class _SharedTexts(Sequence[str]):
    """Live view of the texts in shared memory; copying it gives a plain tuple.

    `AsyncVectorEnv` reads its buffer once and copies what it read after every step. That works
    for arrays, which alias the buffer; texts have to be read again.
    """

    def __init__(self, buffer: Any, n: int) -> None:
        self._view = memoryview(buffer.get_obj()).cast("B")
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: Any) -> Any:
        start = range(0, self._n * _SLOT, _SLOT)[index]
        size = int.from_bytes(self._view[start : start + 4], "little")
        return bytes(self._view[start + 4 : start + 4 + size]).decode()

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)


@create_shared_memory.register(FreeText)
def _create(space: FreeText, n: int = 1, ctx: Any = None) -> Any:
    return (ctx or get_context()).Array("c", n * _SLOT)


@write_to_shared_memory.register(FreeText)
def _write(space: FreeText, index: int, value: str, shared_memory: Any) -> None:
    data = value.encode(errors="replace")[: _SLOT - 4].decode(errors="ignore").encode()
    start = index * _SLOT
    view = memoryview(shared_memory.get_obj()).cast("B")
    view[start : start + 4] = len(data).to_bytes(4, "little")
    view[start + 4 : start + 4 + len(data)] = data


@read_from_shared_memory.register(FreeText)
def _read(space: FreeText, shared_memory: Any, n: int = 1) -> Sequence[str]:
    return _SharedTexts(shared_memory, n)
