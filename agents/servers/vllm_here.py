"""vLLM as an engine in this process, next to the model that trains."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from torch import Tensor

from layergym.agents.servers.vllm import Completion, written
from layergym.base.errors import InputError

MEMORY = 0.3
"""Share of a GPU's memory for the engine's weights and cache; the rest is for training."""


class VLLMHere:
    """A vLLM engine of this process's own, with a copy of the model's weights."""

    def __init__(self, model: str | Path, exchange: Path | None = None, **settings: Any) -> None:
        """Load the model.

        Args:
            model: a folder in Hugging Face's layout, or a hub id.
            exchange: a folder for weights on their way into the engine; by default the one for
                temporary files.
            **settings: of `vllm.LLM`, in place of the ones here.

        Raises:
            InputError: vLLM cannot be imported.
        """
        # The engine stays in this process, so that it shares the GPU's memory with training.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            vllm: Any = import_module("vllm")
        except ImportError as error:
            raise InputError(
                f"vLLM cannot be imported here ({error}); pip install vllm, or run it as a server "
                "with an environment of its own, and use vllm@URL"
            ) from error
        self._params = vllm.SamplingParams
        self._numbers = count()
        self._base = str(model)
        self._exchange = exchange
        self._llm = vllm.LLM(
            model=self._base,
            **{
                "gpu_memory_utilization": MEMORY,
                "logprobs_mode": "processed_logprobs",
                "enable_prefix_caching": True,
                **settings,
            },
        )
        self.max_context = int(self._llm.llm_engine.model_config.max_model_len)

    def start(self, prompt: tuple[int, ...], params: Mapping[str, Any]) -> int:
        """Begin to continue a prompt; a number for it."""
        number = next(self._numbers)
        self._llm.llm_engine.add_request(
            str(number), {"prompt_token_ids": list(prompt)}, self._params(**params)
        )
        return number

    def finished(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """Sample a token of every reply; what is finished by it."""
        outputs = self._llm.llm_engine.step()
        return [(int(o.request_id), _completion(o.outputs[0])) for o in outputs if o.finished]

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Give these tensors of the model new values."""
        with written(tensors, self._exchange) as folder:
            self._reload(folder)

    def restore(self) -> None:
        """Load the whole base model again."""
        self._reload(self._base)

    def _reload(self, path: str) -> None:
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": path})
        self._llm.reset_prefix_cache()


def _completion(output: Any) -> Completion:
    ids = tuple(output.token_ids)
    said = zip(ids, output.logprobs, strict=True)
    return Completion(ids, tuple(float(at[token].logprob) for token, at in said))
