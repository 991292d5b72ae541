"""Which rows of a batch a decoder layer computes, when not each layer computes all of them.

Below the lowest layer that it trains, a variant is the base. So a prompt that several variants read
is one row there, and becomes more from layer to layer (`Fork`); and a pass with grad lets rows in
where their gradients begin (`Climb`).

Shapes: B rows, R rows that one layer computes, N tokens, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from layergym.agents.models.cache import RaggedCache, cache_keyword

Forward = Callable[..., Any]
"""A decoder layer's own."""


class Path(Protocol):
    """Says which rows the layers compute."""

    def through(self, layer: Forward, index: int, rows: Rows, args: Any, kwargs: Any) -> Any:
        """What stands in for `layer(*args, **kwargs)`."""


@dataclass(slots=True)
class Rows:
    """Whose the rows of the batch at hand are, and which of them each layer computes."""

    size: int = 0
    """B."""
    places: Mapping[int, torch.Tensor] = field(default_factory=dict)
    """(K,) rows of each variant that has any; the base computes all others."""
    path: Path | None = None
    """None: every layer computes every row."""
    in_tuple: bool = False
    """Whether layers return their activations inside a tuple."""

    def set(self, variants: Sequence[int], device: torch.device) -> None:
        """Say whose the rows of the next forward passes are: (B,) variants."""
        self.size, self.places = len(variants), _places(variants, device)

    @contextmanager
    def on(self, path: Path) -> Iterator[None]:
        """Within it, forward passes take `path`."""
        self.path = path
        try:
            yield
        finally:
            self.path = None

    @contextmanager
    def some(self, size: int, places: Mapping[int, torch.Tensor]) -> Iterator[None]:
        """Within it, modules see that many rows, at other places."""
        whole = self.size, self.places
        self.size, self.places = size, places
        try:
            yield
        finally:
            self.size, self.places = whole


@dataclass(slots=True)
class Climb:
    """Rows enter at different layers, and may all leave before the last."""

    entering: Mapping[int, torch.Tensor | None]
    """By layer, the activations (R, N, H) of the rows that enter there, behind those that did
    below; None: what the embeddings give."""
    until: int
    """The first layer that does not run."""
    inside: int = 0
    """How many rows have entered."""
    left: torch.Tensor | None = None
    """In the end: the activations that would enter layer `until`."""

    def through(self, layer: Forward, index: int, rows: Rows, args: Any, kwargs: Any) -> Any:
        """Run `layer` on what has entered; without it, or behind the end, hand on what came."""
        x, *others = args
        if index in self.entering:
            new = self.entering[index]
            if new is not None:
                x = torch.cat([x, new]) if self.inside else new
            self.inside = len(x)
        if index == self.until:
            self.left = x
        if not self.inside or index >= self.until:
            return (x,) if rows.in_tuple else x
        others, kwargs = _cut((tuple(others), kwargs), rows.size, slice(len(x)))
        with rows.some(len(x), rows.places):
            return layer(x, *others, **kwargs)


@dataclass(frozen=True, slots=True)
class Branches:
    """The distinct rows of a stretch of layers."""

    first: torch.Tensor
    """(R,) a row of the batch that is such."""
    of: torch.Tensor
    """(B,) which one each row of the batch is."""
    places: Mapping[int, torch.Tensor]
    """Rows, among the distinct ones, of each variant that is no longer the base."""


class Fork:
    """Rows that read the same are one until their variants differ."""

    def __init__(
        self,
        variants: Sequence[int],
        starts: Sequence[int],
        alike: Sequence[int],
        device: torch.device,
    ) -> None:
        """Plan.

        Args:
            variants: (B,) whose the rows are; no variant reads the same twice.
            starts: by variant, the lowest layer that it trains.
            alike: (B,) rows of one number hold the same tokens.
            device: the model's.
        """
        self._branches = {
            layer: _branches(variants, [starts[v] <= layer for v in variants], alike, device)
            for layer in sorted({0, *(starts[v] for v in variants)})
        }
        self._now: Branches | None = None

    def through(self, layer: Forward, index: int, rows: Rows, args: Any, kwargs: Any) -> Any:
        """Run `layer` on the distinct rows; the cache gets them all."""
        x, *others = args
        if index in self._branches:
            new = self._branches[index]
            x = x[new.first if self._now is None else self._now.of[new.first]]
            self._now = new
        now = self._now
        assert now is not None
        cache: RaggedCache = kwargs[cache_keyword(kwargs)]
        others, kwargs = _cut((tuple(others), kwargs), rows.size, now.first)
        cache.copies = now.of
        try:
            with rows.some(len(x), now.places):
                return layer(x, *others, **kwargs)
        finally:
            cache.copies = None


def _branches(
    variants: Sequence[int], apart: Sequence[bool], alike: Sequence[int], device: torch.device
) -> Branches:
    keys = [(v if own else -1, n) for v, own, n in zip(variants, apart, alike, strict=True)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    first: dict[int, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(numbers[key], row)
    return Branches(
        torch.tensor(list(first.values()), device=device),
        torch.tensor([numbers[key] for key in keys], device=device),
        _places([variant for variant, _ in numbers], device),
    )


def _places(variants: Sequence[int], device: torch.device) -> dict[int, torch.Tensor]:
    """The rows of each variant; what is nobody's has a negative number."""
    places: dict[int, list[int]] = {}
    for row, variant in enumerate(variants):
        if variant >= 0:
            places.setdefault(variant, []).append(row)
    return {v: torch.tensor(rows, device=device) for v, rows in places.items()}


def _cut(value: Any, whole: int, rows: slice | torch.Tensor) -> Any:
    """What a layer is given (masks, positions, ...), for some rows of the batch only."""
    if isinstance(value, torch.Tensor) and value.ndim > 1 and len(value) == whole:
        return value[rows]
    if isinstance(value, tuple):
        return tuple(_cut(one, whole, rows) for one in value)
    if isinstance(value, dict):
        return {name: _cut(one, whole, rows) for name, one in value.items()}
    return value
