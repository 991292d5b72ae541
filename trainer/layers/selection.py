"""Freezing everything in a model but what the `layers=` grammar names, and saying what trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from layergym.agents.models.architecture import causal_model
from layergym.agents.models.quantized import Quantization, scalars
from layergym.agents.names import shape_of
from layergym.base.errors import InputError
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.grammar import (
    LayerTarget,
    Redrawn,
    changed_by,
    ranges,
    redrawn,
    scattered,
    targets,
    whole_layers,
)
from layergym.trainer.layers.mask import unchanged


@dataclass(frozen=True, slots=True)
class LayerSelection:
    """What trains in a model. `str()` of it is one line for people."""

    spec: str
    layers: tuple[int, ...]
    """Indices of the decoder layers in which something trains, ascending."""
    num_layers: int
    first: int
    """The lowest layer that needs gradients: 0 when embeddings train, `num_layers` when nothing
    in or below a layer does."""
    what: str
    """What trains, in words."""
    whole_model: bool
    """Whether embeddings, final norm and head train too: for "all" and "lisa:K/N"."""
    names: tuple[str, ...]
    """Names of the parameters that train."""
    trained: int
    """Number of scalars that train."""
    total: int
    """Number of scalars in the model."""
    entries: int | None = None
    """How many single entries of the named parameters train; None where whole ones do."""
    redrawn: Redrawn | None = None
    """Where layers take turns: how; `layers` are then all that may be drawn."""

    def __str__(self) -> str:
        """Say what trains and how much of the model that is."""
        share = 100 * self.trained / self.total
        return (
            f"layers {self.what} (of {self.num_layers}): {self.trained:,} of {self.total:,} "
            f"parameters ({share:.3g} %) in {len(self.names)} tensors"
        )


def quantization(model: str, layers: str, kind: str) -> Quantization | None:
    """How all layers but the head and those in which something trains are held in fewer bits.

    Args:
        model: by name.
        layers: what trains, as `select` takes it.
        kind: see `Quantization`; "none" gives None.

    Raises:
        InputError: something trains in every layer; or as `select`.
    """
    if kind == "none":
        return None
    shape = shape_of(model)
    chosen, stack = select(shape, layers), decoder_layers(shape)
    if len(chosen.layers) == len(stack):
        raise InputError(f'with layers="{layers}" no layer is frozen, so none can be quantised')
    whole = [shape.get_output_embeddings(), *(stack[n] for n in chosen.layers)]
    return Quantization(
        kind, tuple(name for name, module in shape.named_modules() if module in whole)
    )


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The list of decoder layers of a transformers model, PEFT-wrapped or not.

    Raises:
        InputError: there is no list with the number of layers that the configuration states.
    """
    base = causal_model(model)
    expected = getattr(base.config.get_text_config(), "num_hidden_layers", None)
    decoder = base.get_decoder() or base
    lists = [
        (name.count("."), module)
        for name, module in decoder.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == expected
    ]
    if not lists:
        raise InputError(
            f"{type(base).__name__} has no list of {expected} decoder layers; layers= needs a "
            "decoder-only transformers model"
        )
    return min(lists, key=lambda pair: pair[0])[1]


def layer_size(layers: nn.ModuleList) -> int:
    """Scalars in a decoder layer, the mean where layers differ."""
    return round(sum(p.numel() for p in layers.parameters()) / len(layers))


def select(model: nn.Module, spec: str) -> LayerSelection:
    """Freeze everything in `model` but what `spec` names, and say what trains.

    In a PEFT model only the adapters inside it train; the base stays frozen.

    Raises:
        InputError: as `grammar.targets` and `parameters_named`, or nothing of it could train.
    """
    stack = decoder_layers(model)
    scatter, changed = scattered(spec, len(stack)), changed_by(spec)
    turns = redrawn(spec, len(stack))
    adapters = hasattr(model, "get_base_model")
    if adapters and (scatter or changed or turns):
        raise InputError(f'layers="{spec}" is about the weights; it cannot choose adapters')
    entries = None
    if changed:
        frozen = unchanged(model, LayerDelta.load(changed.delta), bfloat16=changed.bfloat16)
        wanted, entries = set(frozen), sum(int((~mask).sum()) for mask in frozen.values())
    elif scatter:
        inside = parameters_named(model, f"0-{len(stack) - 1}")
        wanted = {name for name in inside if model.get_parameter(name).ndim > 1}
    elif turns:
        wanted = set(parameters_named(model, "all"))
    else:
        wanted = set(parameters_named(model, spec))
    names = []
    for name, parameter in model.named_parameters():
        trains = name in wanted and (parameter.requires_grad or not adapters)
        parameter.requires_grad_(trains)
        if trains:
            names.append(name)
    if not names:
        raise InputError(f'layers="{spec}" holds no adapter; give PEFT these layers to transform')
    sizes = {name: scalars(parameter) for name, parameter in model.named_parameters()}
    available = sum(sizes[name] for name in names)
    if scatter:
        entries = min(scatter * layer_size(stack), available)
    layers = tuple(i for i, layer in enumerate(stack) if _any_trains(layer))
    whole = spec.strip() == "all" or turns is not None
    below = whole or any(map(_any_trains, _embeddings(model)))
    return LayerSelection(
        spec=spec,
        layers=layers,
        num_layers=len(stack),
        first=0 if below else min(layers, default=len(stack)),
        what=_in_words(spec, layers, len(stack)),
        whole_model=whole,
        names=tuple(names),
        trained=available if entries is None else entries,
        total=sum(sizes.values()),
        entries=entries,
        redrawn=turns,
    )


def parameters_named(model: nn.Module, spec: str) -> tuple[str, ...]:
    """Names of the parameters of `model` that `spec` names, whole tensors, in the model's order.

    Raises:
        InputError: as `grammar.targets`, or a layer has no such module, or the model no such part.
    """
    stack = decoder_layers(model)
    if spec.strip() == "all":
        return tuple(name for name, _ in model.named_parameters())
    chosen = {
        id(parameter)
        for target in targets(spec, len(stack))
        for parameter in (_of_layers if target.layers else _outside)(model, target)
    }
    return tuple(name for name, parameter in model.named_parameters() if id(parameter) in chosen)


def check_layers(model: str, spec: str, num_layers: int) -> None:
    """Refuse what could not be selected in the model of this name; no weights are loaded.

    Raises:
        InputError: as `select`.
    """
    if changed := changed_by(spec):
        LayerDelta.load(changed.delta)
    elif redrawn(spec, num_layers):
        return
    elif not scattered(spec, num_layers) and any(t.part for t in targets(spec, num_layers)):
        parameters_named(shape_of(model), spec)


def _of_layers(model: nn.Module, target: LayerTarget) -> Iterator[nn.Parameter]:
    """The parameters of whole layers, or of one module of each."""
    stack = decoder_layers(model)
    for index in target.layers:
        chosen = [
            parameter
            for name, parameter in stack[index].named_parameters()
            if not target.part or target.part in _parts(name)
        ]
        if not chosen:
            known = {part for name, _ in stack[index].named_parameters() for part in _parts(name)}
            raise InputError(
                f'layer {index} has no "{target.part}"; it has {", ".join(sorted(known))}'
            )
        yield from chosen


def _parts(name: str) -> set[str]:
    """What a parameter of a layer is a part of: "self_attn.q_proj.weight" of attn and of q."""
    first, *others = name.split(".")
    modules = {first, *others[:-1]}
    kinds = {
        "norms": "norm" in first or first.startswith("ln"),
        "attn": "attn" in first or "attention" in first,
        "mlp": any(word in first for word in ("mlp", "ffn", "feed_forward", "moe")),
    }
    kind = next((kind for kind, holds in kinds.items() if holds), None)
    return {
        *modules,
        *(module.removesuffix("_proj") for module in modules),
        *([kind] if kind else []),
    }


def _outside(model: nn.Module, target: LayerTarget) -> list[nn.Parameter]:
    """The parameters of a model's embeddings, output head or final norm."""
    embeddings = list(_embeddings(model).parameters())
    output = causal_model(model).get_output_embeddings()
    head = [] if output is None else list(output.parameters())
    inside = {id(p) for p in [*decoder_layers(model).parameters(), *embeddings, *head]}
    norms = [
        parameter
        for name, parameter in model.named_parameters()
        if id(parameter) not in inside and any(word in name for word in ("norm", "ln_"))
    ]
    tied = {id(p) for p in embeddings}
    outside = {
        "embed": embeddings,
        "head": [parameter for parameter in head if id(parameter) not in tied],
        "norm": norms,
    }[target.part]
    if not outside and target.part == "head" and head:
        raise InputError("this model's head is its embeddings; name them as embed")
    if not outside:
        raise InputError(
            f"{type(causal_model(model)).__name__} has no parameters of {target.part}; "
            "take another part, or the whole layer"
        )
    return outside


def _embeddings(model: nn.Module) -> nn.ModuleList:
    """The embeddings outside the decoder layers: of tokens, and where there are any, positions."""
    base = causal_model(model)
    inside = {id(module) for module in decoder_layers(model).modules()}
    embeddings: list[nn.Module] = [m for m in base.modules() if isinstance(m, nn.Embedding)]
    outside = {id(m): m for m in [base.get_input_embeddings(), *embeddings] if id(m) not in inside}
    return nn.ModuleList(outside.values())


def _any_trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _in_words(spec: str, layers: tuple[int, ...], num_layers: int) -> str:
    """What trains, for people."""
    text = spec.strip()
    if text == "all" or changed_by(text):
        return text
    if turns := redrawn(text, num_layers):
        return f"{text}, {turns.layers} at a time and what is outside the layers,"
    if scattered(text, num_layers):
        return f"random entries of {ranges(layers)}"
    return ranges(layers) if whole_layers(text) else text
