"""What the variants of a bank do together: sample, score and backpropagate, each in one batch.

Shapes: B rows of one variant's pass, N rows of all, T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from layergym.agents.sampler import Request, Sample, TransformersSampler
from layergym.trainer.bank.lockstep import Seat
from layergym.trainer.bank.routing import Rows
from layergym.trainer.prefix import sampled_logprobs

READY, SAMPLE, SCORE, BACKWARD = range(4)
"""What is served first when variants at the same step ask for different things."""


def ready(variants: Sequence[int]) -> Sequence[int]:
    """Let variants begin a step together: what one saved or set up counts in no other's time."""
    return variants


class JointSampler:
    """One sampler for the episodes of all variants; each variant samples through `of`."""

    def __init__(self, sampler: Callable[[JointSampler], TransformersSampler], rows: Rows) -> None:
        """Wrap what `sampler` makes of the present object, which is its `Variants`."""
        self.rows = rows
        self.sampler = sampler(self)

    def of(self, seat: Seat, variant: int) -> SeatSampler:
        """The sampler of one variant."""
        return SeatSampler(self, seat, variant)

    def variant(self, episode: int) -> int:
        """Whose an episode is."""
        return episode % _MOST

    def feed(self, variants: Sequence[int]) -> None:
        """Route the rows of the sampler's next batches."""
        self.rows.set(variants, self.sampler.model.device)

    def sample(self, asked: Sequence[Sequence[Request]]) -> list[list[Sample]]:
        """Answer the requests of several variants in one batch."""
        answers = iter(self.sampler.sample([request for one in asked for request in one]))
        return [[next(answers) for _ in one] for one in asked]


class SeatSampler:
    """The `Sampler` of one variant: its requests wait for those of the others."""

    def __init__(self, joint: JointSampler, seat: Seat, variant: int) -> None:
        """Sample for `variant`, which sits at `seat`."""
        self._joint = joint
        self._seat = seat
        self._variant = variant

    @property
    def max_new_tokens(self) -> int:
        """Tokens sampled at most for one request."""
        return self._joint.sampler.max_new_tokens

    @property
    def max_context(self) -> int:
        """Tokens of an episode at most."""
        return self._joint.sampler.max_context

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Answer each request, in order."""
        mine = [
            Request(joined(r.episode, self._variant), r.ids, r.extends, r.seed) for r in requests
        ]
        answer: list[Sample] = self._seat.ask(SAMPLE, self._joint.sample, mine)
        return answer

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        self._joint.sampler.release([joined(e, self._variant) for e in episodes])


_MOST = 1 << 20


def joined(episode: int, variant: int) -> int:
    """The number of a variant's episode among those of all variants."""
    return episode * _MOST + variant


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows of one variant's pass."""

    variant: int
    start: int
    """The lowest layer that the variant trains."""
    ids: torch.Tensor
    """(B, T)."""
    sampled: torch.Tensor
    """(B, T) bool."""
    autocast: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities and entropies (B, T - 1) of one variant's rows.

    Under grad, both are leaves: the loss is differentiated with respect to them, and the bank
    carries their gradients on from `logprobs_joint` and `entropy_joint`, to which they are equal.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor
    logprobs_joint: torch.Tensor
    entropy_joint: torch.Tensor


class JointPasses:
    """Forward and backward passes over the rows of all variants."""

    def __init__(self, model: PreTrainedModel, rows: Rows) -> None:
        """Compute with `model`, as `routing.routed` makes it of `rows`."""
        self._model = model
        self._rows = rows

    def score(self, asked: Sequence[Asked]) -> list[Scored]:
        """One forward pass with grad."""
        return self._score(asked)

    @torch.no_grad()
    def score_only(self, asked: Sequence[Asked]) -> list[Scored]:
        """One forward pass without."""
        return self._score(asked)

    def backward(self, scored: Sequence[Scored]) -> list[None]:
        """One backward pass for the gradients that the variants' losses left in their leaves."""
        pairs = [
            (joint, leaf.grad)
            for one in scored
            for joint, leaf in (
                (one.logprobs_joint, one.logprobs),
                (one.entropy_joint, one.entropy),
            )
            if leaf.grad is not None and joint.requires_grad
        ]
        torch.autograd.backward([joint for joint, _ in pairs], [grad for _, grad in pairs])
        return [None] * len(scored)

    def _score(self, asked: Sequence[Asked]) -> list[Scored]:
        order = sorted(range(len(asked)), key=lambda i: asked[i].start)
        parts = [asked[i] for i in order]
        width = max(part.ids.shape[1] for part in parts)
        ids = torch.cat([_widened(part.ids, width) for part in parts])
        sampled = torch.cat([_widened(part.sampled, width) for part in parts])
        self._rows.set(
            [part.variant for part in parts for _ in part.ids],
            ids.device,
            [part.start for part in parts for _ in part.ids],
        )
        with parts[0].autocast():
            logprobs, entropy, _ = sampled_logprobs(self._model, self._model, ids, sampled)
        result: dict[int, Scored] = {}
        row = 0
        for i, part in zip(order, parts, strict=True):
            rows, tokens = part.ids.shape
            here = slice(row, row + rows), slice(tokens - 1)
            result[i] = _scored(logprobs[here], entropy[here])
            row += rows
        return [result[i] for i in range(len(asked))]


def _scored(logprobs: torch.Tensor, entropy: torch.Tensor) -> Scored:
    def leaf(values: torch.Tensor) -> torch.Tensor:
        return values.detach().requires_grad_(values.requires_grad)

    return Scored(leaf(logprobs), leaf(entropy), logprobs, entropy)


def _widened(rows: torch.Tensor, width: int) -> torch.Tensor:
    """Padded on the right; attention is causal, so what pads does not matter."""
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))
