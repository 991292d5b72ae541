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
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.trainer.bank.paths import Forward, Rows
from layergym.trainer.layers.selection import decoder_layers, parameters_named


def view(base: PreTrainedModel, layers: str) -> PreTrainedModel:
    """A model that shares every tensor of `base` but those that `layers` names, which it copies.

    Modules without such parameters are shared as well.

    Raises:
        InputError: `layers` cannot be read.
    """
    own = {id(base.get_parameter(name)) for name in parameters_named(base, layers)}
    kept: list[Any] = [t for t in _tensors(base) if id(t) not in own]
    kept += [m for m in base.modules() if own.isdisjoint(map(id, m.parameters()))]
    return copy.deepcopy(base, {id(one): one for one in kept})


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
    rows.in_tuple = _layers_return_tuples(base)
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
    mine = [(own[v], rows_v) for v, rows_v in rows.places.items() if v in own]
    if len(mine) == 1 and len(mine[0][1]) == len(x):
        return mine[0][0](x)  # type: ignore[no-any-return]
    result = base(x)
    for module, places in mine:
        result.index_copy_(0, places, module(x.index_select(0, places)))
    return result


def _layer(forward: Forward, index: int, rows: Rows, *args: Any, **kwargs: Any) -> Any:
    """A decoder layer, of the rows that the path at hand wants from it."""
    if rows.path is None:
        return forward(*args, **kwargs)
    return rows.path.through(forward, index, rows, args, kwargs)


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
