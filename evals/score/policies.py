"""Trained models from run folders: the base with the run's delta applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.llm import LLMAgent
from layergym.agents.names import Speech, defaults, llm_agent, open_model
from layergym.agents.styles import style_of
from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json
from layergym.base.hub import fetched, on_hub
from layergym.envs import TextEnv
from layergym.evals.results import Run
from layergym.trainer.layers.delta import FINISHED, LayerDelta
from layergym.trainer.layers.selection import quantization
from layergym.trainer.layers.stored import stored_hash
from layergym.trainer.spec import RunSpec

_ADDRESS = ("format", "admissible", "context", "prompt", "shots")
"""How a model is addressed: these fields of `RunSpec` and of `Speech`."""


def open_policy(
    run: Run, *, dtype: str | None = None, device: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that `run` trained, ready to sample from; of the arm "base", the base.

    Args:
        run: of a sweep, or alone.
        dtype: what it computes with; None: what the run did.
        device: where it computes.

    Raises:
        InputError: the run is not finished, or its base model is gone or another one.
    """
    delta = run.path / FINISHED
    if not delta.is_file() and run.arm.trained:
        raise InputError(f"{run.path} has no delta.safetensors; let the run finish first")
    name, usual = str(run.config.get("model", "tiny")), str(run.config.get("dtype", "auto"))
    model, tokenizer = open_model(name, dtype=dtype or usual, device=device)
    if run.arm.trained:
        LayerDelta.load(delta).apply(model)
    return model, tokenizer


def is_trained(name: str) -> bool:
    """Whether an agent's name is that of a trained delta: a run's folder, a package, hf://..."""
    return on_hub(name) or ((Path(name) / FINISHED).is_file() and _settings(Path(name)) is not None)


def trained_run(name: str) -> tuple[Path, RunSpec]:
    """Where a trained delta is on this machine, and the run that it comes from.

    Raises:
        InputError: it is not there, or no run.
    """
    folder = fetched(name)
    settings = _settings(folder)
    if settings is None or not (folder / FINISHED).is_file():
        raise InputError(f"{name} holds no {FINISHED} with its settings; give a finished run")
    try:
        return folder, RunSpec.of(read_json(settings))
    except (ValueError, TypeError) as error:
        raise InputError(f"{settings} does not describe a run: {briefly(error)}") from None


def open_trained(
    name: str,
    speech: Speech,
    make_env: Callable[[], TextEnv],
    examples: Callable[[], TextEnv],
) -> LLMAgent:
    """A trained model as an agent.

    It is addressed as in training, unless `speech` says how models are addressed.

    Args:
        name: see `is_trained`.
        speech: how it is asked.
        make_env: makes an environment like those that are played.
        examples: makes one whose expert gives examples, if there are to be any.

    Raises:
        InputError: see `trained_run`; or the base model is gone or another one.
    """
    folder, spec = trained_run(name)
    dtype = spec.dtype if speech.dtype == "auto" else speech.dtype
    fewer_bits = quantization(spec.model, spec.layers, spec.quantize)
    model, tokenizer = open_model(
        spec.model, dtype=dtype, device=speech.device, quantization=fewer_bits
    )
    base = stored_hash(spec.model, spec.dtype) if fewer_bits else None
    LayerDelta.load(folder).apply(model, base)
    known, usual = defaults(spec.model), Speech()
    if all(getattr(speech, name) == getattr(usual, name) for name in _ADDRESS):
        speech = replace(speech, **{name: getattr(spec, name) for name in _ADDRESS})
    tokens = speech.max_new_tokens or spec.max_new_tokens or known.max_new_tokens
    return llm_agent(
        model,
        tokenizer,
        style_of(speech, known.format, make_env, examples),
        temperature=speech.temperature,
        max_new_tokens=tokens,
    )


def _settings(folder: Path) -> Path | None:
    """The settings of a run's folder or of a package, where config.json is a checkpoint's."""
    files = (folder / name for name in ("layergym.json", "config.json"))
    return next((file for file in files if file.is_file()), None)
