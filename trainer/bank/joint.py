"""What the variants of a bank do together: when each thing is served, and one sampler for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from layergym.agents.models.requests import Request, Sample
from layergym.agents.models.sampler import TransformersSampler
from layergym.trainer.bank.lockstep import Seat
from layergym.trainer.bank.paths import Fork, Rows

READY, SAMPLE, BACKWARD, BELOW, SCORE = range(5)
"""What is served first when variants at the same step ask for different things."""


def ready(variants: Sequence[int]) -> Sequence[int]:
    """Let variants begin a step together: what one saved or set up counts in no other's time."""
    return variants


class JointSampler:
    """One sampler for the episodes of all variants; each variant samples through `of`."""

    def __init__(
        self,
        sampler: Callable[[JointSampler], TransformersSampler],
        rows: Rows,
        starts: Sequence[int],
    ) -> None:
        """Wrap what `sampler` makes of the present object, which is its `Variants`.

        Args:
            sampler: makes the sampler.
            rows: tells the model whose the rows are.
            starts: by variant, the lowest layer that it trains.
        """
        self.rows = rows
        self._starts = starts
        self.sampler = sampler(self)

    @property
    def variants(self) -> int:
        """How many share the sampler."""
        return len(self._starts)

    def of(self, seat: Seat, variant: int) -> SeatSampler:
        """The sampler of one variant."""
        return SeatSampler(self, seat, variant)

    def variant(self, episode: int) -> int:
        """Whose an episode is."""
        return episode % _MOST

    def feed(self, variants: Sequence[int], prompts: Sequence[int] | None = None) -> None:
        """Route the rows of the sampler's next batches."""
        device = self.sampler.model.device
        self.rows.set(variants, device)
        self.rows.path = None
        if prompts is not None and len(set(prompts)) < len(prompts):
            self.rows.path = Fork(variants, self._starts, prompts, device)

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

    def rows_that_fit(self, tokens: int) -> int:
        """How many episodes of so many tokens the variant has room for, beside the others."""
        return max(1, self._joint.sampler.rows_that_fit(tokens) // self._joint.variants)

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
