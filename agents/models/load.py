"""Load a model and its tokenizer from a folder or the hub."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as progress

from layergym.agents.models.attend import use_own_attention
from layergym.agents.models.quantized import Quantization
from layergym.base.errors import InputError
from layergym.base.texts import one_line

_LITTLE = 64 * 2**20
"""Bytes of weights that are read in a moment."""


def load_model(
    name_or_path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    quantization: Quantization | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model, ready to sample from.

    Args:
        name_or_path: a folder in Hugging Face's layout, a GGUF file or a folder with one, or a hub
            id.
        dtype: of the weights; by default as stored (float32 for GGUF).
        device: where the model goes.
        quantization: what is held in fewer bits; None: nothing.

    Returns:
        The model, in evaluation mode, and its tokenizer, which has a pad token.

    Raises:
        InputError: there is no such model, it cannot be reached or read, or it is no causal
            language model; or it cannot be quantised.
    """
    name = str(name_or_path)
    tokenizer = load_tokenizer(name)
    source, gguf = _located(name)
    if quantization:
        if gguf:
            raise InputError(f'"{name}" is a GGUF file, which cannot be quantised once more')
        return _quantized(source, dtype, device, quantization), tokenizer
    with explaining(name):
        model = _from_gguf(source, gguf, dtype) if gguf else _from_files(source, dtype)
    cast(torch.nn.Module, model).to(device)
    use_own_attention(model)
    return model.eval(), tokenizer


def load_tokenizer(name_or_path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, without its weights; it has a pad token.

    Raises:
        InputError: there is none, or it cannot be reached or read.
    """
    name = str(name_or_path)
    source, gguf = _located(name)
    with explaining(name):
        tokenizer = AutoTokenizer.from_pretrained(source, **_file(gguf))
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # transformers makes an empty tokenizer up for some models that come without one.
        raise InputError(f'"{name}" comes without a tokenizer; save one next to the model')
    if tokenizer.pad_token_id is None:
        spare = tokenizer.eos_token or tokenizer.unk_token
        tokenizer.pad_token = spare or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def load_config(name_or_path: str | Path) -> PreTrainedConfig:
    """The configuration of a model, without its weights.

    Raises:
        InputError: there is no such model, or it cannot be reached or read.
    """
    name = str(name_or_path)
    source, gguf = _located(name)
    with explaining(name):
        config = AutoConfig.from_pretrained(source, **_file(gguf))
    assert isinstance(config, PreTrainedConfig)
    return config


def stored_dtype(name_or_path: str | Path) -> torch.dtype:
    """What the weights of a model are stored in, from its configuration: float32 for GGUF.

    Raises:
        InputError: there is no such model, or it cannot be reached or read.
    """
    if _located(str(name_or_path))[1]:
        return torch.float32
    config = load_config(name_or_path)
    stored = config.dtype or config.get_text_config(decoder=True).dtype
    return stored if isinstance(stored, torch.dtype) else torch.float32


def _file(gguf: str | None) -> dict[str, str]:
    return {"gguf_file": gguf} if gguf else {}


def _located(name: str) -> tuple[str, str | None]:
    """The folder or hub id, and the GGUF file in it if that is what to load."""
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return str(path.parent), path.name
    if path.is_dir():
        files = sorted(file.name for file in path.glob("*.gguf"))
        if (path / "config.json").is_file():
            return str(path), None
        if len(files) == 1:
            return str(path), files[0]
        held = f"several GGUF files ({', '.join(files)}); name one" if files else "no config.json"
        raise InputError(
            f'cannot load a model from the folder "{name}": it holds {held}; '
            "give a folder in Hugging Face's layout"
        )
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f'there is no model at "{name}"; give a folder or a hub id ("org/model")')
    return name, None


def _from_files(source: str, dtype: torch.dtype | None) -> PreTrainedModel:
    with _no_bar_for_little(source):
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype or "auto")
    assert isinstance(model, PreTrainedModel)
    return model


@contextmanager
def _no_bar_for_little(source: str) -> Iterator[None]:
    """No progress bar for a model that is there at once, as the embedded policy is."""
    files = list(Path(source).glob("*.safetensors"))
    little = bool(files) and sum(file.stat().st_size for file in files) < _LITTLE
    if not (little and progress.is_progress_bar_enabled()):
        yield
        return
    progress.disable_progress_bar()
    try:
        yield
    finally:
        progress.enable_progress_bar()


def _quantized(
    source: str, dtype: torch.dtype | None, device: str | torch.device, quantization: Quantization
) -> PreTrainedModel:
    """The model with its linear layers quantised as they are read: never whole in memory."""
    kind = dtype or stored_dtype(source)
    with explaining(source):
        model: Any = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=kind,
            device_map={"": device},
            quantization_config=quantization.config(kind),
        )
    # Transformers refuses to train a model that is quantised as a whole, and TRL would put what
    # trains into bfloat16. What trains here is not quantised.
    model.hf_quantizer.remove_quantization_config(model)
    model.is_loaded_in_4bit = False
    use_own_attention(model)
    return cast(PreTrainedModel, model.eval())


def _from_gguf(source: str, gguf: str, dtype: torch.dtype | None) -> PreTrainedModel:
    """A plain model; the quantised object that transformers loads refuses training."""
    quantised = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf, dtype=torch.float32)
    config = copy.deepcopy(quantised.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=dtype or torch.float32)
    model.load_state_dict(quantised.state_dict())
    assert isinstance(model, PreTrainedModel)
    return model


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Say in a sentence whatever libraries raise about the files of a model; they raise anything.

    Raises:
        InputError: that sentence.
    """
    try:
        yield
    except (InputError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _explained(name, error) from error


def _explained(name: str, error: Exception) -> InputError:
    """One sentence for the many ways in which a model cannot be loaded."""
    reason = one_line(str(error)) or type(error).__name__
    if isinstance(error, ImportError) and "gguf" in reason.lower():
        return InputError(f'"{name}" is a GGUF file; to read it: pip install "layergym[gguf]"')
    if "connect to" in reason:
        return InputError(
            f'"{name}" is not a folder here and the hub cannot be reached; '
            "check the name and the network, or give a folder"
        )
    if "Unrecognized configuration class" in reason:
        kind = getattr(load_config(name), "model_type", "unknown")
        return InputError(f'"{name}" is of type {kind}, not a causal language model')
    return InputError(
        f'cannot load a causal language model from "{name}": {reason[:300]}; '
        "check the name or the folder"
    )
