"""Trained models from run folders: the base with the run's delta applied."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.names import open_model
from layergym.base.errors import InputError
from layergym.evals.results import Run
from layergym.trainer.layers.delta import LayerDelta


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
    delta = run.path / "delta.safetensors"
    if not delta.is_file() and run.arm.trained:
        raise InputError(f"{run.path} has no delta.safetensors; let the run finish first")
    name, usual = str(run.config.get("model", "tiny")), str(run.config.get("dtype", "auto"))
    model, tokenizer = open_model(name, dtype=dtype or usual, device=device)
    if run.arm.trained:
        LayerDelta.load(delta).apply(model)
    return model, tokenizer
