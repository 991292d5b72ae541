"""Which rows of a batch a decoder layer computes, when not each layer computes all of them.

Below the lowest layer that it trains, a variant is the base. So a prompt that several variants read
is one row there, and becomes more from layer to layer (`Fork`); and a pass with grad lets rows in
where their gradients begin (`Climb`).

Shapes: B rows, R rows that one layer computes, N tokens, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from layergym.agents.models.cache import RaggedCache
from layergym.trainer.bank.crowd import Crowd

Forward = Callable[..., Any]
"""A decoder layer's own."""


class Path(Protocol):
    """Says which rows the layers compute."""

    def through(self, layer: Forward, index: int, rows: Rows, args: Any, kwargs: Any) -> Any:
        """What stands in for `layer(*args, **kwargs)`."""


@dataclass(slots=True)
class Rows:
    """Whose the rows of the batch at hand are, and which of them each layer computes."""

    least: int = 1
    """Rows of one version of a module at least, which copies fill up (`Crowd`)."""
    lineage: Sequence[Sequence[int]] = ()
    """By layer, for each variant the first one whose tensors are the same up to the layer's end."""
    in_tuple: bool = False
    """Whether layers return their activations inside a tuple."""
    crowd: Crowd = field(default_factory=lambda: Crowd((), torch.device("cpu")))
    path: Path | None = None
    """None: every layer computes every row."""

    def set(
        self,
        variants: Sequence[int],
        device: torch.device,
        alike: Sequence[Hashable] | None = None,
    ) -> None:
        """Say whose the rows of the next forward passes are: (B,) variants.

        Args:
            variants: `BASE` for rows of nobody.
            device: the model's.
            alike: (B,) for the next pass alone: rows of equal values read the same tokens, and
                hold the same in the cache. None: not known.
        """
        self.crowd = Crowd(variants, device, self.least)
        self.path = forked(self.crowd, self.lineage, alike) if alike else None

    @contextmanager
    def along(self, path: Path) -> Iterator[None]:
        """Within it, forward passes take `path`."""
        self.path = path
        try:
            yield
        finally:
            self.path = None

    @contextmanager
    def narrowed(self, crowd: Crowd) -> Iterator[None]:
        """Within it, modules see these rows."""
        whole, self.crowd = self.crowd, crowd
        try:
            yield
        finally:
            self.crowd = whole


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
        others, kwargs = _cut((tuple(others), kwargs), rows.crowd.size, slice(len(x)))
        with rows.narrowed(rows.crowd.first(len(x))):
            return layer(x, *others, **kwargs)


@dataclass(frozen=True, slots=True)
class Branches:
    """The distinct rows of a stretch of layers."""

    first: torch.Tensor
    """(R,) a row of the batch that is such."""
    of: torch.Tensor
    """(B,) which one each row of the batch is."""
    crowd: Crowd
    """Whose they are; of variants that are still the same, the first one's."""


class Fork:
    """Rows that read the same are one until their variants differ."""

    def __init__(self, branches: Mapping[int, Branches], layers: int) -> None:
        """Take these distinct rows from these layers on, one of them the lowest."""
        self._branches = branches
        self._last = layers - 1
        self._now = branches[0]
        self._cuts: Cuts = {}

    def through(self, layer: Forward, index: int, rows: Rows, args: Any, kwargs: Any) -> Any:
        """Run `layer` on the distinct rows; the cache and what follows the layers get all."""
        x, *others = args
        if index in self._branches:
            new = self._branches[index]
            x = x[self._now.of[new.first] if index else new.first]
            self._now = new
            self._cuts.clear()
        now = self._now
        cache = next(
            value for value in (*others, *kwargs.values()) if isinstance(value, RaggedCache)
        )
        others, kwargs = _cut((tuple(others), kwargs), rows.crowd.size, now.first, self._cuts)
        with rows.narrowed(now.crowd), cache.shared(now.of, now.first):
            output = layer(x, *others, **kwargs)
        if index < self._last:
            return output
        return (output[0][now.of], *output[1:]) if rows.in_tuple else output[now.of]


def forked(
    crowd: Crowd, lineage: Sequence[Sequence[int]], alike: Sequence[Hashable]
) -> Fork | None:
    """Where rows part (`Rows.set`, `Rows.lineage`); None where there is nothing to share."""
    branches: dict[int, Branches] = {}
    for layer, same in enumerate(lineage):
        if not layer or same != lineage[layer - 1]:
            branches[layer] = _branches(crowd, same, alike)
    return Fork(branches, len(lineage)) if branches[0].crowd.size < crowd.size else None


def _branches(crowd: Crowd, same: Sequence[int], alike: Sequence[Hashable]) -> Branches:
    keys = [(same[v], key) for v, key in zip(crowd.variants, alike, strict=True)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    first: dict[int, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(numbers[key], row)
    device = crowd.device
    return Branches(
        torch.tensor(list(first.values()), device=device),
        torch.tensor([numbers[key] for key in keys], device=device),
        Crowd([variant for variant, _ in numbers], device, crowd.least),
    )


Cuts = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""What was cut already, by its id, with what came of it."""


def _cut(value: Any, whole: int, rows: slice | torch.Tensor, cuts: Cuts | None = None) -> Any:
    """What a layer is given (masks, positions, ...), for some rows of the batch only."""
    if isinstance(value, torch.Tensor) and value.ndim > 1 and len(value) == whole:
        if cuts is None:
            return value[rows]
        if id(value) not in cuts:
            cuts[id(value)] = (value, value[rows])
        return cuts[id(value)][1]
    if isinstance(value, tuple):
        return tuple(_cut(item, whole, rows, cuts) for item in value)
    if isinstance(value, dict):
        return {name: _cut(item, whole, rows, cuts) for name, item in value.items()}
    return value
