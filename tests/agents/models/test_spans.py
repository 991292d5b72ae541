"""Decoded rows are attended to in runs of like length, and say what they said in one batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from layergym.agents.models import attend, forward
from layergym.agents.models.requests import Request, Sample
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.models.spans import row_runs

LENGTHS = (8, 200, 330, 20, 500, 90)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("call", [0.0, 100.0, 1e9])
def test_runs_hold_every_row_in_order_and_all_that_it_needs(call: float, threads: int) -> None:
    spans = np.random.default_rng(0).integers(1, 4000, 64).tolist()
    runs = row_runs(spans, heads=3, call=call, threads=threads)
    assert [n for rows, _ in runs for n in range(64)[rows]] == list(range(64))
    assert all(span == max(spans[rows]) for rows, span in runs)
    assert all(left.stop == right.start for (left, _), (right, _) in pairwise(runs))
    read = sum(span * (rows.stop - rows.start) for rows, span in runs)
    assert read == sum(spans) if (call, threads) == (0.0, 1) else read <= 64 * max(spans)


def test_what_is_as_long_or_cheap_is_not_cut() -> None:
    assert row_runs([640] * 9, heads=2, call=10.0, threads=1) == [(slice(0, 9), 640)]
    assert row_runs([64, 128, 64], heads=2, call=300.0, threads=1) == [(slice(0, 3), 128)]
    assert len(row_runs([64, 9000, 64], heads=2, call=300.0, threads=1)) == 3


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shared", [1, 2])
def test_replies_are_the_same_to_the_bit(
    family: str,
    dtype: torch.dtype,
    shared: int,
    model: Callable[[str], PreTrainedModel],
    tokenizer: Callable[[str | None], PreTrainedTokenizerFast],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def counted(query: torch.Tensor, key: torch.Tensor, *more: object, **named: object) -> object:
        if query.shape[2] <= shared:  # The heads that share a key, of one token.
            read.append(key.shape[0] * key.shape[2])
        return kernel(query, key, *more, **named)  # type: ignore[arg-type]

    def said(call_bytes: float) -> tuple[list[Sample], int]:
        monkeypatch.setattr(forward, "CALL_BYTES", call_bytes)
        config = copy.deepcopy(model(family).config)
        config.num_key_value_heads = config.num_attention_heads // shared
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
        attend.use_own_attention(net)
        sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=9)
        asked = [
            Request(i, tuple(k % 250 for k in range(i, i + n)), False, i)
            for i, n in enumerate(LENGTHS)
        ]
        read.clear()
        return sampler.sample(asked), sum(read)

    monkeypatch.setattr(attend, "scaled_dot_product_attention", counted)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    together, every = said(1e12)
    in_runs, fewer = said(0.0)
    assert in_runs == together
    assert fewer < 0.75 * every
