"""What the variants of a bank do together: when each thing is served, and one sampler for all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from layergym.agents.models.requests import Request, Sample, Sampler
from layergym.agents.models.sampler import TransformersSampler
from layergym.trainer.bank.lockstep import LATER, Seat
from layergym.trainer.bank.paths import Rows

READY, SAMPLE, BACKWARD, BELOW, SCORE = range(5)
"""What is served first when variants at the same step ask for different things."""


def ready(variants: Sequence[int]) -> Sequence[int]:
    """Let all variants begin a step together: no step is timed with what another variant did."""
    return variants


class JointSampler:
    """One sampler for the episodes of all variants; each variant samples through `of`."""

    def __init__(
        self,
        sampler: Callable[[JointSampler], TransformersSampler],
        rows: Rows,
        variants: int,
    ) -> None:
        """Wrap what `sampler` makes of the present object, which is its `Variants`.

        Args:
            sampler: makes the sampler.
            rows: tells the model whose the rows are.
            variants: how many share the sampler.
        """
        self.rows = rows
        self.variants = variants
        self.sampler = sampler(self)
        self._done: dict[int, list[tuple[int, Sample]]] = {}

    def of(self, seat: Seat, variant: int) -> SeatSampler:
        """The sampler of one variant."""
        return SeatSampler(self, seat, variant)

    def variant(self, episode: int) -> int:
        """Whose an episode is."""
        return episode % _MOST

    def feed(self, variants: Sequence[int], alike: Sequence[Hashable] | None = None) -> None:
        """Route the rows of the sampler's next pass."""
        self.rows.set(variants, self.sampler.model.device, alike)

    def serve(self, seats: Sequence[SeatSampler]) -> list[object]:
        """Sample until some replies are finished; whose they are gets them, the others wait."""
        for seat in seats:
            self.sampler.submit(seat.taken())
        while not any(seat.variant in self._done for seat in seats):
            for episode, said in self.sampler.step():
                mine = (episode // _MOST, said)
                self._done.setdefault(self.variant(episode), []).append(mine)
        return [self._done.pop(seat.variant, LATER) for seat in seats]


class SeatSampler(Sampler):
    """The sampler of one variant: it goes on when all others have asked for something as well."""

    def __init__(self, joint: JointSampler, seat: Seat, variant: int) -> None:
        """Sample for `variant`, which sits at `seat`."""
        self.max_new_tokens = joint.sampler.max_new_tokens
        self.max_context = joint.sampler.max_context
        self.variant = variant
        self._joint = joint
        self._seat = seat
        self._asked: list[Request] = []

    def rows_that_fit(self, tokens: int) -> int:
        """How many episodes of this many tokens the variant has room for, beside the others."""
        return max(1, self._joint.sampler.rows_that_fit(tokens) // self._joint.variants)

    def submit(self, requests: Sequence[Request]) -> None:
        """Take in requests."""
        self._asked += [
            Request(joined(r.episode, self.variant), r.ids, r.extends, r.seed) for r in requests
        ]

    def taken(self) -> list[Request]:
        """The requests that the common sampler has not got yet."""
        asked, self._asked = self._asked, []
        return asked

    def step(self, wait_s: float = 0.0) -> list[tuple[int, Sample]]:
        """Wait until some of the variant's replies are finished."""
        done: list[tuple[int, Sample]] = self._seat.ask(SAMPLE, self._joint.serve, self)
        return done

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        self._joint.sampler.release([joined(e, self.variant) for e in episodes])


_MOST = 1 << 20


def joined(episode: int, variant: int) -> int:
    """The number of a variant's episode among those of all variants."""
    return episode * _MOST + variant
