"""Several processes: shares of the work, and parameters that are spread over processes.

A process plays its share of a rollout's episodes and computes its share of the rows; everything
between (credit, packing, shuffling) every process does for the whole rollout, so that all of them
agree without a word. FSDP2 keeps of every parameter one part per process (a `DTensor`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate import FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel
from trl import GRPOTrainer  # type: ignore[attr-defined]

from layergym.base.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the work is this process's: number `index`, from 0, of `of`."""

    index: int = 0
    of: int = 1

    def block(self, items: Sequence[T]) -> Sequence[T]:
        """Neighbours, as many as every other process has, or one more or less."""
        low, high = (len(items) * i // self.of for i in (self.index, self.index + 1))
        return items[low:high]

    def deal(self, items: Sequence[T]) -> Sequence[T]:
        """Every `of`-th item, beginning with number `index`."""
        return items[self.index :: self.of]


ALONE = Share()


def fsdp_asked() -> bool:
    """Whether this process was launched with an accelerate config for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor that may be spread; then every process must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor, which may be spread; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def spread_like(value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A whole `value`, spread as `parameter` is; every process must hold it."""
    if not isinstance(parameter, DTensor):
        return value
    placed = value.to(parameter.device)
    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(placed, mesh, placements, src_data_rank=None)


def reshard(model: nn.Module) -> None:
    """Drop whole copies of sharded parameters, so that what is in the parts counts."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@contextmanager
def unsharded(model: nn.Module, *, reshard_after_forward: bool) -> Iterator[None]:
    """Within it every process holds `model` whole, and its forward passes need no other process.

    Sampling needs that: processes sample different numbers of tokens.

    Args:
        model: sharded by FSDP2.
        reshard_after_forward: what holds for the model afterwards.
    """
    shards = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in shards:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in shards:
            module.set_reshard_after_forward(reshard_after_forward, recurse=False)
            module.reshard()


class SeveralProcesses(GRPOTrainer):
    """A `GRPOTrainer` started by `accelerate launch`: DDP or FSDP2, on GPUs and on CPUs."""

    model: PreTrainedModel

    @property
    def share(self) -> Share:
        """This process's share of the work."""
        return Share(self.accelerator.process_index, self.accelerator.num_processes)

    @property
    def sharded(self) -> bool:
        """Whether FSDP2 spreads the parameters."""
        return bool(self.is_fsdp_enabled)

    def create_accelerator_and_postprocess(self) -> None:
        """Transformers' accelerator; FSDP2 works on CPUs too, which Accelerate leaves out.

        Raises:
            InputError: the launcher asks for DeepSpeed, for FSDP1, or for checkpointed activations
                through FSDP, or it started one process where several were asked for.
        """
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        on_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() == "true"
        if on_cpu and "MASTER_ADDR" in os.environ and state.num_processes == 1:
            raise InputError(
                "accelerate launch --cpu starts one process, whatever the number; take a config "
                "with distributed_type: MULTI_GPU and use_cpu: true (docs/recipes/cpu-2-ddp.yaml)"
            )
        if fsdp_asked() and state.distributed_type == DistributedType.MULTI_CPU:
            # Set as Accelerate itself does it for GPUs: in the state of every further object.
            state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
            state.fsdp_plugin = FullyShardedDataParallelPlugin()
            self.is_fsdp_enabled = True
        if self.is_deepspeed_enabled:
            raise InputError("DeepSpeed is not supported; launch with FSDP2 (fsdp_version: 2)")
        if self.sharded and state.fsdp_plugin.fsdp_version != 2:
            raise InputError("FSDP needs fsdp_version: 2 in the accelerate config")
        if self.sharded and state.fsdp_plugin.activation_checkpointing:
            raise InputError(
                "fsdp_activation_checkpointing renames parameters; set gradient_checkpointing=True "
                "in the training settings instead"
            )
        if self.sharded:  # Gradients are averaged in float32, whatever the model computes with.
            state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
                reduce_dtype=torch.float32
            )

    def unsharded(self) -> AbstractContextManager[None]:
        """Within it every process holds the model whole, for sampling."""
        if not self.sharded:
            return nullcontext()
        after = bool(self.accelerator.state.fsdp_plugin.reshard_after_forward)
        return unsharded(self.model, reshard_after_forward=after)
