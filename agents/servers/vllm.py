"""Sample from vLLM: token ids in, token ids and log-probabilities out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import Tensor

from layergym.agents.models.requests import Request, Sample, Sampler
from layergym.base.errors import InputError


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine continued a prompt with."""

    ids: tuple[int, ...]
    """Sampled tokens, the end token included when it was sampled."""
    logprobs: tuple[float, ...]


class Engine(Protocol):
    """A vLLM engine: behind a server, or in this process."""

    @property
    def max_context(self) -> int:
        """Tokens of prompt and reply together, at most."""

    def start(self, prompt: tuple[int, ...], params: Mapping[str, Any]) -> int:
        """Begin to continue a prompt; a number for it.

        Args:
            prompt: token ids.
            params: vLLM's sampling parameters by name.
        """

    def finished(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """What is finished since, by number; waits this many seconds for one at most.

        Some must be under way if that is infinite.
        """

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Give some of the model's tensors new values, by their names in a checkpoint.

        Whole decoder layers, or whatever else is complete in itself: vLLM keeps some tensors of a
        layer fused. What was cached under the old values is forgotten.
        """

    def restore(self) -> None:
        """Load the whole base model again."""


@contextmanager
def written(tensors: Mapping[str, Tensor], exchange: Path | None) -> Iterator[str]:
    """A folder that holds these tensors as a checkpoint, for as long as the context lasts.

    Args:
        tensors: by their names in a checkpoint.
        exchange: where the folder is made; by default where temporary files are.
    """
    if exchange is not None:
        exchange.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="weights-", dir=exchange) as folder:
        values = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        save_file(values, Path(folder) / "model.safetensors")
        yield str(Path(folder).resolve())


@dataclass(slots=True)
class _Talk:
    """One episode: its context so far and how often it was answered."""

    seed: int
    context: list[int] = field(default_factory=list)
    turn: int = 0


class VLLMSampler(Sampler):
    """Multi-turn sampling with a vLLM engine, whose prefix cache makes later turns cheap.

    Each reply has a seed of its own, from the episode's seed and the number of the turn, so that
    it does not depend on the batch, up to floating-point differences between batch sizes in the
    engine. These are also why log-probabilities are only close to those of the model itself: a
    trainer recomputes them (`exact_sampler=False`).

    At a temperature other than 0 and 1 the engine must run with
    `logprobs_mode="processed_logprobs"` for log-probabilities to be those at that temperature.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        stop_ids: Iterable[int],
        max_new_tokens: int = 512,
        temperature: float = 1.0,
        max_context: int | None = None,
    ) -> None:
        """Sample through `engine`.

        Args:
            engine: where the model is.
            stop_ids: tokens that end a reply; see `architecture.stop_tokens`.
            max_new_tokens: tokens of a reply at most.
            temperature: 0 takes the likeliest token; log-probabilities are then at temperature 1.
            max_context: tokens of an episode at most; by default what the engine holds.

        Raises:
            InputError: a setting is out of range.
        """
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}")
        if not temperature >= 0:
            raise InputError(f"temperature must be 0 or more, not {temperature}")
        if max_context is not None and not 1 <= max_context <= engine.max_context:
            raise InputError(
                f"max_context must be between 1 and {engine.max_context}, which the engine holds, "
                f"not {max_context}"
            )
        self.engine = engine
        self.max_new_tokens = max_new_tokens
        self.max_context = max_context or engine.max_context
        self.stop_ids = frozenset(stop_ids)
        # Everything that reshapes the distribution is said: engines else take such settings from
        # the model's generation_config.json.
        self._params = {
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop_token_ids": sorted(self.stop_ids),
            "logprobs": 0,
        }
        self._talks: dict[int, _Talk] = {}
        self._asked: dict[int, int] = {}

    def submit(self, requests: Sequence[Request]) -> None:
        """Take in requests: the engine answers many at once."""
        for request in requests:
            talk = self._open(request)
            params = self._params | {"seed": _seed(talk.seed, talk.turn)}
            self._asked[self.engine.start(tuple(talk.context), params)] = request.episode

    def step(self, wait_s: float = 0.0) -> list[tuple[int, Sample]]:
        """What the engine has finished, or will within `wait_s` seconds."""
        done = self.engine.finished(wait_s) if self._asked else []
        asked = [(self._asked.pop(number, None), answer) for number, answer in done]
        return [(e, self._close(self._talks[e], answer)) for e, answer in asked if e is not None]

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over, or given up."""
        over = set(episodes)
        for episode in over:
            self._talks.pop(episode, None)
        self._asked = {number: e for number, e in self._asked.items() if e not in over}

    def _open(self, request: Request) -> _Talk:
        talk = self._talks.setdefault(request.episode, _Talk(request.seed))
        if not request.extends:
            talk.context = []
        talk.context += request.ids
        return talk

    def _close(self, talk: _Talk, answer: Completion) -> Sample:
        talk.context += answer.ids
        talk.turn += 1
        stopped = answer.ids[-1] in self.stop_ids
        return Sample(answer.ids, answer.logprobs, "stop" if stopped else "length")


def _seed(episode: int, turn: int) -> int:
    """A seed of one reply, within what vLLM takes."""
    name = f"{episode}\0{turn}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=7).digest(), "big")
