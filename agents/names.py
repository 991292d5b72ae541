"""Models by name, and what suits each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents import tiny
from layergym.agents.load import load_model
from layergym.agents.parse import Format
from layergym.agents.pull import SOURCES, pulled
from layergym.envs.errors import InputError


@dataclass(frozen=True, slots=True)
class Defaults:
    """Settings that suit a model; every one can be given instead."""

    format: Format
    max_new_tokens: int
    learning_rate_full: float
    learning_rate_layers: float


TINY = Defaults("plain", 8, 1e-3, 3e-3)
LLM = Defaults("think", 512, 1e-6, 5e-6)
"""Learning rates as in the scripts of arXiv 2607.01232: 1e-6 for all, 5e-6 for single layers."""


def defaults(model: str) -> Defaults:
    """What suits the model of this name: the embedded policy, or a chat model."""
    path = Path(model).expanduser()
    is_tiny = model == "tiny" or (path / "recipe.json").is_file()
    return TINY if is_tiny else LLM


def open_model(
    name: str, *, dtype: torch.dtype | None = None, device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model by name: "tiny", one that was pulled, a folder, or a hub id.

    Raises:
        InputError: there is no such model, or it was not pulled yet.
    """
    where: str | Path = name
    if name == "tiny":
        where = tiny.FOLDER
    elif name in SOURCES:
        found = pulled(name)
        if found is None:
            raise InputError(f'"{name}" was not fetched yet; run: layergym pull {name}')
        where = found
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return load_model(where, dtype=dtype, device=device)
