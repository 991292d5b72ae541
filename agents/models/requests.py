"""What is asked of whatever runs a model, and what it answers."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """The next prompt of one episode."""

    episode: int
    ids: tuple[int, ...]
    """Tokens since the last sampled one if `extends`, else the whole prompt."""
    extends: bool
    seed: int
    """Seed of the episode's own randomness; read at its first request."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The tokens sampled for one request."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Under the sampling distribution, softmax(logits / temperature); nats."""
    finish: Literal["stop", "length"]


class Variants(Protocol):
    """A model that computes each row of a batch with the weights of one of several variants."""

    def variant(self, episode: int) -> int:
        """Whose weights answer in this episode."""

    def feed(self, variants: Sequence[int], alike: Sequence[Hashable] | None = None) -> None:
        """Say, before a forward pass, which variant answers in each row of its batch.

        Args:
            variants: (B,), -1 for a row that is nobody's.
            alike: (B,) rows of equal values are fed the same tokens and hold the same ones in the
                cache. None: not known.
        """


class Sampler(Protocol):
    """What an agent needs from whatever runs the model.

    Requests are answered in whatever order their replies are finished. An episode has one request
    under way at most.
    """

    max_new_tokens: int
    """Tokens sampled at most for one request."""
    max_context: int
    """Tokens of an episode, prompt and replies together, that the model can hold."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Take in requests, to be answered by `step`."""

    def step(self, wait_s: float = 0.0) -> list[tuple[int, Sample]]:
        """Go on a little: the episodes whose replies are finished now, with these.

        Args:
            wait_s: seconds that may pass without anything to do here, where others do the work.
        """

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over, or given up."""

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Answer each request, in order; no other may be under way."""
        self.submit(requests)
        said: dict[int, Sample] = {}
        while len(said) < len(requests):
            said.update(self.step(math.inf))
        return [said[request.episode] for request in requests]


class AnswersTogether(Sampler):
    """A sampler that answers all requests it has at once: `answer` is to be defined."""

    def __init__(self) -> None:
        """Begin without requests."""
        self._asked: list[Request] = []

    @abstractmethod
    def answer(self, requests: Sequence[Request]) -> Sequence[Sample]:
        """Answer each request, in order."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Take in requests, to be answered by `step`."""
        self._asked += requests

    def step(self, wait_s: float = 0.0) -> list[tuple[int, Sample]]:
        """Answer them all."""
        asked, self._asked = self._asked, []
        said = self.answer(asked) if asked else ()
        return [(request.episode, answer) for request, answer in zip(asked, said, strict=True)]
