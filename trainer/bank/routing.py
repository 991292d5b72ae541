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
from dataclasses import dataclass
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
class Rows:
    """Whose the rows of the batch at hand are."""

    size: int = 0
    """B."""
    places: Mapping[int, torch.Tensor] | None = None
    """(K,) rows of each variant that has any."""
    starts: Sequence[int] = ()
    """Layer (B,) at which gradients of each row end, ascending; empty when that does not matter."""

    def set(
        self, variants: Sequence[int], device: torch.device, starts: Sequence[int] = ()
    ) -> None:
        """Say whose the rows of the next forward passes are: (B,) variants."""
        places: dict[int, list[int]] = {}
        for row, variant in enumerate(variants):
            places.setdefault(variant, []).append(row)
        self.size, self.starts = len(variants), starts
        self.places = {v: torch.tensor(rows, device=device) for v, rows in places.items()}

    @contextmanager
    def part(self, size: int, *, base_only: bool) -> Iterator[None]:
        """Within it, a layer sees `size` of the rows, the first or, if `base_only`, the last."""
        whole = self.size, self.places
        self.size = size
        if base_only:
            self.places = {}
        try:
            yield
        finally:
            self.size, self.places = whole


def routed(base: PreTrainedModel, views: Sequence[PreTrainedModel], rows: Rows) -> PreTrainedModel:
    """A model that computes with `views`, each on its own rows; it shares all their tensors.

    Under grad, the rows must be in the order of `rows.starts`; layers below a row's start then
    keep nothing of it for the backward pass, as if its variant ran alone.

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
    for index, layer in enumerate(decoder_layers(model)):
        layer.forward = partial(_layer, layer.forward, index, rows)
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
    mine = [(own[v], rows_v) for v, rows_v in (rows.places or {}).items() if v in own]
    if len(mine) == 1 and len(mine[0][1]) == len(x):
        return mine[0][0](x)  # type: ignore[no-any-return]
    result = base(x)
    for module, places in mine:
        result.index_copy_(0, places, module(x.index_select(0, places)))
    return result


def _layer(
    forward: Callable[..., Any], index: int, rows: Rows, x: torch.Tensor, *args: Any, **kwargs: Any
) -> Any:
    """A decoder layer that keeps nothing for the backward pass of rows that start above it."""
    active = sum(start <= index for start in rows.starts)
    if not torch.is_grad_enabled() or not rows.starts or active == len(rows.starts):
        return forward(x, *args, **kwargs)
    with torch.no_grad(), rows.part(rows.size - active, base_only=True):
        idle = _apply(forward, slice(active, None), x, args, kwargs)
    if not active:
        return idle
    with rows.part(active, base_only=False):
        moving = _apply(forward, slice(active), x, args, kwargs)
    if isinstance(moving, tuple):
        return (torch.cat([moving[0], idle[0]]), *moving[1:])
    return torch.cat([moving, idle])


def _apply(
    forward: Callable[..., Any], part: slice, x: torch.Tensor, args: Any, kwargs: Any
) -> Any:
    def cut(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[0] == len(x):
            return value[part]
        if isinstance(value, tuple):
            return tuple(map(cut, value))
        return value

    return forward(x[part], *map(cut, args), **{name: cut(v) for name, v in kwargs.items()})


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]
