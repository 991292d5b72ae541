"""A sampler by majority: several trained variants of one model vote on every action.

The members of an ensemble share one dialogue. At each turn every member is sampled, the action
that most of them parse to is taken (at a tie the one that was said first), and its reply goes into
the dialogue of all. In a task of one turn, such as a question, this is the majority over final
answers; with one model sampled several times it is self-consistency (Wang et al. 2022).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.conversation import Layout
from layergym.agents.formats import parse
from layergym.agents.models.sampler import Request, Sample, Sampler
from layergym.trainer.layers.delta import LayerDelta


@dataclass(frozen=True, slots=True)
class Member:
    """One voter: what is put into the base model before it is sampled."""

    sampler: Sampler
    delta: LayerDelta | None


class VoteSampler:
    """A sampler whose replies are those of the majority of its members."""

    def __init__(
        self,
        model: PreTrainedModel,
        members: Sequence[Member],
        tokenizer: PreTrainedTokenizerBase,
        format: str,
    ) -> None:
        """Let `members`, whose samplers all run `model`, vote on actions in `format`."""
        self._model, self._members = model, members
        self._layout, self._format = Layout(tokenizer), format
        self._contexts: dict[int, tuple[int, ...]] = {}

    @property
    def max_new_tokens(self) -> int:
        """Tokens sampled at most for one request, by each member."""
        return self._members[0].sampler.max_new_tokens

    @property
    def max_context(self) -> int:
        """Tokens of an episode that the model can hold."""
        return self._members[0].sampler.max_context

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """The majority's reply to each request, in order."""
        for request in requests:
            before = self._contexts.get(request.episode, ()) if request.extends else ()
            self._contexts[request.episode] = before + request.ids
        said = [self._ask(place, requests) for place in range(len(self._members))]
        chosen = [self._majority(samples) for samples in zip(*said, strict=True)]
        for request, sample in zip(requests, chosen, strict=True):
            self._contexts[request.episode] += sample.ids
        return chosen

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        over = list(episodes)
        for episode in over:
            self._contexts.pop(episode, None)
        for member in self._members:
            member.sampler.release(over)

    def _ask(self, place: int, requests: Sequence[Request]) -> list[Sample]:
        member = self._members[place]
        asked = [
            Request(r.episode, self._contexts[r.episode], False, voter_seed(r.seed, place))
            for r in requests
        ]
        if member.delta is None:
            return member.sampler.sample(asked)
        undo = member.delta.put(self._model)
        try:
            return member.sampler.sample(asked)
        finally:
            undo.put(self._model)

    def _majority(self, samples: Sequence[Sample]) -> Sample:
        texts = [self._layout.decode(sample.ids) for sample in samples]
        actions = [" ".join(parse(text, self._format).action.lower().split()) for text in texts]
        [(winner, _)] = Counter(actions).most_common(1)
        return samples[actions.index(winner)]


def voter_seed(seed: int, place: int) -> int:
    """Seeds a voter's own randomness in an episode; the first one keeps the episode's."""
    if not place:
        return seed
    digest = hashlib.blake2b(f"voter\0{seed}\0{place}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")
