"""Banks in little memory: smaller passes, the same runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from layergym.base.errors import Notice
from layergym.trainer.bank import Bank
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.spec import RunSpec
from tests.trainer.bank.pairs import Done, differences, folders


def limited(bank: Bank, tokens: int) -> None:
    """Let passes with grad over more tokens run out of memory."""

    def check(_: Any, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled() and kwargs["input_ids"].numel() > tokens:
            raise torch.OutOfMemoryError("no memory for this many tokens")

    bank.sampler_at(1.0).sampler.model.register_forward_pre_hook(check, with_kwargs=True)


def test_where_memory_runs_out_fewer_variants_share_a_pass(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    bank, places = Bank(specs), folders(tmp_path, len(specs))
    limited(bank, 200)
    with pytest.warns(Notice, match="variants share a pass"):
        bank.train(places)
    for left, right in zip(done.folders, places, strict=True):
        assert float(differences(left, right).max()) < 1e-5


def test_a_variant_that_does_not_fit_alone_has_smaller_passes(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    specs, places = specs[:2], folders(tmp_path, 2)
    bank = Bank([replace(spec, tokens_per_pass=256) for spec in specs])
    limited(bank, 60)
    with pytest.warns(Notice, match="passes have at most"):
        bank.train(places)
    for left, right in zip(done.folders, places, strict=False):
        assert float(differences(left, right).max()) < 1e-5


def test_memory_that_runs_out_on_the_way_back_begins_the_steps_anew(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    bank, places = Bank(specs), folders(tmp_path, len(specs))
    failures: list[int] = []

    def fail(gradient: torch.Tensor) -> None:
        if not failures:
            failures.append(len(gradient))
            raise torch.OutOfMemoryError("no memory on the way back")

    def watch(module: Any, args: Any, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(fail)

    decoder_layers(bank.sampler_at(1.0).sampler.model)[2].register_forward_hook(watch)
    with pytest.warns(Notice, match="variants share a pass"):
        bank.train(places)
    assert failures
    for left, right in zip(done.folders, places, strict=True):
        assert float(differences(left, right).max()) < 1e-5
