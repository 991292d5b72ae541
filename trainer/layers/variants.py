"""Variants of a trained model: parts of its update, scaled, rounded, truncated, put together.

All functions are pure: they take deltas and the base's values and give new deltas, which apply to
the same base. `before` holds the base's values in float32 by the parameter's name; `dense` comes
first, so that what follows need not know about low-rank updates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from layergym.base.errors import InputError
from layergym.trainer.layers.delta import LayerDelta, compose, full_precision

Before = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Variant:
    """A model made of a base and a delta, under the name by which its scores are filed."""

    name: str
    delta: LayerDelta
    """Without tensors: the base itself."""


def values_of(model: nn.Module, names: Collection[str]) -> dict[str, torch.Tensor]:
    """The present values of these parameters, in float32 or more in main memory."""
    parameters = dict(model.named_parameters())
    return {name: full_precision(parameters[name].detach()).cpu().clone() for name in names}


def dense(delta: LayerDelta, before: Before) -> LayerDelta:
    """The same delta with whole new values in the place of low-rank updates."""
    return replace(
        delta, tensors={name: delta.value(name, before[name]) for name in sorted(delta.changes)}
    )


def part_of(delta: LayerDelta, names: Collection[str]) -> LayerDelta:
    """The new values of these tensors alone, moved into the base."""
    return replace(delta, tensors={n: t for n, t in delta.tensors.items() if n in names})


def without(delta: LayerDelta, names: Collection[str]) -> LayerDelta:
    """The trained model with the base's values of these tensors put back."""
    return replace(delta, tensors={n: t for n, t in delta.tensors.items() if n not in names})


def scaled(delta: LayerDelta, before: Before, factor: float) -> LayerDelta:
    """The whole update times `factor`; 1 gives the trained values themselves."""
    if factor == 1:
        return delta
    return _each(delta, before, lambda old, new: old + factor * (new - old))


def rounded(delta: LayerDelta, before: Before) -> LayerDelta:
    """What a model in bfloat16 shows of the update: the difference of the rounded values."""
    return _each(delta, before, lambda old, new: old + (_bf16(new) - _bf16(old)))


def directions(delta: LayerDelta, before: Before, rank: int) -> LayerDelta:
    """The update of every matrix cut to its `rank` largest singular directions; vectors stay."""

    def cut(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        if new.ndim < 2:
            return new
        matrix = (new - old).flatten(1)
        left, size, right = torch.linalg.svd(matrix, full_matrices=False)
        kept = (left[:, :rank] * size[:rank]) @ right[:rank]
        new_values: torch.Tensor = old + kept.view_as(old)
        return new_values

    return _each(delta, before, cut)


def stacked(deltas: Sequence[LayerDelta], before: Before, *, mean: bool = False) -> LayerDelta:
    """The updates of several runs in one model: their sum, or with `mean` their mean.

    Where no two deltas change the same tensor, the sum holds the trained values themselves.

    Raises:
        InputError: there is no delta, or they have different bases.
    """
    if not deltas:
        raise InputError("there is no delta to stack; give one or more")
    apart = len(set.union(*(d.changes for d in deltas))) == sum(len(d.changes) for d in deltas)
    if apart and not mean:
        return compose(deltas)
    if len({delta.base for delta in deltas}) > 1:
        raise InputError(
            "these deltas were trained from different base models; take those of one base"
        )
    share = 1 / len(deltas) if mean else 1.0
    sums: dict[str, torch.Tensor] = {}
    for delta in deltas:
        for name, new in delta.tensors.items():
            sums[name] = sums.get(name, before[name]) + share * (new - before[name])
    layers = sorted({layer for delta in deltas for layer in delta.layers})
    return LayerDelta(deltas[0].base, tuple(layers), sums)


def exchanged(delta: LayerDelta, other: LayerDelta, names: Collection[str]) -> LayerDelta:
    """The trained model with another run's values of these tensors.

    Raises:
        InputError: the runs have different bases.
    """
    return compose([without(delta, names), part_of(other, names)])


def _each(
    delta: LayerDelta,
    before: Before,
    change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> LayerDelta:
    return replace(delta, tensors={n: change(before[n], t) for n, t in delta.tensors.items()})


def _bf16(values: torch.Tensor) -> torch.Tensor:
    return values.bfloat16().to(values.dtype)
