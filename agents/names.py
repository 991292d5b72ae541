"""Models by name, and what suits each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.base import SCRIPTED, AnyAgent
from layergym.agents.llm import LLMAgent
from layergym.agents.models import tiny
from layergym.agents.models.compute import choose_device, choose_dtype, multiply_float32
from layergym.agents.models.load import explaining, load_config, load_model, stored_dtype
from layergym.agents.models.pull import SOURCES, pulled
from layergym.agents.models.quantized import Quantization
from layergym.agents.models.requests import Variants
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.models.save import RECIPE
from layergym.agents.prompts import PromptStyle
from layergym.agents.servers.openai_agent import ServerAgent
from layergym.agents.servers.openai_client import PREFIX, ChatClient, Endpoint, RequestLimits
from layergym.agents.styles import style_of
from layergym.base.errors import InputError
from layergym.base.files import read_json
from layergym.base.numbers import Bounds
from layergym.envs import TextEnv


@dataclass(frozen=True, slots=True)
class Defaults:
    """Settings that suit a model; every one can be given instead."""

    format: str
    max_new_tokens: int
    learning_rate_full: float
    learning_rate_layers: float
    learning_rate_lora: float


TINY = Defaults("plain", 8, 3e-4, 2e-3, 1.5e-3)
LLM = Defaults("act", 512, 1e-6, 5e-6, 1e-4)
"""Learning rates as in the scripts of arXiv 2607.01232: 1e-6 for all, 5e-6 for single layers, 1e-4
for LoRA."""


def defaults(model: str) -> Defaults:
    """What suits the model of this name: the embedded policy and its like, or a chat model."""
    file = (tiny.FOLDER if model == "tiny" else Path(model).expanduser()) / RECIPE
    recipe = read_json(file) if file.is_file() else {}
    return TINY if recipe.get("new", recipe.get("model") == "new") else LLM


def source(name: str) -> str | Path:
    """Where the model of this name is: a folder, or a hub id.

    Raises:
        InputError: it must be pulled first.
    """
    if name == "tiny":
        return tiny.FOLDER
    if name not in SOURCES:
        return name
    folder = pulled(name)
    if folder is None:
        raise InputError(f'"{name}" was not fetched yet; run: layergym pull {name}')
    return folder


def open_model(
    name: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    held_on: str | None = None,
    quantization: Quantization | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model by name: "tiny", one that was pulled, a folder, a GGUF file, or a hub id.

    Args:
        name: of the model.
        dtype: what it computes with: "auto", "float32" or "bfloat16" (`choose_dtype`).
        device: where it computes: "auto", "cpu", "cuda" or "mps" (`choose_device`).
        held_on: where the weights go, if not there.
        quantization: what of it is held in fewer bits; None: nothing.

    Raises:
        InputError: there is no such model, device or type, the model was not pulled yet, it is on
            a server, or it cannot be quantised.
    """
    if name.startswith(PREFIX):
        raise InputError(f"{name} is on a server, so it can be evaluated and played, not trained")
    on, where = choose_device(device), source(name)
    compute = choose_dtype(dtype, stored_dtype(where), on)
    multiply_float32(on, dtype)
    return load_model(where, dtype=compute, device=held_on or on, quantization=quantization)


def open_stored(name: str, dtype: str = "auto") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of this name with the values that `open_model` gives it, in their least memory.

    That is as it is stored, on the CPU, for hashing and merging; `dtype` counts where it rounds.

    Raises:
        InputError: as `open_model`.
    """
    rounded = torch.bfloat16 if dtype == "bfloat16" else None
    return load_model(source(name), dtype=rounded)


def num_layers(name: str) -> int:
    """Decoder layers of the model of this name, from its configuration alone.

    Raises:
        InputError: there is no such model, or its configuration does not say.
    """
    config = load_config(source(name)).get_text_config(decoder=True)
    layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(layers, int) or not Bounds(1, 100_000, whole=True).hold(layers):
        raise InputError(f'"{name}" does not say how many layers it has; mend its config.json')
    return layers


def shape_of(name: str) -> PreTrainedModel:
    """The model of this name without its weights: modules and shapes, from its configuration.

    Raises:
        InputError: there is no such model.
    """
    config = load_config(source(name))
    with torch.device("meta"), explaining(name):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


def llm_agent(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    style: PromptStyle,
    *,
    temperature: float | Sequence[float],
    max_new_tokens: int,
    variants: Variants | None = None,
) -> LLMAgent:
    """A loaded model as an agent; `variants` if it holds several."""
    sampler = TransformersSampler(
        model,
        tokenizer,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        variants=variants,
    )
    return LLMAgent(sampler, tokenizer, style)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """How a model is asked and how it answers; None means what suits the model."""

    temperature: float = 1.0
    """0 is greedy."""
    max_new_tokens: int | None = None
    format: str | None = None
    admissible: bool | None = None
    context: str = "whole"
    prompt: str = ""
    shots: int = 0
    """These five: see `styles.Addressed`."""
    omit: tuple[str, ...] = ()
    """Parameters that a server is not sent; see `openai_client.OPTIONAL`."""
    dtype: str = "auto"
    """What a model that is loaded here computes with; see `open_model`."""
    device: str = "auto"
    """Where it computes."""


def open_agent(
    name: str,
    speech: Speech | None = None,
    limits: RequestLimits | None = None,
    *,
    make_env: Callable[[], TextEnv] | None = None,
    examples: Callable[[], TextEnv] | None = None,
) -> AnyAgent:
    """An agent by name.

    Args:
        name: "human", "random", "expert", openai:MODEL@URL for a model on a server, or a model by
            name.
        speech: how a model is asked.
        limits: how a server is treated.
        make_env: makes an environment like those that are played, which may say what replies
            must hold.
        examples: makes one whose expert gives examples, if there are to be any; by default
            `make_env`.

    Raises:
        InputError: there is no such model, or no such address.
    """
    speech = speech or Speech()
    if name in SCRIPTED:
        return SCRIPTED[name]()
    known = LLM if name.startswith(PREFIX) else defaults(name)
    style = style_of(speech, known.format, make_env, examples)
    max_new_tokens = speech.max_new_tokens or known.max_new_tokens
    if name.startswith(PREFIX):
        client = ChatClient(Endpoint.parse(name), limits or RequestLimits(), speech.omit)
        return ServerAgent(
            client, style, temperature=speech.temperature, max_new_tokens=max_new_tokens
        )
    model, tokenizer = open_model(name, dtype=speech.dtype, device=speech.device)
    return llm_agent(
        model, tokenizer, style, temperature=speech.temperature, max_new_tokens=max_new_tokens
    )
