"""Passes over the rows of all variants of a bank: forward, and backward.

Below the lowest layer that a variant trains, it is the base. So what the base computes there is
computed for all variants at once, and only once where their rows begin alike. From there on, a pass
with grad takes a few variants at a time: the cores are full then, and memory is bounded.

Shapes: B rows of one variant's pass, T tokens of the longest; R trees of N slots, see
`trainer.rows.trees`; H hidden size.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch.nn.functional import pad
from transformers import PreTrainedModel

from layergym.agents.models.compute import release_memory, repeatable
from layergym.base.errors import Notice
from layergym.trainer.bank.crowd import BASE
from layergym.trainer.bank.paths import Climb, Rows
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.rows.prefix import sampled_logprobs
from layergym.trainer.rows.trees import (
    Ids,
    Trees,
    arrange,
    attention_reach,
    choose_trees,
    relocate,
    side_by_side,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows of one variant's pass."""

    variant: int
    start: int
    """The lowest layer that the variant trains."""
    trees: Trees
    """The B rows, in R trees."""
    sampled: torch.Tensor
    """(B, T) bool."""
    autocast: Callable[[], AbstractContextManager[None]]
    entering: torch.Tensor | None = None
    """(R, N, H) activations that enter layer `start`, once `JointPasses.below` has given them."""
    most: float = math.inf
    """Tokens in one pass at most, those of other variants included."""


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Log-probabilities and entropies (B, T - 1) of one variant's rows.

    Under grad, both are leaves: the loss is differentiated with respect to them, and the bank
    carries their gradients on from `logprobs_joint` and `entropy_joint`, to which they are equal.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor
    logprobs_joint: torch.Tensor
    entropy_joint: torch.Tensor


PassAnswer = ScoredRows | torch.OutOfMemoryError
"""What a variant gets: what it asked for, or that there is no memory for it."""


def all_scored(answers: Sequence[PassAnswer]) -> list[ScoredRows]:
    """The answers, where no variant lacked memory.

    Raises:
        OutOfMemoryError: one did.
    """
    for answer in answers:
        if isinstance(answer, torch.OutOfMemoryError):
            raise answer
    return [answer for answer in answers if isinstance(answer, ScoredRows)]


class TooManyTogether(torch.OutOfMemoryError):
    """Memory ran out in a pass of several variants; from now on there are fewer in one."""


class JointPasses:
    """Computes the passes of variants that ask at the same time."""

    def __init__(self, model: PreTrainedModel, rows: Rows, deterministic: bool = True) -> None:
        """Compute with `model`, as `routing.routed` makes it of `rows`; `compute.repeatable`."""
        self._deterministic = deterministic
        self._model = model
        self._rows = rows
        self.reach = attention_reach(model)
        self._slots = _SLOTS
        self._most: int | None = None
        """Variants in one pass at most; None: memory has not run out yet."""

    @torch.no_grad()
    def below(self, asked: Sequence[Asked]) -> list[torch.Tensor]:
        """The activations (R, N, H) that enter the lowest layer that each variant trains."""
        while True:
            try:
                return self._below(asked)
            except torch.OutOfMemoryError:
                if self._slots < _FEWEST:
                    raise
            self._slots //= 2
            self._say(f"the base computes at most {self._slots} tokens at once")

    def _below(self, asked: Sequence[Asked]) -> list[torch.Tensor]:
        rows = [(i, row) for i, part in enumerate(asked) for row in part.trees.rows]
        hidden: dict[int, torch.Tensor] = {}
        spread: _Spread | None = None
        for start in sorted({part.start for part in asked}):
            alive = [number for number, (i, _) in enumerate(rows) if asked[i].start >= start]
            with asked[0].autocast():
                spread = self._climbed(spread, {n: rows[n][1] for n in alive}, start)
            for i, part in enumerate(asked):
                if part.start == start:
                    own = [number for number in alive if rows[number][0] == i]
                    hidden[i] = spread.of(own, part.trees)
        return [hidden[i] for i in range(len(asked))]

    def score(self, asked: Sequence[Asked]) -> Sequence[PassAnswer]:
        """One forward pass with grad over the rows of the first few variants.

        Where memory runs out, fewer share a pass; a variant whose rows alone do not fit is told.
        """
        while True:
            few = _few(asked)[: self._most]
            try:
                return self._score(few)
            except torch.OutOfMemoryError as error:
                lacking = error.with_traceback(None)
            if len(few) == 1:
                return [lacking]
            self._fewer(few)

    @torch.no_grad()
    def score_only(self, asked: Sequence[Asked]) -> Sequence[PassAnswer]:
        """One forward pass without."""
        return self.score(asked)

    def backward(self, scored: Sequence[ScoredRows]) -> Sequence[torch.OutOfMemoryError | None]:
        """One backward pass for the gradients that the variants' losses left in their leaves.

        Where memory runs out all of them begin their steps again: some have gradients already.
        """
        try:
            self._backward(scored)
        except torch.OutOfMemoryError as error:
            lacking = error.with_traceback(None)
        else:
            return [None] * len(scored)
        if len(scored) > 1:
            self._fewer(scored)
            lacking = TooManyTogether(str(lacking))
        return [lacking] * len(scored)

    def _fewer(self, served: Sequence[object]) -> None:
        """Take half as many variants into a pass as were in the one that failed."""
        self._most = len(served) // 2
        self._say(f"at most {self._most} variants share a pass")

    def _say(self, what: str) -> None:
        warnings.warn(f"memory ran out: {what} from now on", Notice, stacklevel=2)
        release_memory()

    def _backward(self, scored: Sequence[ScoredRows]) -> None:
        pairs = [
            (joint, leaf.grad)
            for part in scored
            for joint, leaf in (
                (part.logprobs_joint, part.logprobs),
                (part.entropy_joint, part.entropy),
            )
            if leaf.grad is not None and joint.requires_grad
        ]
        with repeatable(self._deterministic):
            torch.autograd.backward([joint for joint, _ in pairs], [grad for _, grad in pairs])

    def _climbed(self, old: _Spread | None, rows: Mapping[int, Ids], until: int) -> _Spread:
        """The base's activations of `rows` before layer `until`, from those of `old`."""
        numbers, ids = list(rows), list(rows.values())
        arrangement, trees = arrange(ids, choose_trees(ids, self.reach, len(ids)), self.reach)
        trees = trees.to(self._model.device)
        order = [numbers[i] for i in arrangement]
        before = old.of(order, trees) if old else None
        layer, parts = old.layer if old else 0, []
        most = max(1, self._slots // trees.ids.shape[1])
        for first in range(0, len(trees.ids), most):
            part = slice(first, first + most)
            climb = Climb({layer: None if before is None else before[part]}, until)
            inputs = trees.inputs(self._model, part)
            self._rows.set([BASE] * len(inputs["input_ids"]), self._model.device)
            with self._rows.along(climb):
                self._model.base_model(**inputs, use_cache=False)
            assert climb.left is not None
            parts.append(climb.left)
        return _Spread(until, torch.cat(parts), trees, {n: row for row, n in enumerate(order)})

    def _score(self, asked: Sequence[Asked]) -> list[ScoredRows]:
        order = sorted(range(len(asked)), key=lambda i: asked[i].start)
        parts = [asked[i] for i in order]
        trees = side_by_side([part.trees for part in parts])
        width, slots = trees.places.shape[1], trees.ids.shape[1]
        sampled = torch.cat([pad(p.sampled, (0, width - p.sampled.shape[1])) for p in parts])
        self._rows.set([part.variant for part in parts for _ in part.trees.ids], trees.ids.device)
        entering: dict[int, torch.Tensor] = {}
        for part in parts:
            assert part.entering is not None
            wide = pad(part.entering, (0, 0, 0, slots - part.entering.shape[1]))
            below = entering.get(part.start)
            entering[part.start] = wide if below is None else torch.cat([below, wide])
        layers = len(decoder_layers(self._model))
        with parts[0].autocast(), self._rows.along(Climb(entering, layers)):
            logprobs, entropy, _ = sampled_logprobs(self._model, self._model, trees, sampled)
        result: dict[int, ScoredRows] = {}
        row = 0
        for i, part in zip(order, parts, strict=True):
            rows, tokens = part.sampled.shape
            here = slice(row, row + rows), slice(tokens - 1)
            result[i] = _scored(logprobs[here], entropy[here])
            row += rows
        return [result[i] for i in range(len(asked))]


_SLOTS = 16384
"""Slots in one pass through the base at most."""
_FEWEST = 64
"""Where memory runs out, they are halved until there are fewer than this."""
_TOGETHER = {"cpu": 512}
_TOGETHER_ELSEWHERE = 16384
"""Slots at which a pass with grad takes no further variant, by device: what keeps it busy."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """Activations (R, N, H) before a layer, laid out in trees."""

    layer: int
    hidden: torch.Tensor
    trees: Trees
    rows: Mapping[int, int]
    """Row of `trees` by the row's number."""

    def of(self, numbers: Sequence[int], trees: Trees) -> torch.Tensor:
        """The activations of the numbered rows, laid out in `trees`."""
        return relocate(self.hidden, self.trees, trees, [self.rows[n] for n in numbers])


def _few(asked: Sequence[Asked]) -> Sequence[Asked]:
    """As many as fill a pass, which bounds its memory; the others are served later."""
    most: float = _TOGETHER.get(asked[0].sampled.device.type, _TOGETHER_ELSEWHERE)
    most = min(most, *(part.most for part in asked))
    slots = 0
    for count, part in enumerate(asked):
        slots += part.trees.ids.numel()
        if count and slots > most:
            return asked[:count]
    return asked


def _scored(logprobs: torch.Tensor, entropy: torch.Tensor) -> ScoredRows:
    def leaf(values: torch.Tensor) -> torch.Tensor:
        return values.detach().requires_grad_(values.requires_grad)

    return ScoredRows(leaf(logprobs), leaf(entropy), logprobs, entropy)
