"""Forward passes over rows of a ragged key-value cache."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from layergym.agents.models.architecture import head_slots
from layergym.agents.models.attention import (
    additive_masks,
    attends_in_blocks,
    attention_windows,
)
from layergym.agents.models.branches import branch_masks
from layergym.agents.models.cache import RaggedCache, Read, cache_keyword
from layergym.agents.models.spans import CALL_BYTES, carry, row_runs

LEAST = 4
"""Rows of a decoding pass and new tokens of a row, at least. From here on, libraries multiply every
row of a matrix alike on one thread of a CPU, so that a row does not depend on how many there are.
"""
_SPAN, _WIDTH = 64, 16
"""What slots that are read, and first prompts, are rounded up to, for the same reason."""


class CachedModel:
    """A model and the cache of its rows.

    Shapes: B rows in a pass, T new tokens, S slots attended to, V vocabulary.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Wrap `model`.

        Raises:
            InputError: it has another kind of attention.
        """
        self.model = model
        self.cache = RaggedCache()
        self.computed = self.wanted = 0
        """Tokens fed, with padding and without."""
        self._windows = attention_windows(model)
        self._heads, slot = head_slots(model.config, model.dtype)
        self._call = CALL_BYTES / slot
        self._keyword = cache_keyword(inspect.signature(model.get_decoder().forward).parameters)

    def first(self, new: Sequence[Sequence[int]], places: Sequence[int]) -> Tensor:
        """Feed whole prompts to empty rows; logits (B, V) after each."""
        return self._feed(new, places, [0] * len(new), None)

    def more(
        self, new: Sequence[Sequence[int]], places: Sequence[int], lengths: Sequence[int]
    ) -> Tensor:
        """Feed tokens to rows that hold `lengths` already; logits (B, V) after each."""
        span = max(length + len(n) for length, n in zip(lengths, new, strict=True))
        first = places[0]
        rows: slice | Tensor = slice(first, first + len(places))
        if list(places) != list(range(first, first + len(places))):
            rows = self._tensor(places)
        return self._feed(new, places, lengths, (rows, self._rounded(span)))

    def next(self, tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> Tensor:
        """Feed one token to each of the first rows (B,), which hold `lengths`; logits (B, V)."""
        live = len(tokens)
        self.wanted += live
        idle = max(0, LEAST - live)
        ids = uploaded(np.pad(tokens, (0, idle)), self.model.device)
        positions = uploaded(np.pad(lengths, (0, idle)), self.model.device)[:, None]
        slots = positions if not idle else positions.clone()
        slots[live:] = self.cache.capacity - 1
        span = self._rounded(int(lengths.max()) + 1)
        self.cache.place(torch.arange(len(ids), device=ids.device), slots, (slice(len(ids)), span))
        masks = self._masks(positions, span)
        self._cut(masks, [*lengths.tolist(), *[0] * idle])
        return self._forward(ids[:, None], positions, masks)[:live]

    def copy(self, source: Sequence[int], target: Sequence[int], span: int) -> None:
        """Copy what rows hold in their first `span` slots to others."""
        if source:
            self.cache.copy_rows(self._tensor(source), self._tensor(target), span)

    def forget(self) -> None:
        """Empty the cache."""
        self.cache = RaggedCache()

    def wanted_share(self) -> float:
        """Which share of what was fed since the last call was wanted, and no padding."""
        share = self.wanted / max(self.computed, 1)
        self.computed = self.wanted = 0
        return share

    def _feed(
        self,
        new: Sequence[Sequence[int]],
        places: Sequence[int],
        lengths: Sequence[int],
        read: Read | None,
    ) -> Tensor:
        """One pass over new tokens padded on the left, so that rows end in the last column."""
        self.wanted += sum(map(len, new))
        width = max(LEAST, *map(len, new))
        width = width if read else -(-width // _WIDTH) * _WIDTH
        ids = self._tensor([[0] * (width - len(n)) + list(n) for n in new])
        held = self._tensor(lengths)[:, None]
        first = held + self._tensor([len(n) - width for n in new])[:, None]
        positions = first + torch.arange(width, device=first.device)
        slots = positions.masked_fill(positions < held, self.cache.capacity - 1)
        self.cache.place(self._tensor(places), slots, read)
        return self._forward(ids, positions, self._masks(positions, read[1] if read else None))

    def _forward(self, ids: Tensor, positions: Tensor, masks: Tensor | dict[str, Tensor]) -> Tensor:
        """Logits (B, V) of the last column; positions (B, T) may be negative for padding."""
        self.computed += ids.numel()
        output = self.model(
            input_ids=ids,
            attention_mask=masks,
            position_ids=positions.clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
            **{self._keyword: self.cache},
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()

    def _masks(self, positions: Tensor, span: int | None) -> Tensor | dict[str, Tensor]:
        """What lets tokens see those before them: all of the pass, or `span` slots of the cache."""
        width = positions.shape[1]
        if span is None and attends_in_blocks(self.model, width):
            ends = torch.full_like(positions, width).masked_fill(positions < 0, 0)
            return branch_masks(ends, positions, self._windows)
        if span is None:
            seen = (positions[:, None] <= positions[..., None]) & (positions >= 0)[:, None]
            keys = positions[:, None]
        else:
            keys = torch.arange(span, device=positions.device)
            seen = keys <= positions[..., None]
        return additive_masks(seen, keys, positions, self._windows, self.model.dtype)

    def _cut(self, masks: Tensor | dict[str, Tensor], lengths: Sequence[int]) -> None:
        """Let decoded rows, which hold `lengths`, be attended to in runs on a CPU.

        A GPU reads a cache faster than it starts a kernel for each run. Layers with a window are
        not cut: their masks hide most of what is read from all rows alike.
        """
        if self.model.device.type != "cpu":
            return
        spans = [self._rounded(length + 1) for length in lengths]
        runs = row_runs(spans, heads=self._heads, call=self._call, threads=torch.get_num_threads())
        every = masks if isinstance(masks, dict) else dict.fromkeys(self._windows, masks)
        for kind, mask in every.items():
            if self._windows[kind] is None:
                carry(mask, runs)

    def _rounded(self, span: int) -> int:
        return min(-(-span // _SPAN) * _SPAN, self.cache.capacity)

    def _tensor(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        return uploaded(np.array(values, np.int64), self.model.device)


def uploaded(values: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on `device`.

    CUDA copies it aside before this returns, so that the host need not wait for the device. Other
    devices may still read it later, so they are waited for.
    """
    return torch.from_numpy(values).to(device, non_blocking=device.type == "cuda")


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without gradients, and with dropout off and then back to what it was."""
    training = model.training
    if training:
        model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if training:
            model.train()
