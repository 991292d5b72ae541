"""LoRA on chosen layers, by PEFT, and its result as a layer delta of the plain base model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from layergym.agents.names import shape_of
from layergym.base.errors import InputError
from layergym.trainer.layers.delta import LayerDelta, Stepped, full_precision, low_rank_names
from layergym.trainer.layers.selection import decoder_layers, layer_size, parameters_named
from layergym.trainer.processes import gathered

_WRAPPED = "base_model.model."


def with_lora(model: PreTrainedModel, layers: str, rank: int, seed: int) -> Any:
    """Wrap `model` with adapters on every linear map of the chosen layers.

    The update of a weight W is 2 B A, with A (rank, in) drawn from `seed` and B (out, rank) zero
    (Hu et al. 2021, alpha = 2 rank), so the policy starts unchanged.

    Returns:
        PEFT's wrapper. The adapters sit inside `model` itself, which may go on being called.

    Raises:
        InputError: the rank is out of range, the layers hold no `nn.Linear`, or PEFT is absent.
    """
    peft = _peft()
    names = _linear_names(model, layers)
    maps = [model.get_submodule(name) for name in names]
    most = max(min(m.in_features, m.out_features) for m in maps if isinstance(m, nn.Linear))
    if not 1 <= rank <= most:
        raise InputError(f"a LoRA rank lies between 1 and {most}, the most here, not {rank}")
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # As every tensor that trains, adapters compute in the model's precision and are stepped in
        # float32.
        return peft.get_peft_model(model, config, autocast_adapter_dtype=False)


def lora_rank(model: str, layers: str) -> int:
    """The rank at which adapters on `layers` are nearest in size to one decoder layer.

    Args:
        model: by name; only its configuration is read.
        layers: the `layers=` grammar.

    Raises:
        InputError: there is no such model, the layers hold no `nn.Linear`, or PEFT is absent.
    """
    _peft()
    shape = shape_of(model)
    wanted = set(_linear_names(shape, layers))
    per_rank = sum(
        module.in_features + module.out_features
        for name, module in shape.named_modules()
        if name in wanted and isinstance(module, nn.Linear)
    )
    return max(1, round(layer_size(decoder_layers(shape)) / per_rank))


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise InputError(
            "LoRA needs PEFT; install it with: pip install 'layergym[lora]'"
        ) from error
    return peft


def base_names(model: nn.Module) -> dict[str, str]:
    """Names of the base model's parameters by their names in `model`, which PEFT may have wrapped.

    Adapters are left out.
    """
    names = [name for name, _ in model.named_parameters()]
    if not hasattr(model, "get_base_model"):
        return {name: name for name in names}
    adapter = str(getattr(model.base_model, "prefix", "lora_"))
    return {
        name: name.removeprefix(_WRAPPED).replace(".base_layer.", ".")
        for name in names
        if adapter not in name
    }


def lora_delta(
    model: nn.Module, base: str, layers: tuple[int, ...], stepped: Stepped
) -> LayerDelta:
    """The trained adapters of a PEFT model as a delta of its base model.

    Args:
        model: PEFT's wrapper.
        base: `base_hash` of the base model.
        layers: that train.
        stepped: what the optimiser steps for a parameter, its float32 master or itself.

    Raises:
        InputError: an adapter is not plain LoRA on an `nn.Linear`.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if not _trains(module):
            continue
        [adapter] = module.lora_A
        if not isinstance(module.get_base_layer(), nn.Linear) or module.use_dora[adapter]:
            raise InputError(f"{name} is not plain LoRA; a layer delta cannot hold its adapter")
        down, up = low_rank_names(f"{name.removeprefix(_WRAPPED)}.weight")
        a, b = (
            stepped(adapters[adapter].weight).detach()
            for adapters in (module.lora_A, module.lora_B)
        )
        tensors[down] = full_precision(gathered(a)).cpu().clone()
        tensors[up] = module.scaling[adapter] * full_precision(gathered(b)).cpu()
    return LayerDelta(base, layers, tensors)


def _trains(module: Any) -> bool:
    """Whether this is a linear map with adapters, and they train."""
    adapters = getattr(module, "lora_A", None)
    return adapters is not None and any(p.requires_grad for p in adapters.parameters())


def _linear_names(model: PreTrainedModel, layers: str) -> list[str]:
    inside = {id(module) for module in decoder_layers(model).modules()}
    wanted = set(parameters_named(model, layers))
    names = [
        name
        for name, module in model.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear) and f"{name}.weight" in wanted
    ]
    if not names:
        raise InputError(
            f'layers="{layers}" hold no linear map that LoRA could adapt; train decoder layers'
        )
    return names
