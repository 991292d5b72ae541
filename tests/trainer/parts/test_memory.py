"""How many tokens a pass may have, from the memory that is free."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from layergym.trainer.parts import memory


@pytest.fixture
def tokens(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., PreTrainedModel]
) -> Callable[[float], int]:
    """Tokens of a pass where this many bytes are free."""

    def found(free: float) -> int:
        monkeypatch.setattr(memory, "free_memory", lambda device: int(free))
        return memory.tokens_that_fit(tiny_model(), torch.device("cpu"))

    return found


def test_little_memory_bounds_a_pass(tokens: Callable[[float], int]) -> None:
    assert 1 < tokens(1e8) < tokens(4e8) < memory.MOST


def test_where_there_is_enough_what_is_free_changes_nothing(
    tokens: Callable[[float], int],
) -> None:
    assert tokens(1e12) == tokens(1e13) == memory.MOST
