"""Sample replies for many episodes at once, token in, token out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.models.architecture import cache_bytes, context_limit, stop_tokens
from layergym.agents.models.compute import free_memory, release_memory
from layergym.agents.models.draw import draw
from layergym.agents.models.forward import LEAST, CachedModel, evaluating, uploaded
from layergym.agents.models.prefill import Piece, first_pieces
from layergym.agents.models.requests import Request, Sample, Sampler, Variants
from layergym.agents.models.rows import CacheRow, Ints, Places, Replies
from layergym.base.errors import Diverged, InputError, Notice
from layergym.base.texts import one_line

_FEWER = 8
"""Requests wait until there is one for every eight rows that are being answered: a pass over few
new tokens takes about as long as one over many."""
SHARE = 0.7
"""The share of free memory that a cache may take; the rest is for the passes."""


class TransformersSampler(Sampler):
    """Multi-turn sampling with a Hugging Face decoder-only model.

    Replies join and leave between tokens: a step feeds what new requests bring, in passes of
    bounded size, then one token to every row that is being answered, and to no other.

    A key-value cache lives as long as the episodes in it: each turn feeds only tokens the cache
    does not hold. A prompt that rewrites history keeps the longest prefix it shares with what is
    cached. Equal first prompts that are asked together are computed once and copied. Requests for
    which there is no memory wait until others are answered; where it runs out all the same, the
    replies under way begin again, half as many episodes at once, and say the same.

    An episode's randomness is one uniform per token from a counter-based generator (Philox) keyed
    by its seed, turned into a token by the inverse of the cumulative distribution, so that it does
    not depend on the batch. The model's own `forward` is called; weights may change between calls
    only after every episode was released.

    Shapes: B rows in the batch, V vocabulary.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_new_tokens: int = 512,
        temperature: float | Sequence[float] = 1.0,
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
                Several are those of episodes 0, 1, ... and again from the first one on.
            max_context: tokens of an episode at most; by default what the model was built for.
            stop_ids: tokens that end a reply, besides the model's and the tokenizer's end tokens.
            variants: for a model that holds several; None: all episodes have the same weights.

        Raises:
            InputError: a setting is out of range or the model has another kind of attention.
        """
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}")
        every = tuple(temperature) if isinstance(temperature, Sequence) else (temperature,)
        for one in every:
            if not one >= 0:
                raise InputError(f"temperature must be 0 or more, not {one}")
        self.model = model
        self.max_new_tokens = max_new_tokens
        self.temperatures = every
        self.max_context = context_limit(model.config.get_text_config(decoder=True), max_context)
        self.stop_ids = stop_tokens(model, tokenizer, stop_ids)
        self.net = CachedModel(model)
        self._variants = variants
        self._slot_bytes = cache_bytes(model.config, model.dtype)
        self._exact = np.float32 if model.device.type == "mps" else np.float64
        self._rows: dict[int, CacheRow] = {}
        self._places = Places()
        self._replies = Replies(max_new_tokens, self.stop_ids)
        self._queue: list[CacheRow] = []  # Asked; without a place, or without room to grow.
        self._asked: list[CacheRow] = []  # Yet to be fed.
        self._live: list[CacheRow] = []
        self._done: list[CacheRow] = []  # In this step.
        self._most = math.inf  # Episodes in the cache.

    # ---- the protocol -------------------------------------------------------------------------

    def submit(self, requests: Sequence[Request]) -> None:
        """Take in requests, to be answered by `step`."""
        self._queue += [self._open(request) for request in requests]

    def step(self, wait_s: float = 0.0) -> list[tuple[int, Sample]]:
        """Feed new requests, then one token to every row; the replies that are finished now.

        Raises:
            InputError: memory runs out for a single episode.
        """
        try:
            self._step()
        except torch.OutOfMemoryError as error:
            lacking = error.with_traceback(None)
        else:
            done, self._done = self._done, []
            return [self._close(row) for row in done]
        self._halve(lacking)  # The failed pass is gone here, with what it held.
        return []

    def _step(self) -> None:
        self._admit()
        if not (self._asked or self._live):
            return
        with evaluating(self.model):
            if self._asked and len(self._asked) * _FEWER >= len(self._live):
                self._prefill()
            if self._live:
                self._decode()

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over, or given up."""
        over = {row for e in set(episodes) if (row := self._rows.pop(e, None))}
        for row in over:
            self._places.leave(row)
        for rows in (self._queue, self._asked, self._live):
            if not over.isdisjoint(rows):
                rows[:] = [row for row in rows if row not in over]
        if not self._rows:
            self._forget()

    # ---- memory ---------------------------------------------------------------------------------

    def rows_that_fit(self, tokens: int) -> int:
        """How many episodes of this many tokens a new cache could hold."""
        free = SHARE * free_memory(self.model.device)
        return max(1, int(free / (tokens * self._slot_bytes)))

    def _admit(self) -> None:
        """Give room to the requests that have waited the longest, as far as there is some."""
        waiting = [row for row in self._queue if not self._enter(row)]
        if waiting and not (self._asked or self._live or len(waiting) < len(self._queue)):
            # Rows that nobody asks about make room: they are computed again when they are asked.
            self._forget()
            self._enter(waiting[0], needed=True)
            waiting = [row for row in waiting[1:] if not self._enter(row)]
        self._queue = waiting
        with torch.inference_mode():
            self.net.cache.reserve()

    def _enter(self, row: CacheRow, needed: bool = False) -> bool:
        """Whether the cache has room for a row and its reply; then it is to be fed."""
        cache, length = self.net.cache, len(row.context) + self.max_new_tokens
        rows = max(LEAST, self._places.with_(row))
        if not needed and self._places.with_(row) > self._most:
            return False
        if not (needed or cache.holds(rows, length)):
            free = SHARE * free_memory(self.model.device) + cache.bytes
            if cache.rows(rows) * cache.slots(length) * self._slot_bytes > free:
                return False
        self._places.take(row)
        self._replies.reach(rows)
        cache.plan(rows, length)
        self._asked.append(row)
        return True

    def _halve(self, lacking: torch.OutOfMemoryError) -> None:
        """Begin the replies under way again, with half as many episodes in the cache.

        Raises:
            InputError: it holds a single one.
        """
        if (held := sum(1 for _ in self._places)) < 2:
            raise InputError(
                "memory ran out for a single episode; end episodes earlier, or take a smaller "
                f"model ({one_line(str(lacking))[:200]})"
            )
        self._most = held // 2
        warnings.warn(
            f"memory ran out with {held} episodes: {self._most} are sampled at once from now on",
            Notice,
            stacklevel=3,
        )
        self._queue[:0] = dict.fromkeys([*self._done, *self._live, *self._asked])
        self._done, self._live, self._asked = [], [], []
        self._forget()
        release_memory()

    def _forget(self) -> None:
        """Empty the cache; no reply may be under way."""
        for row in self._places:
            self._places.leave(row)
        self._places = Places()
        self.net.forget()

    # ---- rows -----------------------------------------------------------------------------------

    def _open(self, request: Request) -> CacheRow:
        row = self._rows.get(request.episode)
        if row is None:
            noise = np.random.Generator(np.random.Philox(key=request.seed))
            variant = self._variants.variant(request.episode) if self._variants else 0
            row = self._rows[request.episode] = CacheRow(request.episode, noise, variant, [])
        row.extend(request.ids, extends=request.extends)
        return row

    def _close(self, row: CacheRow) -> tuple[int, Sample]:
        ids, logprobs, stopped = self._replies.said(row.place)
        row.length = len(row.context) + len(ids) - 1
        row.context += ids
        row.uniforms = None
        return row.episode, Sample(ids, logprobs, "stop" if stopped else "length")

    # ---- the model ------------------------------------------------------------------------------

    def _prefill(self) -> None:
        """Feed what the cache lacks, and draw first tokens.

        What is beyond one pass of the greatest size waits until the others got their next token.
        """
        for piece in first_pieces(self._asked):
            self._begin(piece, self._feed(piece))
        self._asked = [row for row in self._asked if row.pending]

    def _feed(self, piece: Piece) -> Tensor:
        """Logits (B, V) after what is new in a piece's rows; their copies get the same."""
        places, new = [row.place for row in piece.rows], piece.new
        if self._variants:
            self._variants.feed([row.variant for row in piece.rows], piece.read)
        if piece.fresh:
            logits = self.net.first(new, places)
            self.net.copy(*piece.copied(), max(map(len, new)))
        else:
            logits = self.net.more(new, places, [row.length for row in piece.rows])
        piece.fed()
        return logits

    def _begin(self, piece: Piece, logits: Tensor) -> None:
        """Draw the first tokens of rows that are fed to their ends."""
        begun = [(n, row) for n, row in piece.every() if not row.pending]
        if not begun:
            return
        rows = [row for _, row in begun]
        for row in rows:
            self._replies.begin(row)
        self._live += rows
        of = torch.tensor([n for n, _ in begun], device=logits.device)
        self._draw(np.array([row.place for row in rows]), logits[of])

    def _decode(self) -> None:
        """Feed the last token of every row that is being answered, and draw the next."""
        source, target = self._places.first(self._live)
        if source:
            self._replies.move(source, target)
            held = (max(self._places[n].length, self._replies.length(n)) for n in target)
            self.net.copy(source, target, max(held))
        live = len(self._live)
        if self._variants:
            whose = [self._places[n].variant for n in range(live)]
            self._variants.feed(whose + [-1] * (LEAST - live))
        self._draw(np.arange(live), self.net.next(*self._replies.last(live)))

    def _draw(self, places: Ints, logits: Tensor) -> None:
        """Draw one token for each row (B,) from (B, V), and note who is done."""
        uniforms = self._replies.uniforms(places).astype(self._exact, copy=False)
        token, logprob = self._drawn(places, logits, uploaded(uniforms, logits.device))
        # One transfer: a float32 holds whole numbers up to 2^24.
        tokens, logprobs = torch.stack([token.float(), logprob]).cpu().numpy()
        if not np.isfinite(logprobs).all():
            raise Diverged(
                "the model's logits are not finite, so its training has diverged; start again with "
                "a lower learning rate"
            )
        over = self._replies.add(places, tokens.astype(np.int64), logprobs)
        done = [self._places[place] for place in over.tolist()]
        if done:
            gone = set(done)
            self._live = [row for row in self._live if row not in gone]
            self._done += done

    def _drawn(self, places: Ints, logits: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """A token for each row (B,) and its log-probability, each at its episode's temperature."""
        if len(every := self.temperatures) == 1:
            return draw(logits, uniforms, every[0])
        episodes = [self._places[place].episode for place in places.tolist()]
        asked = np.array([every[episode % len(every)] for episode in episodes])
        tokens = torch.empty(len(asked), dtype=torch.long, device=logits.device)
        logprobs = logits.new_empty(len(asked))
        for one in np.unique(asked).tolist():
            rows = uploaded(np.flatnonzero(asked == one), logits.device)
            tokens[rows], logprobs[rows] = draw(logits[rows], uniforms[rows], one)
        return tokens, logprobs
