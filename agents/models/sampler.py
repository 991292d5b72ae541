"""Sample replies for many episodes at once, token in, token out."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.models.architecture import cache_bytes, context_limit, stop_tokens
from layergym.agents.models.attention import additive_masks, attention_windows
from layergym.agents.models.cache import RaggedCache, cache_keyword
from layergym.agents.models.compute import free_memory
from layergym.agents.models.draw import draw
from layergym.base.errors import Diverged, InputError

_PREFILL_TOKENS = 16384
SHARE = 0.7
"""Of free memory that a cache may take; the rest is for the passes."""


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

    def feed(self, variants: Sequence[int], prompts: Sequence[int] | None = None) -> None:
        """Told before forward passes: the variant of each row (B,) of their batches.

        Of a pass over first prompts also their numbers (B,): equal prompts have equal ones, and no
        variant has the same twice.
        """


class Sampler(Protocol):
    """What an agent needs from whatever runs the model."""

    @property
    def max_new_tokens(self) -> int:
        """Tokens sampled at most for one request."""

    @property
    def max_context(self) -> int:
        """Tokens of an episode, prompt and replies together, that the model can hold."""

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Answer each request, in order; at most one request per episode."""

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""


@dataclass(slots=True, eq=False)
class _Row:
    """One episode in the cache: `context[:length]` is cached, the rest is yet to be fed."""

    index: int
    noise: np.random.Generator
    variant: int
    context: list[int]
    length: int = 0


class TransformersSampler:
    """Multi-turn sampling with a Hugging Face decoder-only model.

    A key-value cache lives as long as the episodes in it: each turn feeds only tokens the cache
    does not hold. A prompt that rewrites history keeps the longest prefix it shares with what is
    cached. Equal first prompts are computed once and copied.

    An episode's randomness is one uniform per token from a counter-based generator (Philox) keyed
    by its seed, turned into a token by the inverse of the cumulative distribution, so that it does
    not depend on the batch. The model's own `forward` is called; weights may change between calls
    only after every episode was released.

    Shapes: B rows in the batch, T new tokens, S slots attended to, V vocabulary.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_new_tokens: int = 512,
        temperature: float = 1.0,
        max_context: int | None = None,
        stop_ids: Iterable[int] = (),
        variants: Variants | None = None,
    ) -> None:
        """Wrap `model`.

        Args:
            model: any causal language model with softmax attention, full or sliding.
            tokenizer: its tokenizer; only its end token is read.
            max_new_tokens: tokens of a reply at most.
            temperature: 0 takes the likeliest token; log-probabilities are then at temperature 1.
            max_context: tokens of an episode at most; by default what the model was built for.
            stop_ids: tokens that end a reply, besides the model's and the tokenizer's end tokens.
            variants: for a model that holds several; None: all episodes have the same weights.

        Raises:
            InputError: a setting is out of range or the model has another kind of attention.
        """
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}")
        if not temperature >= 0:
            raise InputError(f"temperature must be 0 or more, not {temperature}")
        config = model.config.get_text_config(decoder=True)
        self.model = model
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.max_context = context_limit(config, max_context)
        self.stop_ids = stop_tokens(model, tokenizer, stop_ids)
        self._windows = attention_windows(model)
        self._variants = variants
        self._rows: dict[int, _Row] = {}
        self._cache = RaggedCache()
        self._cache_keyword = cache_keyword(
            inspect.signature(model.get_decoder().forward).parameters
        )
        self._slot_bytes = cache_bytes(model.config, model.dtype)

    # ---- the protocol -------------------------------------------------------------------------

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Answer each request, in order; at most one request per episode."""
        if not requests:
            return []
        rows = [self._open(request) for request in requests]
        most = self._rows_that_fit()
        if most >= len(self._rows):
            return self._answer(rows)
        parts = (rows[k : k + most] for k in range(0, len(rows), most))
        return [sample for part in parts for sample in self._answer_alone(part)]

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over; the last rows of the cache move into their places."""
        holes = sorted(r.index for e in set(episodes) if (r := self._rows.pop(e, None)))
        if not self._rows:
            self._cache = RaggedCache()
            return
        moved = [row for row in self._rows.values() if row.index >= len(self._rows)]
        if not moved:
            return
        source, target = [row.index for row in moved], holes[: len(moved)]
        with torch.inference_mode():
            self._cache.copy_rows(
                self._tensor(source), self._tensor(target), max(row.length for row in moved)
            )
        for row, index in zip(moved, target, strict=True):
            row.index = index

    # ---- memory ---------------------------------------------------------------------------------

    def rows_that_fit(self, tokens: int) -> int:
        """How many episodes of so many tokens a new cache could hold."""
        free = SHARE * free_memory(self.model.device)
        return max(1, int(free / (tokens * self._slot_bytes)))

    def _rows_that_fit(self) -> int:
        """How many rows the cache can hold, at the length that the longest may reach now."""
        free = SHARE * free_memory(self.model.device) + self._cache.bytes
        return max(1, int(free / (self._cache.slots(self._length()) * self._slot_bytes)))

    def _length(self) -> int:
        return max(len(row.context) for row in self._rows.values()) + self.max_new_tokens

    def _answer_alone(self, rows: Sequence[_Row]) -> list[Sample]:
        """Answer some rows without the others, whose part of the cache is lost.

        Of more rows than fit none stays: all are computed anew in every turn.
        """
        every = self._rows
        self._forget()
        self._rows = {e: row for e, row in every.items() if row in rows}
        self._forget()
        samples = self._answer(rows)
        self._forget()
        self._rows = every
        self._forget()
        return samples

    def _forget(self) -> None:
        """Empty the cache; the rows stay, and are computed again when they are asked."""
        self._cache = RaggedCache()
        for index, row in enumerate(self._rows.values()):
            row.index, row.length = index, 0

    def _answer(self, rows: Sequence[_Row]) -> list[Sample]:
        with torch.inference_mode(), _evaluating(self.model):
            self._cache.reserve(len(self._rows), self._length())
            logits = self._prefill(rows)
            ids, logprobs = self._decode(rows, logits)
        return [self._close(row, ids[row.index], logprobs[row.index]) for row in rows]

    # ---- rows -----------------------------------------------------------------------------------

    def _open(self, request: Request) -> _Row:
        row = self._rows.get(request.episode)
        if row is None:
            noise = np.random.Generator(np.random.Philox(key=request.seed))
            variant = self._variants.variant(request.episode) if self._variants else 0
            row = self._rows[request.episode] = _Row(len(self._rows), noise, variant, [])
        if request.extends:
            row.context.extend(request.ids)
        else:
            row.length = min(_shared(row.context[: row.length], request.ids), len(request.ids) - 1)
            row.context = list(request.ids)
        return row

    def _close(self, row: _Row, ids: list[int], logprobs: list[float]) -> Sample:
        end = next((k + 1 for k, token in enumerate(ids) if token in self.stop_ids), len(ids))
        stopped = ids[end - 1] in self.stop_ids
        row.length = len(row.context) + end - 1
        row.context += ids[:end]
        return Sample(tuple(ids[:end]), tuple(logprobs[:end]), "stop" if stopped else "length")

    # ---- the model ------------------------------------------------------------------------------

    def _prefill(self, rows: Sequence[_Row]) -> Tensor:
        """Feed what the cache lacks; logits (B, V) after each row's last token."""
        cached = [row for row in rows if row.length]
        fresh: dict[_Fresh, list[int]] = {}
        for row in rows:
            if not row.length:
                fresh.setdefault((row.variant, tuple(row.context)), []).append(row.index)
        logits = self._feed_cached(cached) if cached else None
        for batch in _batches(fresh):
            part = self._feed_fresh(batch, [fresh[prompt][0] for prompt in batch])
            if logits is None:
                logits = part.new_zeros(len(self._rows), part.shape[-1])
            for prompt, row_logits in zip(batch, part, strict=True):
                logits[fresh[prompt]] = row_logits
            longest = max(len(context) for _, context in batch)
            self._share({fresh[p][0]: fresh[p][1:] for p in batch}, longest)
        assert logits is not None
        return logits

    def _share(self, copies: dict[int, list[int]], span: int) -> None:
        source = [first for first, others in copies.items() for _ in others]
        if source:
            target = [row for others in copies.values() for row in others]
            self._cache.copy_rows(self._tensor(source), self._tensor(target), span)

    def _feed_fresh(self, prompts: Sequence[_Fresh], rows: Sequence[int]) -> Tensor:
        """Feed whole prompts to empty rows, which attend to nothing else."""
        contexts = [context for _, context in prompts]
        if self._variants:
            number = {context: i for i, context in enumerate(contexts)}
            self._variants.feed([variant for variant, _ in prompts], [number[c] for c in contexts])
        return self._feed(contexts, rows, [0] * len(rows), None)

    def _feed_cached(self, rows: Sequence[_Row]) -> Tensor:
        """Feed what is new in `rows`; the other rows of the batch are all padding."""
        new: list[Sequence[int]] = [()] * len(self._rows)
        lengths = [0] * len(self._rows)
        for row in self._rows.values():
            lengths[row.index] = row.length
        for row in rows:
            new[row.index] = row.context[row.length :]
        span = max(len(row.context) for row in rows)
        self._announce()
        return self._feed(new, range(len(new)), lengths, (len(new), span))

    def _feed(
        self,
        new: Sequence[Sequence[int]],
        rows: Sequence[int],
        lengths: Sequence[int],
        read: tuple[int, int] | None,
    ) -> Tensor:
        """One pass over new tokens padded on the left, so that rows end in the last column."""
        width = max(map(len, new))
        ids = self._tensor([[0] * (width - len(n)) + list(n) for n in new])
        held = self._tensor(lengths)[:, None]
        first = held + self._tensor([len(n) - width for n in new])[:, None]
        positions = first + torch.arange(width, device=first.device)
        slots = positions.masked_fill(positions < held, self._cache.capacity - 1)
        self._cache.place(self._tensor(rows), slots, read)
        return self._forward(ids, positions, read)

    def _forward(self, ids: Tensor, positions: Tensor, read: tuple[int, int] | None) -> Tensor:
        """Logits (B, V) of the last column; positions (B, T) may be negative for padding."""
        if read is None:
            seen = (positions[:, None] <= positions[..., None]) & (positions >= 0)[:, None]
            keys = positions[:, None]
        else:
            keys = torch.arange(read[1], device=ids.device)
            seen = keys <= positions[..., None]
        output = self.model(
            input_ids=ids,
            attention_mask=additive_masks(seen, keys, positions, self._windows, self.model.dtype),
            position_ids=positions.clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_keyword: self._cache},
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()

    def _decode(
        self, rows: Sequence[_Row], logits: Tensor
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Sample until every row has stopped: tokens and log-probabilities (B, up to the limit)."""
        lengths, done, noise = self._decoding(rows)
        every = torch.arange(len(lengths), device=logits.device)
        stop = self._tensor(sorted(self.stop_ids))
        longest = max(len(row.context) for row in rows)
        ids, logprobs = [], []
        self._announce()
        for k in range(self.max_new_tokens):
            token, logprob = draw(logits, noise[:, k], self.temperature)
            ids.append(token)
            logprobs.append(logprob)
            done = done | torch.isin(token, stop)
            if k + 1 == self.max_new_tokens or bool(done.all()):
                break
            read = (len(lengths), longest + k + 1)
            self._cache.place(every, lengths[:, None], read)
            logits = self._forward(token[:, None], lengths[:, None], read)
            # A row that is done keeps writing to one free slot, which its next turn overwrites.
            lengths = lengths + ~done
        drawn = torch.stack(logprobs, 1)
        if not bool(drawn.isfinite().all()):
            raise Diverged(
                "the model's logits are not finite, so its training has diverged; begin anew with "
                "a lower learning rate"
            )
        return torch.stack(ids, 1).tolist(), drawn.tolist()

    def _decoding(self, rows: Sequence[_Row]) -> tuple[Tensor, Tensor, Tensor]:
        """Cached lengths (B,), rows that are not asked (B,) and uniforms (B, max_new_tokens)."""
        lengths = [row.length for row in sorted(self._rows.values(), key=lambda r: r.index)]
        done = [True] * len(lengths)
        noise = np.zeros((len(lengths), self.max_new_tokens))
        for row in rows:
            lengths[row.index], done[row.index] = len(row.context), False
            noise[row.index] = row.noise.random(self.max_new_tokens)
        device = self.model.device
        exact = torch.float32 if device.type == "mps" else torch.float64
        return self._tensor(lengths), self._tensor(done), torch.from_numpy(noise).to(device, exact)

    def _announce(self) -> None:
        if self._variants:
            rows = sorted(self._rows.values(), key=lambda r: r.index)
            self._variants.feed([row.variant for row in rows])

    def _tensor(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(values, device=self.model.device)


_Fresh = tuple[int, tuple[int, ...]]
"""A first prompt: whose weights read it, and its tokens."""


def _batches(prompts: Iterable[_Fresh]) -> Iterator[list[_Fresh]]:
    """Prompts by length, in batches of a bounded number of tokens, padding included."""
    batch: list[_Fresh] = []
    for prompt in sorted(prompts, key=lambda p: (len(p[1]), p[1])):
        if batch and (len(batch) + 1) * len(prompt[1]) > _PREFILL_TOKENS:
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    for n, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return n
    return min(len(left), len(right))


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Dropout off, and back to what it was."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()
