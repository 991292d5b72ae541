"""Layer deltas: the tensors that a run trained, in one small safetensors file.

A delta holds new values, so applying it is exact, and what it replaces comes back as a delta of
its own, so removing it is exact too. Of a LoRA run it holds the two factors of every update; W
then becomes W + B A, in the precision of W.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedTokenizerBase

from layergym.base.errors import InputError
from layergym.trainer.layers.selection import causal_model
from layergym.trainer.processes import part, spread_like, whole

FILE = "layer_delta.safetensors"
_KEY = "layergym_delta"
_DOWN, _UP = ".lora_A", ".lora_B"


class FrozenTensorChanged(RuntimeError):
    """A tensor that should be frozen differs from what it was."""


def digests(
    model: nn.Module, *, buffers: bool = True, only: Collection[str] | None = None
) -> dict[str, str]:
    """SHA-256 of every tensor of `model`, or `only` of some, by name: data type, shape and bytes.

    A tensor that two modules share (tied embeddings) has one name, the first.
    """
    named: list[tuple[str, torch.Tensor]] = list(model.named_parameters())
    named += model.named_buffers() if buffers else []
    named = [(name, tensor) for name, tensor in named if only is None or name in only]
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(
            zip(
                (name for name, _ in named),
                pool.map(_digest, (tensor for _, tensor in named)),
                strict=True,
            )
        )


def low_rank_names(name: str) -> tuple[str, str]:
    """Where a delta keeps A (rank, in) and B (out, rank) of an update W + B A of tensor `name`."""
    return name + _DOWN, name + _UP


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
        found: dict[str, str] | None = None,
        masks: Mapping[str, torch.Tensor] | None = None,
    ) -> FrozenCheck:
        """Record every buffer and every parameter that does not train.

        Args:
            model: its `requires_grad` flags say what trains.
            trained: what trains, in words.
            found: `digests(model)`, when it is known already.
            masks: frozen entries, as bool, of parameters that train only in part.
        """
        training = {name for name, p in model.named_parameters() if p.requires_grad}
        all_tensors = digests(model) if found is None else found
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


@dataclass(frozen=True, slots=True)
class LayerDelta:
    """New values of some of a base model's tensors, or low-rank updates of them."""

    base: str
    """`base_hash` of the model that it was trained from."""
    layers: tuple[int, ...]
    tensors: dict[str, torch.Tensor]
    """By the parameter's name; the factors of an update by the names of `low_rank_names`."""

    @property
    def changes(self) -> set[str]:
        """Names of the base model's tensors that it changes."""
        return {name.removesuffix(_DOWN).removesuffix(_UP) for name in self.tensors}

    @classmethod
    def of(cls, model: nn.Module, base: str, layers: Sequence[int]) -> LayerDelta:
        """Copy every parameter of `model` that trains to main memory."""
        tensors = {
            name: whole(p.detach()).cpu().clone()
            for name, p in model.named_parameters()
            if p.requires_grad
        }
        return cls(base, tuple(layers), tensors)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # One key: safetensors writes several in no fixed order, and equal deltas should be
        # equal files.
        metadata = {_KEY: json.dumps({"base": self.base, "layers": self.layers})}
        save_file(
            {name: tensor.contiguous() for name, tensor in self.tensors.items()}, path, metadata
        )

    @classmethod
    def load(cls, path: str | Path) -> LayerDelta:
        """Read what `save` wrote; a folder stands for the delta in it.

        Raises:
            InputError: there is no such file, or it is no layer delta.
        """
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        try:
            with safe_open(file, framework="pt") as stored:
                metadata = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise InputError(f'no layer delta at "{file}"') from error
        except SafetensorError as error:
            raise InputError(f'"{file}" cannot be read: {error}') from error
        if _KEY not in metadata:
            raise InputError(f'"{file}" is a safetensors file, but not a layer delta')
        about = json.loads(metadata[_KEY])
        return cls(about["base"], tuple(about["layers"]), tensors)

    def apply(self, model: nn.Module) -> LayerDelta:
        """Put the new values into `model`; returns the delta that takes them out again.

        Raises:
            InputError: `model` is not the base that this was trained from.
        """
        self.check_base(base_hash(digests(model, buffers=False)))
        return self.put(model)

    def put(self, model: nn.Module) -> LayerDelta:
        """As `apply`, without checking the base."""
        parameters = dict(model.named_parameters())
        old = {}
        with torch.no_grad():
            for name in sorted(self.changes):
                old[name] = whole(parameters[name].detach()).cpu().clone()
                value = self._value(name, old[name])
                parameters[name].copy_(spread_like(value, parameters[name]))
        return LayerDelta(self.base, self.layers, old)

    def _value(self, name: str, old: torch.Tensor) -> torch.Tensor:
        down, up = low_rank_names(name)
        if down not in self.tensors:
            return self.tensors[name]
        return old + (self.tensors[up].float() @ self.tensors[down].float()).to(old.dtype)

    def check_base(self, found: str) -> None:
        """Compare with the `base_hash` of a model.

        Raises:
            InputError: they differ.
        """
        if found != self.base:
            raise InputError(
                f"this delta belongs to the base model {self.base[:12]}, not to {found[:12]}; load "
                "the model that it was trained from, with the same data type and nothing applied"
            )


def compose(deltas: Sequence[LayerDelta]) -> LayerDelta:
    """One delta that does what several do, each on its own tensors.

    Raises:
        InputError: there is none, they have different bases, or two change the same tensor.
    """
    if not deltas:
        raise InputError("there is no delta to compose")
    if len({delta.base for delta in deltas}) > 1:
        raise InputError("these deltas were trained from different base models")
    tensors: dict[str, torch.Tensor] = {}
    changed: set[str] = set()
    for delta in deltas:
        if shared := changed & delta.changes:
            raise InputError(
                f"two deltas change {min(shared)}; only deltas of different layers can be composed"
            )
        tensors |= delta.tensors
        changed |= delta.changes
    layers = sorted({layer for delta in deltas for layer in delta.layers})
    return LayerDelta(deltas[0].base, tuple(layers), tensors)


def merge(
    delta: LayerDelta,
    model: nn.Module,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    """Write base and delta as one ordinary Hugging Face checkpoint; `model` is left as it was.

    Raises:
        InputError: `model` is not the delta's base.
    """
    undo = delta.apply(model)
    try:
        causal_model(model).save_pretrained(folder)
    finally:
        undo.put(model)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _frozen_parts(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Digests of the frozen entries alone."""
    parameters = dict(model.named_parameters())
    return {name: _digest(parameters[name].detach()[mask]) for name, mask in masks.items()}


def _digest(tensor: torch.Tensor) -> str:
    flat = part(tensor.detach()).cpu().contiguous().reshape(-1)
    digest = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
