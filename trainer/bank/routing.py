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
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.trainer.bank.crowd import BASE, Versions
from layergym.trainer.bank.paths import Forward, Rows
from layergym.trainer.layers.selection import decoder_layers, parameters_named


class Inseparable(InputError):
    """Rows of different variants cannot be told apart in this architecture."""


def view(base: PreTrainedModel, layers: str) -> PreTrainedModel:
    """A model that shares every tensor of `base` but those that `layers` names, which it copies.

    Modules without such parameters are shared as well.

    Raises:
        InputError: `layers` cannot be read.
    """
    own = parameters_named(base, layers)
    return holding(base, {name: copy.deepcopy(base.get_parameter(name)) for name in own})


def holding(base: PreTrainedModel, own: Mapping[str, nn.Parameter]) -> PreTrainedModel:
    """A model that shares every tensor of `base` but those of these names: `own` has its own.

    Modules without such parameters are shared as well.
    """
    new: dict[int, Any] = {id(base.get_parameter(name)): value for name, value in own.items()}
    kept: list[Any] = [t for t in _tensors(base) if id(t) not in new]
    kept += [m for m in base.modules() if new.keys().isdisjoint(map(id, m.parameters()))]
    return copy.deepcopy(base, {id(tensor): tensor for tensor in kept} | new)


def routed(base: PreTrainedModel, views: Sequence[PreTrainedModel], rows: Rows) -> PreTrainedModel:
    """A model that computes with `views`, each on its own rows; it shares all their tensors.

    Raises:
        Inseparable: a trained parameter sits where rows cannot be told apart.
    """
    model = copy.deepcopy(base, {id(t): t for t in _tensors(base)})
    shared = {id(p) for p in base.parameters()}
    for name, leaf in model.named_modules():
        versions: dict[tuple[int, ...], list[int]] = {}
        twins = [model_view.get_submodule(name) for model_view in views]
        for variant, twin in enumerate(twins):
            held = _ids(twin.parameters(recurse=False))
            if not shared.issuperset(held):
                versions.setdefault(held, []).append(variant)
        if versions and any(True for _ in leaf.children()):
            raise Inseparable(f"{name} holds parameters beside other modules; {_ALONE}")
        if versions:
            own = [twins[variants[0]] for variants in versions.values()]
            of = tuple(map(tuple, versions.values()))
            leaf.forward = partial(_leaf, [*own, leaf.forward], of, rows, name)
    rows.in_tuple = _layers_return_tuples(base)
    rows.lineage = _lineage(views)
    for index, layer in enumerate(decoder_layers(model)):
        layer.forward = partial(_layer, layer.forward, index, rows)
    return model


_ALONE = "a bank cannot tell rows apart there: train these layers one run at a time"


def _leaf(
    modules: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    versions: Versions,
    rows: Rows,
    name: str,
    x: torch.Tensor,
) -> torch.Tensor:
    """(B, ...) -> (B, ...), every row by its own variant's module; the last is the base's."""
    if x.shape[0] != rows.crowd.size:
        raise Inseparable(f"{name} does not see the batch row by row; {_ALONE}")
    deal = rows.crowd.deal(versions)
    parts = [
        modules[number](x if places is None else x.index_select(0, places))
        for number, places in deal.parts
    ]
    if deal.back is not None:
        return torch.cat(parts).index_select(0, deal.back)
    if deal.parts[0][1] is None:
        return parts[0]
    result = modules[BASE](x)
    for (_, places), part in zip(deal.parts, parts, strict=True):
        assert places is not None
        result.index_copy_(0, places, part)
    return result


def _lineage(views: Sequence[PreTrainedModel]) -> list[tuple[int, ...]]:
    """`Rows.lineage`. What lies outside the layers counts as if it came first."""
    layers = [decoder_layers(variant) for variant in views]
    inside = [{id(p) for layer in mine for p in layer.parameters()} for mine in layers]
    outer = [
        tuple(i for i in _ids(variant.parameters()) if i not in within)
        for variant, within in zip(views, inside, strict=True)
    ]
    keys: list[Any] = _numbered(outer)
    lineage = []
    for index in range(len(layers[0])):
        held = [_ids(mine[index].parameters()) for mine in layers]
        keys = _numbered(list(zip(keys, held, strict=True)))
        lineage.append(tuple(keys))
    return lineage


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    """For each key, the place of the first one equal to it."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(key, place) for place, key in enumerate(keys)]


def _ids(parameters: Iterable[nn.Parameter]) -> tuple[int, ...]:
    return tuple(map(id, parameters))


def _layer(forward: Forward, index: int, rows: Rows, *args: Any, **kwargs: Any) -> Any:
    """A decoder layer, of the rows that the path at hand wants from it."""
    if rows.path is None:
        return forward(*args, **kwargs)
    return rows.path.through(forward, index, rows, args, kwargs)


@torch.no_grad()
def _layers_return_tuples(model: PreTrainedModel) -> bool:
    tuples: list[bool] = []
    layer = decoder_layers(model)[0]
    handle = layer.register_forward_hook(lambda *a: tuples.append(isinstance(a[2], tuple)))
    try:
        model.base_model(torch.zeros(1, 1, dtype=torch.int64, device=model.device))
    finally:
        handle.remove()
    return tuples[0]


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]
