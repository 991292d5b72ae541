"""One model that holds many: a frozen base and, per variant, private copies of what it trains.

A *view* of a variant is an ordinary model whose parameters are the base's own, except for those
that the variant trains. The *routed* model computes with all views at once: every parameterised
leaf module (projection, norm) that some variant trains sends that variant's rows of the batch
through the variant's own copy and all other rows through the base. Attention and caches never
notice.

Shapes: B rows in a batch, each belonging to one variant.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from layergym.envs.errors import InputError
from layergym.trainer.layers import decoder_layers, layer_indices


def view(base: PreTrainedModel, layers: str) -> PreTrainedModel:
    """A model that shares every tensor of `base` but the parameters of `layers`, which it copies.

    Raises:
        InputError: `layers` cannot be read.
    """
    blocks = decoder_layers(base)
    own = {id(p) for i in layer_indices(layers, len(blocks)) for p in blocks[i].parameters()}
    return copy.deepcopy(base, {id(t): t for t in _tensors(base) if id(t) not in own})


@dataclass(slots=True)
class Climb:
    """A pass whose rows enter at different layers, and that may end before the last."""

    entering: Mapping[int, torch.Tensor | None]
    """By layer, the activations (R, N, H) of the rows that enter there, behind those that did
    below; None: what the embeddings give."""
    until: int
    """The first layer that does not run."""
    inside: int = 0
    """How many rows have entered."""
    left: torch.Tensor | None = None
    """In the end: the activations that would enter layer `until`."""


@dataclass(slots=True)
class Rows:
    """Whose the rows of the batch at hand are."""

    size: int = 0
    """B."""
    places: Mapping[int, torch.Tensor] = field(default_factory=dict)
    """(K,) rows of each variant that has any; the base computes all others."""
    climb: Climb | None = None

    def set(self, variants: Sequence[int], device: torch.device) -> None:
        """Say whose the rows of the next forward passes are: (B,) variants."""
        places: dict[int, list[int]] = {}
        for row, variant in enumerate(variants):
            places.setdefault(variant, []).append(row)
        self.size = len(variants)
        self.places = {v: torch.tensor(rows, device=device) for v, rows in places.items()}

    @contextmanager
    def climbing(self, climb: Climb) -> Iterator[None]:
        """Within it, forward passes are such a pass; rows that enter higher come later."""
        self.climb = climb
        try:
            yield
        finally:
            self.climb = None


def routed(base: PreTrainedModel, views: Sequence[PreTrainedModel], rows: Rows) -> PreTrainedModel:
    """A model that computes with `views`, each on its own rows; it shares all their tensors.

    Raises:
        InputError: a trained parameter sits where rows cannot be told apart.
    """
    model = copy.deepcopy(base, {id(t): t for t in _tensors(base)})
    shared = {id(p) for p in base.parameters()}
    for name, leaf in model.named_modules():
        twins = [one.get_submodule(name) for one in views]
        own = {
            v: twin
            for v, twin in enumerate(twins)
            if any(id(p) not in shared for p in twin.parameters(recurse=False))
        }
        if own and any(True for _ in leaf.children()):
            raise InputError(f"{name} holds parameters beside other modules; {_ALONE}")
        if own:
            leaf.forward = partial(_leaf, leaf.forward, own, rows, name)
    in_tuple = _layers_return_tuples(base)
    for index, layer in enumerate(decoder_layers(model)):
        layer.forward = partial(_layer, layer.forward, index, rows, in_tuple)
    return model


_ALONE = "a bank cannot tell rows apart there: train these layers one run at a time"


def _leaf(
    base: Callable[[torch.Tensor], torch.Tensor],
    own: Mapping[int, nn.Module],
    rows: Rows,
    name: str,
    x: torch.Tensor,
) -> torch.Tensor:
    """(B, ...) -> (B, ...), every row by its own variant's module."""
    if x.shape[0] != rows.size:
        raise InputError(f"{name} does not see the batch row by row; {_ALONE}")
    mine = [(own[v], rows_v) for v, rows_v in rows.places.items() if v in own]
    if len(mine) == 1 and len(mine[0][1]) == len(x):
        return mine[0][0](x)  # type: ignore[no-any-return]
    result = base(x)
    for module, places in mine:
        result.index_copy_(0, places, module(x.index_select(0, places)))
    return result


def _layer(
    forward: Callable[..., Any],
    index: int,
    rows: Rows,
    in_tuple: bool,
    x: torch.Tensor,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """A decoder layer that computes the rows which have entered, and no others."""
    climb = rows.climb
    if climb is None:
        return forward(x, *args, **kwargs)
    if index in climb.entering:
        new = climb.entering[index]
        if new is not None:
            x = torch.cat([x, new]) if climb.inside else new
        climb.inside = len(x)
    if index == climb.until:
        climb.left = x
    if not climb.inside or index >= climb.until:
        return (x,) if in_tuple else x
    whole, rows.size = rows.size, len(x)
    args, kwargs = _cut((args, kwargs), whole, len(x))
    try:
        return forward(x, *args, **kwargs)
    finally:
        rows.size = whole


def _cut(value: Any, whole: int, rows: int) -> Any:
    """What a layer is given (masks, positions, ...), for the first rows of the batch only."""
    if isinstance(value, torch.Tensor) and value.ndim > 1 and len(value) == whole:
        return value[:rows]
    if isinstance(value, tuple):
        return tuple(_cut(one, whole, rows) for one in value)
    if isinstance(value, dict):
        return {name: _cut(one, whole, rows) for name, one in value.items()}
    return value


@torch.no_grad()
def _layers_return_tuples(model: PreTrainedModel) -> bool:
    found: list[bool] = []
    layer = decoder_layers(model)[0]
    handle = layer.register_forward_hook(lambda *a: found.append(isinstance(a[2], tuple)))
    try:
        model.base_model(torch.zeros(1, 1, dtype=torch.int64, device=model.device))
    finally:
        handle.remove()
    return found[0]


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]
