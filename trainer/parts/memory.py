"""How many tokens one forward and backward pass may have, from what a pass keeps in memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from layergym.agents.models.architecture import context_limit
from layergym.agents.models.compute import free_memory
from layergym.base.errors import InputError, Notice
from layergym.base.texts import one_line

_PROBE = 64
"""Tokens of the pass that is measured."""
MOST = 1 << 15
"""Tokens of a pass that are enough to keep a device busy. Where they fit, what else the memory
holds changes nothing: passes of another size add up in another order, and differ in last bits."""
SHARE = 0.5
"""The share of free memory that the activations of a pass may take; the rest is for temporaries."""
PREFIX_SHARE = 0.2
"""The share of free memory that activations cached for a whole rollout may take."""
STEPPED_BYTES = 4 + 8
"""Bytes of an entry that trains: a float32 gradient and Adam's two moments."""
MASTER_BYTES = 4
"""Bytes of its master, where the model holds the entry in 16 bits."""


@contextmanager
def saved_bytes(model: nn.Module) -> Iterator[dict[int, int]]:
    """Within it, the bytes of every storage that is saved for a backward pass, by identity.

    Weights of `model` are not among them.
    """
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    storages: dict[int, int] = {}
    alive: list[torch.Tensor] = []  # So that no identity is given out twice.

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield storages


def bytes_per_token(model: PreTrainedModel) -> float:
    """What a pass keeps per token for its backward pass, as `requires_grad` stands.

    Measured on one short row. Attention's own share, where a kernel keeps its weights, grows with
    the row and is not in it.
    """
    longest = context_limit(model.config.get_text_config(decoder=True), None)
    ids = torch.zeros(1, min(_PROBE, longest), dtype=torch.long, device=model.device)
    with torch.enable_grad(), saved_bytes(model) as storages:
        model.base_model(input_ids=ids, use_cache=False)
    return sum(storages.values()) / ids.numel()


def tokens_that_fit(model: PreTrainedModel, device: torch.device) -> int:
    """Tokens of one pass, a power of two, `MOST` at most, that take `SHARE` of what is free.

    Gradients, masters and moments of what trains are taken off first: none are there yet.

    Args:
        model: as `requires_grad` stands.
        device: where it will compute.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    state = sum(p.numel() * STEPPED_BYTES for p in trained)
    state += sum(p.numel() * MASTER_BYTES for p in trained if p.dtype.itemsize < 4)
    room = SHARE * (free_memory(device) - state)
    tokens = max(room / max(bytes_per_token(model), 1.0), 1.0)
    return min(MOST, 1 << math.floor(math.log2(tokens)))


def halved(tokens: int, longest: int | None, lacking: torch.OutOfMemoryError) -> int:
    """Half as many tokens per pass, with a `Notice`, after one has run out of memory.

    Args:
        tokens: of the pass that failed, at most.
        longest: of the rows to be computed; None: this step cannot be begun again.
        lacking: what ran out.

    Raises:
        InputError: passes cannot be smaller.
    """
    if longest is None or tokens <= longest:
        raise InputError(
            f"memory ran out in a pass of at most {tokens} tokens; give fewer with "
            f"--tokens-per-pass, or train fewer layers ({one_line(str(lacking))[:200]})"
        )
    warnings.warn(
        f"memory ran out: passes have at most {tokens // 2} tokens from now on",
        Notice,
        stacklevel=3,
    )
    return tokens // 2


def prefix_must_leave(model: PreTrainedModel, slots: int, free: int) -> bool:
    """Whether cached activations of this many tokens have no room where the model computes.

    Args:
        model: whose layers they enter.
        slots: tokens of a whole rollout, padding included.
        free: bytes.
    """
    size = int(model.config.get_text_config(decoder=True).hidden_size) * model.dtype.itemsize
    return slots * size > PREFIX_SHARE * free
