"""Bits that do not depend on the order in which a GPU works."""

from __future__ import annotations

import os

import pytest
import torch

from layergym.agents.models.compute import repeatable
from layergym.base.errors import InputError


def modes(wanted: bool) -> list[int]:
    """PyTorch's mode before, in and after."""
    found = [torch.get_deterministic_debug_mode()]
    with repeatable(wanted):
        found.append(torch.get_deterministic_debug_mode())
    return [*found, torch.get_deterministic_debug_mode()]


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)


@pytest.mark.usefixtures("on_a_gpu")
def test_on_a_gpu_the_order_is_fixed_inside_and_as_it_was_after() -> None:
    assert modes(True) == [0, 2, 0]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    torch.set_deterministic_debug_mode("warn")
    try:
        assert modes(True) == [1, 2, 1]
        assert modes(False) == [1, 1, 1]
    finally:
        torch.set_deterministic_debug_mode("default")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_changes() -> None:
    assert modes(True) == [0, 0, 0]


@pytest.mark.usefixtures("on_a_gpu")
def test_an_operation_without_a_fixed_order_is_named_with_the_remedy() -> None:
    place = torch.tensor([0, 0])
    with pytest.raises(InputError, match=r"--no-deterministic.*put_"), repeatable():
        torch.zeros(2).put_(place, torch.ones(2))
    assert torch.get_deterministic_debug_mode() == 0
    with pytest.raises(RuntimeError, match="shape"), repeatable():
        torch.ones(2, 3) @ torch.ones(2, 3)
