"""What a training step needs in memory and time, from the model's configuration alone.

The model is built from fake tensors, which have shapes and no memory, and its own forward and
backward passes run on them: operations are counted by PyTorch's `FlopCounterMode`, and the bytes
that a backward pass keeps by hooks on saved tensors. So the figures follow the architecture,
whichever it is. Not counted: the allocator's fragmentation, gathered shards, CUDA's own context.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from layergym.agents.models.architecture import cache_bytes, causal_model
from layergym.base.errors import InputError
from layergym.trainer.layers.grammar import changed_by
from layergym.trainer.layers.selection import decoder_layers, select
from layergym.trainer.parts.memory import MASTER_BYTES, MOST, SHARE, STEPPED_BYTES, saved_bytes
from layergym.trainer.rows.prefix import Prefix

_ATEN = torch.ops.aten
_CAUSAL = "layergym_causal"
OF_PEAK, OF_BANDWIDTH = 0.4, 0.6
"""Shares of a device's peak that training and decoding are taken to reach."""


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator, by its data sheet."""

    memory_gb: float
    tflops: float
    """Dense bf16 operations, 1e12 a second."""
    gb_per_s: float


DEVICES = {
    "rtx-4090": Device(24, 165, 1008),
    "l40s": Device(48, 362, 864),
    "a100-80gb": Device(80, 312, 2039),
    "h100": Device(80, 989, 3350),
    "h200": Device(141, 989, 4800),
    "b200": Device(180, 2250, 7700),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One optimiser step: its rollout and its update."""

    episodes: int = 128
    tokens: int = 4096
    """Tokens of an episode, prompts and replies together."""
    sampled: int = 1024
    """Tokens of an episode that the model said, the ones with loss."""
    rows_per_pass: int = 1
    """Rows (episodes) in one forward and backward pass on one device, at most."""
    tokens_per_pass: int | None = None
    """Tokens in one pass at most; None: what fits, as the trainer decides it."""
    epochs: int = 1
    reference: bool = False
    """Whether there is a KL term."""
    old: bool = False
    """Whether vLLM samples: it has the key-value cache, old log-probabilities are recomputed."""
    beside: float = 0.0
    """Share of a device's memory that vLLM holds beside training."""
    overlap: bool = False
    """Whether the next rollout is played during the update."""
    devices: int = 1
    dtype: torch.dtype = torch.bfloat16
    """The type of weights and activations; what trains is stepped in float32."""


@dataclass(frozen=True, slots=True)
class Count:
    """Operations and bytes of one row through the decoder, without the head."""

    forward: float
    """Operations of a forward pass through all layers."""
    above: float
    """Operations of a forward pass from the lowest trained layer on."""
    backward: float
    saved: float
    """Bytes kept for the backward pass, weights not among them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Needs of one arm. Bytes are per device, operations and seconds per optimiser step."""

    trained: int
    """Parameters that train."""
    rows: int
    """Rows in one pass."""
    memory: dict[str, float]
    """Bytes by purpose."""
    update_flops: float
    rollout_s: float
    update_s: float
    overlap: bool
    """Whether rollout and update happen at the same time."""

    @property
    def peak(self) -> float:
        """Bytes per device. Where rollout and update take turns, the larger of the two counts."""
        every = sum(self.memory.values())
        takes = self.memory["key-value cache"], self.memory["activations"]
        return every if self.overlap else every - min(takes)


def plan(config: PreTrainedConfig, layers: str, work: Workload, device: Device) -> Plan:
    """What training `layers` of a model of this configuration needs.

    Raises:
        InputError: `layers` cannot be read or names a layer that is not there.
    """
    if changed_by(layers):
        raise InputError(f'plan layers="all": "{layers}" has the memory and the passes of it')
    _know_causal_attention()
    with FakeTensorMode():
        model = AutoModelForCausalLM.from_config(
            config, dtype=work.dtype, attn_implementation=_CAUSAL
        )
        selection = select(model, layers)
        count = _count(model, selection.first, work.tokens)
        size = work.dtype.itemsize
        text = config.get_text_config(decoder=True)
        head = 2.0 * text.hidden_size * text.vocab_size * work.sampled
        head_backward = head * (2 if model.get_output_embeddings().weight.requires_grad else 1)
    uses = work.epochs + work.reference + work.old
    forward = count.forward + (uses - 1) * count.above + uses * head
    flops = work.episodes * (forward + work.epochs * (count.backward + head_backward))
    each = selection.trained / work.devices
    cached = uses > 1 and selection.first > 0
    prefix = work.episodes / work.devices * work.tokens * text.hidden_size * size
    slot = cache_bytes(config, work.dtype)
    memory = {
        "vLLM": work.beside * device.memory_gb * 1e9,
        "weights": selection.total * size / work.devices,
        "masters": MASTER_BYTES * each if size < 4 else 0.0,
        "gradients and moments": STEPPED_BYTES * each,
        "reference": size * each if work.reference else 0.0,
        "copy that plays": size * each if work.overlap and not work.old else 0.0,
        "cached prefix": prefix if cached else 0.0,
    }
    a_row = count.saved + 8 * work.sampled * text.vocab_size
    cache = work.episodes / work.devices * work.tokens * slot
    held = 0.0 if work.old else cache
    room = device.memory_gb * 1e9 - sum(memory.values()) - (held if work.overlap else 0.0)
    rows = _rows(work, room, a_row)
    taken = {"activations": rows * a_row, "key-value cache": held}
    return Plan(
        trained=selection.trained,
        rows=rows,
        memory=memory | taken,
        update_flops=flops,
        rollout_s=_rollout_s(selection.total, cache, work, device),
        update_s=flops / (work.devices * device.tflops * 1e12 * OF_PEAK),
        overlap=work.overlap,
    )


def _rows(work: Workload, room: float, a_row: float) -> int:
    """Rows of one pass: what fits into `room` bytes as `memory.tokens_that_fit` shares it."""
    most = min(work.rows_per_pass, max(1, work.episodes // work.devices))
    limit = work.tokens_per_pass
    fits = min(SHARE * room / a_row, MOST // work.tokens) if limit is None else limit // work.tokens
    return max(1, min(most, int(fits)))


def _rollout_s(parameters: int, cache: float, work: Workload, device: Device) -> float:
    """Decoding reads all weights and the cache once per token; prompts are bound by compute."""
    share = work.episodes / work.devices
    weights = parameters * work.dtype.itemsize
    read = weights + cache / 2  # The cache is half full on average.
    step = max(
        read / (device.gb_per_s * 1e9 * OF_BANDWIDTH),
        2 * parameters * share / (device.tflops * 1e12 * OF_PEAK),
    )
    prompts = 2 * parameters * share * (work.tokens - work.sampled)
    return work.sampled * step + prompts / (device.tflops * 1e12 * OF_PEAK)


def _know_causal_attention() -> None:
    """Fused causal attention without a mask; on fake tensors, transformers would make a mask."""
    AttentionInterface.register(_CAUSAL, sdpa_attention_forward)
    AttentionMaskInterface.register(_CAUSAL, lambda *args, **kwargs: None)


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Operations of attention on (B, H, T, D), (B, K, S, D), (B, K, S, V); heads may share keys."""
    batch, heads, tokens, size = query
    return int(2 * batch * heads * tokens * key[-2] * (size + value[-1]))


def _attention_backward_flops(
    grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any
) -> int:
    """The weights again, and the gradients of all four factors."""
    batch, heads, tokens, size = query
    return int(2 * batch * heads * tokens * key[-2] * (3 * size + 2 * value[-1]))


def _counter() -> FlopCounterMode:
    return FlopCounterMode(
        display=False,
        custom_mapping={
            _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
            _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
        },
    )


def _count(model: PreTrainedModel, first: int, tokens: int) -> Count:
    """Run one row of fake tokens forward and backward through the decoder."""
    decoder = causal_model(model).base_model
    ids = torch.zeros(1, tokens, dtype=torch.long)
    prefix = Prefix(decoder_layers(model), first) if first else None
    with torch.no_grad(), _reused(prefix), _counter() as counter:
        decoder(input_ids=ids, use_cache=False)
    with _reused(prefix), saved_bytes(model) as storages:
        above, backward = _both(decoder, ids)
    return Count(float(counter.get_total_flops()), above, backward, float(sum(storages.values())))


def _reused(prefix: Prefix | None) -> AbstractContextManager[None]:
    return prefix.reused() if prefix else nullcontext()


def _both(decoder: nn.Module, ids: torch.Tensor) -> tuple[float, float]:
    """Operations of a forward and of its backward pass."""
    with _counter() as counter:
        hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
        forward = float(counter.get_total_flops())
        hidden.sum().backward()
    return forward, float(counter.get_total_flops()) - forward
