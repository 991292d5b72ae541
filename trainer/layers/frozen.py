"""Proof that training left alone what it should: digests of tensors, and the hash of a base.

Digests speak about values: a tensor in 16 bits counts as the float32 values that it stands for, so
that a model has the same ones whatever it is computed with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import nn

from layergym.agents.models.quantized import values
from layergym.trainer.processes import part

_HASHED = 1 << 24
"""Entries of a 16-bit tensor that are put into float32 at a time."""


class FrozenTensorChanged(RuntimeError):
    """A tensor that should be frozen differs from what it was."""


def digests(
    model: nn.Module, *, buffers: bool = True, only: Collection[str] | None = None
) -> dict[str, str]:
    """SHA-256 of every tensor of `model`, or `only` of some, by name: data type, shape and bytes.

    Tensors in 16 bits count as the float32 values that they stand for. Buffers that a checkpoint
    does not hold are left out: the model computes them from its configuration, and some again in
    every pass.

    A tensor that two modules share (tied embeddings) has one name, the first.
    """
    named: list[tuple[str, torch.Tensor]] = list(model.named_parameters())
    if buffers:
        stored = model.state_dict().keys()
        named += [(name, buffer) for name, buffer in model.named_buffers() if name in stored]
    named = [(name, tensor) for name, tensor in named if only is None or name in only]
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(
            zip(
                (name for name, _ in named),
                pool.map(tensor_digest, (tensor for _, tensor in named)),
                strict=True,
            )
        )


def base_hash(tensors: dict[str, str]) -> str:
    """One hash over the digests of a model's parameters."""
    lines = "\n".join(f"{name}\t{tensors[name]}" for name in sorted(tensors))
    return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class FrozenCheck:
    """Proof that training left alone what it should: digests of all frozen tensors."""

    tensors: dict[str, str]
    trained: str
    """What was allowed to change, for the error message."""
    masks: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """For tensors of which only some entries train: where they stay frozen."""

    @classmethod
    def of(
        cls,
        model: nn.Module,
        trained: str,
        known_digests: dict[str, str] | None = None,
        masks: Mapping[str, torch.Tensor] | None = None,
    ) -> FrozenCheck:
        """Record every stored buffer and every parameter that does not train.

        Args:
            model: its `requires_grad` flags say what trains.
            trained: what trains, in words.
            known_digests: `digests(model)`, when it is known already.
            masks: frozen entries, as bool, of parameters that train only in part.
        """
        training = {name for name, p in model.named_parameters() if p.requires_grad}
        all_tensors = digests(model) if known_digests is None else known_digests
        kept = {n: d for n, d in all_tensors.items() if n not in training}
        return cls(kept | _frozen_parts(model, masks or {}), trained, masks or {})

    def verify(self, model: nn.Module) -> None:
        """Compare with `model` as it is now.

        Raises:
            FrozenTensorChanged: a frozen tensor is no longer bit-identical, or is gone.
        """
        now = digests(model, only=self.tensors) | _frozen_parts(model, self.masks)
        changed = [name for name, digest in self.tensors.items() if now.get(name) != digest]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise FrozenTensorChanged(
                f"{changed[0]}{more} changed although only {self.trained} may train"
            )


def _frozen_parts(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Digests of the frozen entries alone."""
    parameters = dict(model.named_parameters())
    return {name: tensor_digest(parameters[name].detach()[mask]) for name, mask in masks.items()}


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of one tensor's data type, shape and values; see `digests`."""
    flat = values(part(tensor.detach())).contiguous().reshape(-1)
    half = tensor.is_floating_point() and tensor.dtype.itemsize < 4
    dtype = torch.float32 if half else tensor.dtype
    hashed = hashlib.sha256(f"{dtype}{tuple(tensor.shape)}".encode())
    for piece in flat.split(_HASHED) if half else (flat,):
        hashed.update(piece.cpu().to(dtype).view(torch.uint8).numpy().data)
    return hashed.hexdigest()
