"""Freezing everything but the chosen layers.

Layers are indices into the model's own decoder-layer list, never name prefixes, so that
`layers.1` cannot match `layers.10`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.trainer.layers.grammar import layer_indices, ranges, scattered


@dataclass(frozen=True, slots=True)
class LayerSelection:
    """What trains in a model. `str()` of it is one line for people."""

    spec: str
    layers: tuple[int, ...]
    """Indices of the decoder layers that train, ascending."""
    num_layers: int
    whole_model: bool
    """True for "all": embeddings, final norm and head train too."""
    names: tuple[str, ...]
    """Names of the parameters that train."""
    trained: int
    """Number of scalars that train."""
    total: int
    """Number of scalars in the model."""
    entries: int | None = None
    """For "random": so many single entries of the named parameters train, not whole ones."""

    @property
    def first(self) -> int:
        """The lowest layer that needs gradients; 0 when the embeddings train."""
        return 0 if self.whole_model else self.layers[0]

    def __str__(self) -> str:
        """Say what trains and how much of the model that is."""
        what = "all" if self.whole_model else ranges(self.layers)
        what = f"random entries of {what}" if self.entries else what
        share = 100 * self.trained / self.total
        return (
            f"layers {what} (of {self.num_layers}): {self.trained:,} of {self.total:,} parameters "
            f"({share:.3g} %) in {len(self.names)} tensors"
        )


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The list of decoder layers of a transformers model, PEFT-wrapped or not.

    Raises:
        InputError: there is no list with the number of layers that the configuration states.
    """
    base = causal_model(model)
    expected = getattr(base.config.get_text_config(), "num_hidden_layers", None)
    decoder = base.get_decoder() or base
    found = [
        (name.count("."), module)
        for name, module in decoder.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == expected
    ]
    if not found:
        raise InputError(
            f"{type(base).__name__} has no list of {expected} decoder layers; layers= needs a "
            "decoder-only transformers model"
        )
    return min(found, key=lambda pair: pair[0])[1]


def causal_model(model: Any) -> PreTrainedModel:
    """The transformers model inside PEFT's wrapper, or the model itself."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(base, PreTrainedModel):
        raise InputError(f"{type(base).__name__} is not a transformers model")
    return base


def select(model: nn.Module, spec: str) -> LayerSelection:
    """Freeze everything in `model` but the layers that `spec` names, and say what trains.

    In a PEFT model only the adapters inside those layers train; the base stays frozen.

    Raises:
        InputError: as `layer_indices`, or the selected layers hold nothing that could train.
    """
    layers = decoder_layers(model)
    entries_of = scattered(spec, len(layers))
    indices = layer_indices("all" if entries_of else spec, len(layers))
    whole = spec.strip() == "all"
    adapters = hasattr(model, "get_base_model")
    candidates = {id(p) for p in model.parameters() if p.requires_grad or not adapters}
    chosen = candidates
    if not whole:
        inside = (p for i in indices for p in layers[i].parameters())
        chosen = {id(p) for p in inside if p.ndim > 1 or not entries_of} & candidates
    names = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(id(parameter) in chosen)
        if id(parameter) in chosen:
            names.append(name)
    if not names:
        raise InputError(f'layers="{spec}" holds no adapter; give PEFT these layers to transform')
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    available = sum(sizes[name] for name in names)
    entries = None
    if entries_of:
        if adapters:
            raise InputError('layers="random" scatters over weights; it cannot choose adapters')
        entries = min(entries_of * layer_size(layers), available)
    return LayerSelection(
        spec=spec,
        layers=indices,
        num_layers=len(layers),
        whole_model=whole,
        names=tuple(names),
        trained=entries or available,
        total=sum(sizes.values()),
        entries=entries,
    )


def layer_size(layers: nn.ModuleList) -> int:
    """Scalars in a decoder layer, the mean where layers differ."""
    return round(sum(p.numel() for p in layers.parameters()) / len(layers))
