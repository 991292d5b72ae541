"""Rows that begin alike, laid out as a tree: what they share is computed once.

Episodes of one group start from the same prompt, and often go on alike for a while. In a tree,
every distinct beginning has one slot per token; a token attends to the slots on its own way from
the root and to no others, so that each row gets what it would get alone. For the prompts of GRPO's
groups this is the shared prefix of arXiv 2506.05433; here any common beginning is shared.

Shapes: B rows of at most T tokens, R trees (or places for several) of at most N slots, H hidden
size.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from layergym.agents.models.attention import (
    additive_masks,
    attends_in_blocks,
    attention_windows,
)
from layergym.agents.models.branches import branch_masks
from layergym.base.errors import InputError
from layergym.trainer.layers.selection import decoder_layers

Ids = tuple[int, ...]

_WORTH = 0.9
"""Trees must cost less than so much of what rows alone do: masks have to be made and read, too."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Rows of tokens in trees, padded on the right."""

    rows: tuple[Ids, ...]
    """The rows, in order."""
    ids: Tensor
    """(R, N) the token of every slot."""
    depths: Tensor
    """(R, N) its position in the rows that pass through it."""
    ends: Tensor
    """(R, N) one past the last slot that lies behind it, 0 for padding; slots are in depth-first
    order."""
    places: Tensor
    """(B, T) where the tokens of each row are among the R * N slots; 0 for padding."""

    @property
    def shared(self) -> bool:
        """Whether any tree holds more than one row."""
        return len(self.ids) < len(self.rows)

    def inputs(self, model: PreTrainedModel, part: slice = slice(None)) -> dict[str, Any]:
        """What `model` is called with for some of the trees.

        Single rows need no mask: attention is causal.
        """
        if not self.shared:
            return {"input_ids": self.ids[part]}
        depths = self.depths[part]
        masks = _masks(model, self.ends[part], depths)
        return {"input_ids": self.ids[part], "position_ids": depths, "attention_mask": masks}

    def to(self, device: torch.device) -> Trees:
        """The same on another device."""
        moved = (tensor.to(device) for tensor in (self.ids, self.depths, self.ends, self.places))
        return Trees(self.rows, *moved)


def _masks(model: PreTrainedModel, ends: Tensor, depths: Tensor) -> Tensor | dict[str, Tensor]:
    """What lets every slot see its own way from the root, as `model` takes it."""
    windows = attention_windows(model)
    if attends_in_blocks(model, ends.shape[1]):
        return branch_masks(ends, depths, windows)
    slots = torch.arange(ends.shape[1], device=ends.device)
    behind = (slots <= slots[:, None]) & (slots[:, None] < ends[:, None])
    # A padded slot sees itself alone, so that its attention is defined.
    behind |= slots == slots[:, None]
    return additive_masks(behind, depths[:, None], depths, windows, model.dtype)


def lay_out(trees: Iterable[Sequence[Ids]]) -> Trees:
    """Lay out rows, each of which shares what it begins with in common with the one before it."""
    laid = [_lay_one(rows) for rows in trees]
    slots = max(len(tree.ids) for tree in laid)
    width = max(len(places) for tree in laid for places in tree.places)

    def stack(columns: Iterable[NDArray[np.int64]], size: int) -> Tensor:
        return torch.from_numpy(np.stack([np.pad(c, (0, size - len(c))) for c in columns]))

    return Trees(
        rows=tuple(row for tree in laid for row in tree.rows),
        ids=stack((tree.ids for tree in laid), slots),
        depths=stack((tree.depths for tree in laid), slots),
        ends=stack((tree.ends for tree in laid), slots),
        places=stack(
            (places + number * slots for number, tree in enumerate(laid) for places in tree.places),
            width,
        ),
    )


def side_by_side(parts: Sequence[Trees]) -> Trees:
    """All trees of `parts` in one batch, in order."""
    slots = max(part.ids.shape[1] for part in parts)
    width = max(part.places.shape[1] for part in parts)
    places, first = [], 0
    for part in parts:
        tree, slot = part.places // part.ids.shape[1], part.places % part.ids.shape[1]
        places.append(pad((tree + first) * slots + slot, (0, width - part.places.shape[1])))
        first += len(part.ids)

    def stack(tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([pad(one, (0, slots - one.shape[1])) for one in tensors])

    return Trees(
        rows=tuple(row for part in parts for row in part.rows),
        ids=stack(part.ids for part in parts),
        depths=stack(part.depths for part in parts),
        ends=stack(part.ends for part in parts),
        places=torch.cat(places),
    )


def relocate(hidden: Tensor, old: Trees, new: Trees, rows: Sequence[int]) -> Tensor:
    """Activations (R, N, H) of the slots of `old`, in the slots (R', N') of `new`.

    Args:
        hidden: the activations.
        old: where they are.
        new: where they shall be.
        rows: which row of `old` each row of `new` is.
    """
    source = torch.zeros(new.ids.numel(), dtype=torch.int64, device=hidden.device)
    here = old.places[torch.tensor(rows, device=hidden.device)]
    width = min(here.shape[1], new.places.shape[1])
    lengths = torch.tensor([len(row) for row in new.rows], device=hidden.device)
    real = torch.arange(width, device=hidden.device) < lengths[:, None]
    source[new.places[:, :width][real]] = here[:, :width][real]
    there: Tensor = hidden.flatten(0, 1)[source].unflatten(0, new.ids.shape)
    return there


def choose_trees(
    rows: Sequence[Ids], reach: float | None, most: int, tokens: float = math.inf
) -> list[list[int]]:
    """Which rows to lay out in one tree: their indices in ascending order of the rows.

    A slot costs its share of the projections and attends to all slots of its tree, its own way or
    not. So large trees do not pay; these are the cheapest in which rows stay in ascending order.
    Trees come smallest first.

    Args:
        rows: the rows.
        reach: as `attention_reach` says; None: every row has a tree of its own.
        most: rows in one tree at most.
        tokens: slots in one tree at most, unless a single row has more.
    """
    if reach is None or not rows:
        return [[i] for i in sorted(range(len(rows)), key=lambda i: len(rows[i]))]
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    arrays = [np.array(rows[i]) for i in order]
    common = np.array([0, *(_common(a, b) for a, b in pairwise(arrays))])
    # What a row adds to a tree that holds the one before it, summed over all rows before each.
    added = np.cumsum([0, *(len(a) - c for a, c in zip(arrays, common, strict=True))])
    cost, first = np.zeros(len(rows) + 1), np.zeros(len(rows), np.int64)
    for end in range(1, len(rows) + 1):
        starts = np.arange(max(0, end - most), end)
        slots = added[end] - added[starts] + common[starts]
        costs = cost[starts] + slots * (reach + slots)
        costs[:-1][slots[:-1] > tokens] = math.inf
        first[end - 1] = starts[costs.argmin()]
        cost[end] = costs.min()
    trees: list[tuple[int, list[int]]] = []
    end = len(rows)
    while end:
        start = int(first[end - 1])
        trees.append((int(added[end] - added[start] + common[start]), order[start:end]))
        end = start
    return [tree for _, tree in sorted(trees, key=lambda pair: pair[0])]


def arrange(
    rows: Sequence[Ids],
    trees: Sequence[Sequence[int]],
    reach: float | None,
    tokens: float = math.inf,
) -> tuple[list[int], Trees]:
    """The order of the rows of one batch, and their layout in that order.

    Trees stand side by side, without seeing each other, where that leaves less padding. Rows stay
    alone where that costs about as much: then nothing is masked, and attention skips the half that
    causality rules out.

    Args:
        rows: the rows.
        trees: as `choose_trees` returns them.
        reach: as for `choose_trees`.
        tokens: rows stay alone, and trees share a place, only where there are no more slots then.
    """
    beds = [[i] for tree in trees for i in tree]
    if reach is not None:
        longest = max(map(len, rows))
        cost = _WORTH * len(rows) * longest * (reach + longest / 2)
        cost = cost if len(rows) * longest <= tokens else math.inf
        sizes = [slots_of([rows[i] for i in tree]) for tree in trees]
        for count in {math.ceil(len(trees) / 1.25**k) for k in range(16)}:
            room = max(max(sizes), -(-sum(sizes) // count))
            places = _fitted(sizes, room)
            most = max(sum(sizes[k] for k in place) for place in places)
            fits = len(places) * most <= tokens or len(places) == len(trees)
            if fits and (other := len(places) * most * (reach + most)) < cost:
                cost, beds = other, [[i for k in place for i in trees[k]] for place in places]
    return [i for bed in beds for i in bed], lay_out([[rows[i] for i in bed] for bed in beds])


def _fitted(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Things of some sizes, largest first, each into the place that it fills best."""
    places: list[list[int]] = []
    free: list[tuple[int, int]] = []  # room left and number of every place, ascending
    for k in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
        best = bisect_left(free, (sizes[k], 0))
        if best == len(free):
            free.append((room, len(places)))
            places.append([])
        left, place = free.pop(best)
        places[place].append(k)
        insort(free, (left - sizes[k], place))
    return places


def slots_of(rows: Sequence[Ids]) -> int:
    """How many slots rows in ascending order need in one tree."""
    arrays = [np.array(row) for row in rows]
    return sum(map(len, rows)) - sum(_common(a, b) for a, b in pairwise(arrays))


def attention_reach(model: PreTrainedModel) -> float | None:
    """How many slots a token attends to at the cost of a layer's projections, or None.

    Forward and backward through a frozen layer take 4 operations per parameter and token, and 14
    per head channel and slot attended to. None: the model does not take masks of our own, so that
    its rows cannot share a tree.
    """
    config = model.config.get_text_config(decoder=True)
    try:
        attention_windows(model)
    except InputError:
        return None
    parameters = sum(p.numel() for p in decoder_layers(model)[0].parameters())
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return float(4 * parameters / (14 * config.num_attention_heads * head))


@dataclass(frozen=True, slots=True)
class _Laid:
    """One tree: its rows, per slot a token, depth and end, per row its slots."""

    rows: Sequence[Ids]
    ids: NDArray[np.int64]
    depths: NDArray[np.int64]
    ends: NDArray[np.int64]
    places: list[NDArray[np.int64]]


def _lay_one(rows: Sequence[Ids]) -> _Laid:
    size = sum(map(len, rows))
    ids, depths, ends = (np.zeros(size, np.int64) for _ in range(3))
    places: list[NDArray[np.int64]] = []
    count, before = 0, np.zeros(0, np.int64)
    for row in rows:
        now = np.array(row)
        common = _common(before, now)
        way = places[-1] if places else before
        grown = count + len(now) - common
        ends[way[common:]] = count
        ids[count:grown] = now[common:]
        depths[count:grown] = np.arange(common, len(now))
        places.append(np.append(way[:common], np.arange(count, grown)))
        count, before = grown, now
    ends[places[-1]] = count
    return _Laid(rows, ids[:count], depths[:count], ends[:count], places)


def _common(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many tokens two rows begin with in common."""
    shorter = min(len(one), len(other))
    differ = one[:shorter] != other[:shorter]
    return int(differ.argmax()) if differ.any() else shorter
