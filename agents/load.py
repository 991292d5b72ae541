"""Load a model and its tokenizer from a folder or the hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from layergym.envs.errors import InputError


def load_model(
    name_or_path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model, ready to sample from.

    Args:
        name_or_path: a folder in Hugging Face's layout, a folder with one GGUF file, or a hub id.
        dtype: of the weights; by default as stored (float32 for GGUF).
        device: where the model goes.

    Returns:
        The model, in evaluation mode, and its tokenizer, which has a pad token.

    Raises:
        InputError: there is no such model, it cannot be reached or read, or it is no causal
            language model.
    """
    name = str(name_or_path)
    folder = Path(name).expanduser()
    if not folder.is_dir() and (folder.exists() or _looks_local(name)):
        raise InputError(f'no model folder at "{name}"; give a folder or a hub id like "org/model"')
    source = str(folder) if folder.is_dir() else name
    gguf = _gguf(folder) if folder.is_dir() else None
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **({"gguf_file": gguf} if gguf else {}))
        model = _from_gguf(source, gguf) if gguf else _from_files(source, dtype)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise _explained(name, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return model.to(device=device, dtype=dtype or model.dtype).eval(), tokenizer


def _from_files(source: str, dtype: torch.dtype | None) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(source, dtype=dtype or "auto")


def _from_gguf(source: str, gguf: str) -> PreTrainedModel:
    """A plain float32 model; the quantised object that transformers loads refuses training."""
    quantised = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf, dtype=torch.float32)
    config = AutoConfig.from_pretrained(source, gguf_file=gguf)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    return model


def _gguf(folder: Path) -> str | None:
    files = sorted(folder.glob("*.gguf"))
    if not files or (folder / "config.json").exists():
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise InputError(f'"{folder}" holds several GGUF files ({names}); keep the one to load')
    return files[0].name


def _looks_local(name: str) -> bool:
    return name.startswith((".", "/", "~", "\\")) or name.count("/") > 1 or not name


def _explained(name: str, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(f'cannot load a causal language model from "{name}": {reason}')
