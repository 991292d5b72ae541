"""Rollouts through a vLLM engine: one that serves the model as it is trained, layer by layer."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from layergym.agents.models.architecture import causal_model
from layergym.agents.models.requests import Request, Sampler
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.servers.vllm import Engine, VLLMSampler
from layergym.agents.servers.vllm_here import VLLMHere
from layergym.agents.servers.vllm_server import VLLMServer
from layergym.base.errors import InputError
from layergym.trainer.spec import BESIDE, SERVER
from layergym.trainer.trainer import GiGPOTrainer

_PROBE, _REPLY = 16, 8
_FAR = 0.1
"""Nats per token between an engine's bfloat16 and float32 here stay well below this."""


def open_engine(name: str, exchange: Path, model: PreTrainedModel) -> Engine:
    """The vLLM engine of this name, with the base weights of `model`.

    Args:
        name: "vllm" or "vllm@URL".
        exchange: a folder that a server sees as well, through which weights travel.
        model: the base model, as it was loaded.

    Raises:
        InputError: no engine answers, it serves another model, or it does not load weights.
    """
    engine = _beside(exchange, model) if name == BESIDE else _server(name, exchange)
    far = _distance(engine, model)
    if not far < _FAR:
        raise InputError(
            f"the engine {name} serves another model: on the same tokens its log-probabilities "
            f"differ by {far:.2g} nats; "
            "serve the model that trains"
        )
    return engine


def _server(name: str, exchange: Path) -> Engine:
    server = VLLMServer(name.removeprefix(SERVER), exchange)
    state = PartialState()
    if state.is_main_process:
        server.restore()  # Whoever used it before may have left other weights.
    state.wait_for_everyone()
    return server


def _beside(exchange: Path, model: PreTrainedModel) -> Engine:
    if PartialState().num_processes > 1:
        raise InputError(f"{BESIDE} runs in a single process; with several, use {SERVER}URL")
    if not model.name_or_path:  # Unpacked from a GGUF file, say.
        raise InputError(f"{BESIDE} needs the model as a folder in Hugging Face's layout")
    return VLLMHere(model.name_or_path, exchange, dtype=str(model.dtype).removeprefix("torch."))


def through(engine: Engine, sampler: Sampler) -> VLLMSampler:
    """A sampler with the settings of an in-process one, through `engine`."""
    assert isinstance(sampler, TransformersSampler)
    [temperature] = sampler.temperatures  # An engine has one for all episodes.
    return VLLMSampler(
        engine,
        stop_ids=sampler.stop_ids,
        temperature=temperature,
        max_new_tokens=sampler.max_new_tokens,
        max_context=min(sampler.max_context, engine.max_context),
    )


def publish(trainer: GiGPOTrainer, engine: Engine) -> None:
    """Give `engine` the trained tensors as they are now; the others it has.

    Every process takes part, one sends; afterwards all may sample.
    """
    began = time.perf_counter()
    dtype = causal_model(trainer.model).dtype  # What the model itself computes with.
    tensors = {name: value.to(dtype) for name, value in trainer.delta().tensors.items()}
    if trainer.accelerator.is_main_process:
        engine.load(in_checkpoint_form(causal_model(trainer.model), tensors))
    trainer.accelerator.wait_for_everyone()
    trainer.note({"time/sync_s": time.perf_counter() - began})


def in_checkpoint_form(
    model: PreTrainedModel, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Tensors of `model` as checkpoints name and shape them: fused experts apart, say."""
    converted: dict[str, torch.Tensor] = revert_weight_conversion(model, tensors)
    return converted


def _distance(engine: Engine, model: PreTrainedModel) -> float:
    """Mean distance between an engine's and the model's log-probabilities of a greedy reply."""
    prompt = tuple(range(_PROBE))
    sampler = VLLMSampler(engine, stop_ids=(), temperature=0.0, max_new_tokens=_REPLY)
    [said] = sampler.sample([Request(0, prompt, False, 0)])
    if max(said.ids) >= model.config.get_text_config(decoder=True).vocab_size:
        return math.inf
    ids = torch.tensor([prompt + said.ids], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=ids, logits_to_keep=len(said.ids) + 1).logits[0, :-1].float()
    ours = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
    return float((ours.cpu() - torch.tensor(said.logprobs)).abs().mean())
