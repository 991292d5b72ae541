"""The base's hash, read from the files of its checkpoint: no weights are loaded as a model."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from layergym.agents.models.attention import attention_windows
from layergym.agents.models.load import load_config
from layergym.agents.names import open_stored, source
from layergym.trainer.layers.frozen import base_hash, digests, tensor_digest


def stored_hash(model: str, dtype: str = "auto") -> str:
    """`base_hash` of the model of this name, as `open_model` gives it.

    One tensor at a time is read from the checkpoint's files. A checkpoint that does not hold the
    model's own parameters by their names (GGUF, or a form that is converted when it is loaded) is
    loaded on the CPU instead.

    Args:
        model: by name.
        dtype: what it computes with, which counts where it rounds the values.

    Raises:
        InputError: there is no such model, or it has attention that cannot be batched exactly.
    """
    hashes = _stored_digests(Path(source(model)), dtype)
    if hashes is None:
        loaded, _ = open_stored(model, dtype)
        attention_windows(loaded)
        hashes = digests(loaded, buffers=False)
    return base_hash(hashes)


def _stored_digests(folder: Path, dtype: str) -> dict[str, str] | None:
    """The digest of every parameter by its name; None where the files do not hold just these."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    config = load_config(folder)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)
    attention_windows(shape)
    wanted = {name: tuple(p.shape) for name, p in shape.named_parameters()}
    opened = torch.bfloat16 if dtype == "bfloat16" else config.dtype
    hashes = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys() & wanted.keys():
                value = tensors.get_tensor(name)
                if tuple(value.shape) != wanted[name] or not value.is_floating_point():
                    return None
                hashes[name] = tensor_digest(value if opened is None else value.to(opened))
    return hashes if hashes.keys() == wanted.keys() else None
