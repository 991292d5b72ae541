"""Rows of one rollout, split into optimiser steps and into passes that fit in memory.

Shapes: B rows of one pass, T tokens of its longest row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from layergym.trainer.processes import ALONE, Share
from layergym.trainer.rows.importance import Importance
from layergym.trainer.rows.packing import Row, collate
from layergym.trainer.rows.prefix import Prefix
from layergym.trainer.rows.trees import Trees, arrange, choose_trees, slots_of

_PER_ROW = ("grpo", "sapo", "dr_grpo", "luspo")
"""TRL's losses that are means over rows; "bnpo" is a mean over tokens, the others are sums."""


@dataclass(slots=True)
class Pass:
    """One forward and backward pass: what TRL's loss reads, and what our forward needs."""

    trees: Trees
    """The B rows."""
    sampled: torch.Tensor
    """(B, T) bool."""
    sampler_logprobs: torch.Tensor
    """(B, T - 1), of tokens 1 to T - 1."""
    loss_inputs: dict[str, torch.Tensor]
    """Keys and shapes of TRL's `_compute_loss`: the prompt is the first token, the completion all
    others, and its mask marks the sampled ones."""
    weight: float
    """Share of this pass in the optimiser step's loss."""
    tokens: float
    """Share of this pass in the optimiser step's sampled tokens."""
    rows: float
    """Share of this pass in the optimiser step's rows."""
    loss_type: str = "dapo"
    """TRL's."""
    importance: Importance | None = None
    """How sampled tokens are weighed once the trainer's log-probabilities are known."""
    prefix: Prefix | None = None
    mismatch: torch.Tensor | None = None
    """(K,) differences in nats between trainer and sampler, per sampled token, once computed."""

    def weigh(self, importance: Importance | None) -> None:
        """Correct for the engine that sampled; None: it is the model itself."""
        if importance is not None:
            self.importance = importance
            self.loss_inputs["sampling_per_token_logps"] = self.sampler_logprobs

    def observe(self, logprobs: torch.Tensor) -> None:
        """Compare the trainer's first log-probabilities (B, T - 1) with the sampler's."""
        if self.mismatch is not None:
            return
        mask = self.loss_inputs["completion_mask"]
        difference = (logprobs.detach() - self.sampler_logprobs).abs()
        self.mismatch = difference[mask.bool()]
        if self.importance is not None:
            weights = self.importance.weights(logprobs.detach(), self.sampler_logprobs, mask)
            if self.loss_type == "vespo":
                self.loss_inputs["importance_sampling_ratio"] = weights
            else:  # TRL multiplies its loss per token by them; they are not negative.
                self.loss_inputs["advantages"] = self.loss_inputs["advantages"] * weights


@dataclass(frozen=True, slots=True)
class PassLimits:
    """What one pass of one process holds at most."""

    rows: int
    tokens: float = math.inf
    """Padding included; a single row may have more."""


_ALONE = PassLimits(1)


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Rows of one optimiser step."""

    trees: tuple[tuple[Row, ...], ...]
    """Rows that can move the policy, those that share a tree together; smallest trees first."""
    all_rows: int
    """How many there were before those without a signal were left out."""
    all_tokens: int
    """Sampled tokens in all of them."""


def minibatches(
    rows: Sequence[Row],
    count: int,
    *,
    order: Sequence[int],
    skip_idle: bool,
    reach: float | None = None,
    room: PassLimits = _ALONE,
) -> list[Minibatch]:
    """Split `rows` into `count` optimiser steps of nearly equal size.

    Args:
        rows: all rows of the rollout.
        count: how many optimiser steps to take; rows are shuffled first when there are several.
        order: seed of that shuffle.
        skip_idle: leave out rows whose advantages are all 0. Their policy gradient is 0, and the
            normalisers still count them, so this saves time and changes nothing.
        reach: `trees.attention_reach` of the model; None: every row is computed by itself.
        room: of one pass, and so of one tree.
    """
    shuffled = list(rows)
    if count > 1:
        permutation = np.random.default_rng(list(order)).permutation(len(rows))
        shuffled = [rows[int(i)] for i in permutation]
    bounds = [len(rows) * i // count for i in range(count + 1)]
    result = []
    for low, high in pairwise(bounds):
        part = shuffled[low:high]
        kept = [row for row in part if not skip_idle or any(row.advantages)]
        tokens = sum(sum(row.sampled) for row in part)
        trees = choose_trees([row.ids for row in kept], reach, room.rows, room.tokens)
        planted = tuple(tuple(kept[i] for i in tree) for tree in trees)
        result.append(Minibatch(planted, len(part), tokens))
    return result


def passes(
    minibatch: Minibatch,
    *,
    room: PassLimits,
    loss_type: str,
    rollout_tokens: int,
    device: torch.device,
    reach: float | None = None,
    share: Share = ALONE,
) -> list[Pass]:
    """This process's passes over a minibatch: rows in trees of about one size.

    Every process gets as many passes, of as many rows, in trees of about the same size; where its
    own run out, one is repeated that counts nothing. Weights make the sum over the passes, averaged
    over the processes as DDP and FSDP2 average gradients, equal to TRL's loss over the whole
    minibatch at once. `rollout_tokens` counts the sampled tokens of the whole rollout: TRL's
    `num_items_in_batch`.
    """
    result = []
    for block in _blocks(minibatch.trees, room, share.of):
        rows, counts, laid = _laid(block, reach, room, share)
        batch, counting = collate(rows), torch.tensor(counts)[:, None]
        ids, sampled = batch.ids.to(device), batch.sampled.to(device)
        tokens = share.of * int((batch.sampled & counting).sum()) / max(1, minibatch.all_tokens)
        of_rows = share.of * len(rows) / minibatch.all_rows
        # A mean over all rows of the pass, the repeated ones too.
        weight = of_rows if loss_type in _PER_ROW else tokens
        result.append(
            Pass(
                trees=laid.to(device),
                sampled=sampled,
                sampler_logprobs=batch.logprobs[:, 1:].to(device),
                loss_inputs={
                    "prompt_ids": ids[:, :1],
                    "prompt_mask": torch.ones_like(ids[:, :1]),
                    "completion_ids": ids[:, 1:],
                    "completion_mask": (sampled & counting.to(device))[:, 1:].long(),
                    "advantages": batch.advantages[:, 1:].to(device),
                    # TRL's sums divide by this; the pass's weight, which they get as every loss
                    # does, is taken out again.
                    "num_items_in_batch": torch.tensor(rollout_tokens * weight, device=device),
                },
                weight=weight,
                tokens=tokens,
                rows=of_rows,
                loss_type=loss_type,
            )
        )
    return result


def _laid(
    block: Sequence[tuple[Row, ...]], reach: float | None, room: PassLimits, share: Share
) -> tuple[list[Row], list[bool], Trees]:
    """This process's rows of a block, whether they count, and their layout, in its order."""
    mine = list(share.deal(block))
    most = max(sum(map(len, block[k :: share.of])) for k in range(share.of))
    count = sum(map(len, mine))
    if most > count:
        mine.append((mine or block)[-1][-1:] * (most - count))
    rows = [row for tree in mine for row in tree]
    numbers = iter(range(len(rows)))
    trees = [[next(numbers) for _ in tree] for tree in mine]
    order, laid = arrange([row.ids for row in rows], trees, reach, room.tokens)
    return [rows[i] for i in order], [i < count for i in order], laid


def _blocks(
    trees: Sequence[tuple[Row, ...]], room: PassLimits, processes: int
) -> Iterator[list[tuple[Row, ...]]]:
    """Trees in order, as many at a time as leave every process few enough rows and tokens."""
    block: list[tuple[Row, ...]] = []
    held = [0] * processes
    for tree in trees:
        # They come smallest first, so that this one is the width of all.
        wide = (len(block) // processes + 1) * slots_of([row.ids for row in tree])
        many = held[len(block) % processes] + len(tree)
        if block and (many > room.rows or wide > room.tokens):
            yield block
            block, held = [], [0] * processes
        held[len(block) % processes] += len(tree)
        block.append(tree)
    if block:
        yield block
