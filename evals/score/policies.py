"""Trained models from run folders: the base with the run's delta applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.llm import LLMAgent
from layergym.agents.names import Speech, defaults, llm_agent, open_model
from layergym.agents.styles import style_of
from layergym.base.errors import InputError
from layergym.envs import TextEnv
from layergym.evals.results import Run, read_run
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.spec import RunSpec

DELTA = "delta.safetensors"
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
    delta = run.path / DELTA
    if not delta.is_file() and run.arm.trained:
        raise InputError(f"{run.path} has no delta.safetensors; let the run finish first")
    name, usual = str(run.config.get("model", "tiny")), str(run.config.get("dtype", "auto"))
    model, tokenizer = open_model(name, dtype=dtype or usual, device=device)
    if run.arm.trained:
        LayerDelta.load(delta).apply(model)
    return model, tokenizer


def is_trained(name: str) -> bool:
    """Whether an agent's name is the folder of a finished training run."""
    folder = Path(name)
    return (folder / DELTA).is_file() and (folder / "config.json").is_file()


def open_trained(
    folder: Path,
    speech: Speech,
    make_env: Callable[[], TextEnv],
    examples: Callable[[], TextEnv],
) -> LLMAgent:
    """The model of a training run as an agent.

    It is addressed as in training, unless `speech` says how models are addressed.

    Args:
        folder: of a finished run.
        speech: how it is asked.
        make_env: makes an environment like those that are played.
        examples: makes one whose expert gives examples, if there are to be any.

    Raises:
        InputError: see `open_policy`.
    """
    spec = RunSpec.read(folder)
    model, tokenizer = open_policy(
        read_run(folder),
        dtype=None if speech.dtype == "auto" else speech.dtype,
        device=speech.device,
    )
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
