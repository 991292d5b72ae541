"""Layer deltas: the tensors that a run trained, in one small safetensors file.

A delta holds new values, in float32 or more, and what it replaces comes back as a delta of its own,
so that removing it is exact. Applying it is exact too, but for the rounding of a model that is open
in 16 bits: that is the model that the run itself computed with. Of a LoRA run a delta holds the two
factors of every update; W then becomes W + B A.

Names and hashes speak about values: a tensor in 16 bits counts as the float32 values that it
stands for, so that a delta fits its base whatever the base computes with.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedTokenizerBase

from layergym.agents.models.architecture import causal_model
from layergym.agents.models.save import save_model
from layergym.base.errors import InputError, Notice, briefly
from layergym.base.files import replacing
from layergym.base.hub import fetched
from layergym.trainer.finite import check_tensors
from layergym.trainer.layers.frozen import base_hash, digests, tensor_digest
from layergym.trainer.processes import gathered, spread_like

FILE = "layer_delta.safetensors"
"""In a checkpoint."""
FINISHED = "delta.safetensors"
"""In the folder of a finished run, and in a package of one."""
_KEY = "layergym_delta"
_DOWN, _UP = ".lora_A", ".lora_B"
Stepped = Callable[[nn.Parameter], torch.Tensor]
"""What an optimiser steps for a parameter: its float32 master, or itself."""


def low_rank_names(name: str) -> tuple[str, str]:
    """Where a delta keeps A (rank, in) and B (out, rank) of an update W + B A of tensor `name`."""
    return name + _DOWN, name + _UP


@dataclass(frozen=True, slots=True)
class LayerDelta:
    """New values of some of a base model's tensors, or low-rank updates of them."""

    base: str
    """`base_hash` of the model that it was trained from."""
    layers: tuple[int, ...]
    tensors: dict[str, torch.Tensor]
    """The trained tensors by the parameter's name; factors of an update by `low_rank_names`."""

    @property
    def changes(self) -> set[str]:
        """Names of the base model's tensors that it changes."""
        return {name.removesuffix(_DOWN).removesuffix(_UP) for name in self.tensors}

    @property
    def digest(self) -> str:
        """A hash of all of it, by which damage to its file is found."""
        whole = {name: tensor_digest(tensor) for name, tensor in self.tensors.items()}
        about = (self.base, self.layers, base_hash(whole))
        return hashlib.sha256(repr(about).encode()).hexdigest()

    @classmethod
    def of(
        cls,
        model: nn.Module,
        base: str,
        layers: Sequence[int],
        stepped: Stepped = lambda parameter: parameter,
    ) -> LayerDelta:
        """Copy every parameter of `model` that trains, as it is stepped, to main memory."""
        tensors = {
            name: full_precision(gathered(stepped(p).detach())).cpu().clone()
            for name, p in model.named_parameters()
            if p.requires_grad
        }
        return cls(base, tuple(layers), tensors)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, at once.

        Raises:
            Diverged: a tensor holds NaN or infinity; nothing is written.
        """
        check_tensors(self.tensors)
        # One key: safetensors writes several in no fixed order, and equal deltas should be
        # equal files.
        about = {"base": self.base, "layers": self.layers, "digest": self.digest}
        metadata = {_KEY: json.dumps(about)}
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        with replacing(Path(path)) as scratch:
            save_file(tensors, scratch, metadata)

    @classmethod
    def load(cls, path: str | Path) -> LayerDelta:
        """Read what `save` wrote; a folder, or hf://owner/name, stands for the delta in it.

        Raises:
            InputError: there is no such file, or it is no layer delta.
        """
        path = fetched(path)
        file = path
        if path.is_dir():
            file = path / (FINISHED if (path / FINISHED).is_file() else FILE)
        try:
            with safe_open(file, framework="pt") as stored:
                metadata = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise InputError(
                f'no layer delta at "{file}"; give a run folder or its delta.safetensors'
            ) from error
        except (SafetensorError, OSError) as error:
            raise InputError(f'"{file}" cannot be read: {briefly(error)}; copy it again') from error
        if _KEY not in metadata:
            raise InputError(
                f'"{file}" is a safetensors file, but not a layer delta; '
                "give a run folder or its delta.safetensors"
            )
        try:
            about = json.loads(metadata[_KEY])
            delta = cls(str(about["base"]), tuple(map(int, about["layers"])), tensors)
            check_tensors(tensors)
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f'"{file}" is damaged ({briefly(error)}); train it again') from None
        if about.get("digest", delta.digest) != delta.digest:
            raise InputError(f'"{file}" is not as it was written; train it again')
        return delta

    def apply(self, model: nn.Module, base: str | None = None) -> LayerDelta:
        """Put the new values into `model`; returns the delta that takes them out again.

        Gives a `Notice` where `model` is open in 16 bits: how much of the update they keep.

        Args:
            model: the base.
            base: `base_hash` of it as it is stored, where `model` holds it in fewer bits.

        Raises:
            InputError: `model` is not the base that this was trained from.
        """
        self.check_base(base or base_hash(digests(model, buffers=False)))
        undo = self.put(model)
        if kept := kept_of(self, undo):
            warnings.warn(str(kept), Notice, stacklevel=2)
        return undo

    def put(self, model: nn.Module) -> LayerDelta:
        """Apply the delta without checking the base.

        Raises:
            InputError: `model` lacks one of the tensors, or has it in another shape.
        """
        parameters = dict(model.named_parameters())
        if lacking := sorted(self.changes - parameters.keys()):
            raise InputError(
                f'the model has no tensor "{lacking[0]}", which this delta changes; '
                "apply it to the model that it was trained from"
            )
        old = {}
        with torch.no_grad():
            for name in sorted(self.changes):
                old[name] = gathered(parameters[name].detach()).cpu().clone()
                value = self.value(name, old[name])
                if value.shape != old[name].shape:
                    raise InputError(
                        f'"{name}" has another shape in the model than in this delta; '
                        "apply it to the model that it was trained from"
                    )
                parameters[name].copy_(spread_like(value, parameters[name]))
        return LayerDelta(self.base, self.layers, old)

    def value(self, name: str, old: torch.Tensor) -> torch.Tensor:
        """The new values of tensor `name`, in float32 or more; `old` are the base's."""
        down, up = low_rank_names(name)
        if down not in self.tensors:
            return self.tensors[name]
        update = self.tensors[up].float() @ self.tensors[down].float()
        return full_precision(old) + update.to(full_precision(old).dtype)

    def check_base(self, base: str) -> None:
        """Compare with the `base_hash` of a model.

        Raises:
            InputError: they differ.
        """
        if base != self.base:
            raise InputError(
                f"this delta belongs to the base model {self.base[:12]}, not to {base[:12]}; load "
                "the model that it was trained from, with nothing applied (and with its run's "
                "--dtype, if that rounded it)"
            )


def full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """A 16-bit tensor in float32; any other as it is."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


@dataclass(frozen=True, slots=True)
class KeptUpdate:
    """How much of an update a model keeps that is open in 16 bits. `str()` is a sentence."""

    dtype: torch.dtype
    changed: float
    """The share of the changed entries that still differ after rounding."""
    cosine: float
    """The cosine of the update and what rounding leaves of it; 1 is all of it."""

    def __str__(self) -> str:
        """Say it, and how to keep all."""
        name = str(self.dtype).removeprefix("torch.")
        return (
            f"in {name}, {self.changed:.1%} of the trained entries differ from the base, and the "
            f"update's direction is kept to a cosine of {self.cosine:.3f}; --dtype float32 keeps "
            "all of it"
        )


def kept_of(delta: LayerDelta, undo: LayerDelta) -> KeptUpdate | None:
    """What a model in 16 bits keeps of `delta`; None for a model in full precision.

    Args:
        delta: what was applied.
        undo: what `put` gave back: the old values as the model holds them.
    """
    moved = differ = 0
    dots = torch.zeros(3, dtype=torch.float64)
    dtypes = {old.dtype for old in undo.tensors.values() if old.dtype.itemsize < 4}
    for name, old in undo.tensors.items():
        new = delta.value(name, old)
        update = new.float() - old.float()
        left = new.to(old.dtype).float() - old.float()
        moved += int(update.count_nonzero())
        differ += int(left.count_nonzero())
        pairs = ((update, left), (update, update), (left, left))
        dots += torch.stack([(a * b).sum(dtype=torch.float64) for a, b in pairs])
    if not dtypes or not moved:
        return None
    both, whole_, left_ = dots.tolist()
    cosine = both / (whole_ * left_) ** 0.5 if left_ else 0.0
    return KeptUpdate(dtypes.pop(), differ / moved, cosine)


def compose(deltas: Sequence[LayerDelta]) -> LayerDelta:
    """One delta that does what several do, each on its own tensors.

    Raises:
        InputError: there is none, they have different bases, or two change the same tensor.
    """
    if not deltas:
        raise InputError("there is no delta to compose; give one or more")
    if len({delta.base for delta in deltas}) > 1:
        raise InputError(
            "these deltas were trained from different base models; take those of one base"
        )
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
        save_model(causal_model(model), folder, tokenizer)
    finally:
        undo.put(model)
