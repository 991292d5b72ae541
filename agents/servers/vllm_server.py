"""A vLLM server as an engine, over HTTP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from layergym.agents.servers.errands import Errands
from layergym.agents.servers.http import SHOWN, Patience, Server, Unanswered
from layergym.agents.servers.vllm import Completion, written
from layergym.base.addresses import VLLM_KEY, check_server
from layergym.base.errors import InputError

CONCURRENCY = 256
"""Requests at once; the server batches them."""
TIMEOUT_S = 600.0
RETRIES = 4


class VLLMServer:
    """One model on a vLLM server.

    New weights travel as a safetensors file in a folder that both sides see, and the server is
    asked to read it (`reload_weights`). For that it must run with VLLM_SERVER_DEV_MODE=1, which
    opens its worker's methods to whoever reaches its port, key or not: keep it on 127.0.0.1 or in
    a private network. A stock server will do; nothing of this package runs in it.
    """

    def __init__(self, url: str, exchange: Path | None = None) -> None:
        """Ask the server what it serves.

        Args:
            url: its address, such as http://127.0.0.1:8000.
            exchange: a folder of a file system that this process and the server share (and an
                account that may read it), for weights; by default the one for temporary files.

        Raises:
            InputError: it is not an address, or no vLLM server answers there.
        """
        check_server(url)
        self.url = url.rstrip("/").removesuffix("/v1")
        self._exchange = exchange
        patience = Patience(attempt_s=TIMEOUT_S, retries=RETRIES, again=(502, 503))
        self._errands: Errands[Completion] = Errands(CONCURRENCY)
        self._server = Server(self.url, VLLM_KEY, patience, CONCURRENCY)
        self._model, self._base, self.max_context = self._served()

    def start(self, prompt: tuple[int, ...], params: Mapping[str, Any]) -> int:
        """Ask the server to continue a prompt; a number for it."""
        return self._errands.start(partial(self._complete, prompt, params))

    def finished(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """What the server has answered, or will within `wait_s` seconds.

        Raises:
            InputError: it does not answer, or refuses.
        """
        return [(number, answer.result()) for number, answer in self._errands.finished(wait_s)]

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Give these tensors of the model new values.

        Raises:
            InputError: the server cannot read them, or may not be asked to.
        """
        with written(tensors, self._exchange) as folder:
            self._reload(folder)

    def restore(self) -> None:
        """Load the whole base model again.

        Raises:
            InputError: as `load`.
        """
        self._reload(self._base)

    def _reload(self, path: str) -> None:
        try:
            self._ask(
                "post",
                "/collective_rpc",
                {"method": "reload_weights", "kwargs": {"weights_path": path}},
            )
            forgotten = self._ask("post", "/reset_prefix_cache")
        except InputError as error:
            raise InputError(
                f"the server did not take new weights from {path}; it must see that folder and "
                f"run with VLLM_SERVER_DEV_MODE=1: {error}"
            ) from None
        if not (isinstance(forgotten, dict) and forgotten.get("success") is True):
            raise InputError(
                f"{self.url} is busy with other requests, so it keeps old activations; "
                "give the run a server of its own"
            )

    def _served(self) -> tuple[str, str, int]:
        """Name, source and context length of the model."""
        models = self._ask("get", "/v1/models")
        try:
            served = models["data"][0]
            name, root = _text(served["id"]), _text(served["root"])
            return name, root, _whole(served["max_model_len"], least=1)
        except _WRONG as error:
            raise self._no_vllm(error) from None

    def _complete(self, prompt: tuple[int, ...], params: Mapping[str, Any]) -> Completion:
        body = {"model": self._model, "prompt": prompt, "return_token_ids": True, **params}
        answer = self._ask("post", "/v1/completions", body)
        try:
            return _completion(answer["choices"][0], params["max_tokens"])
        except _WRONG as error:
            raise self._no_vllm(error) from None

    def _no_vllm(self, error: Exception) -> InputError:
        why = self._server.key.hidden(f"{type(error).__name__}: {error}")[:SHOWN]
        return InputError(
            f"{self.url} does not answer as a vLLM server would ({why}); "
            "check the address and the version of vLLM"
        )

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._server.ask(method, path, body)
        except Unanswered as error:
            raise InputError(f"no vLLM server: {error}; start one, or mend the address") from None
        if answer.status != 200:
            said = self._server.key.hidden(answer.said)[:SHOWN]
            raise InputError(f"{self.url}{path} answered {answer.status}: {said}")
        try:
            return answer.json() if answer.data else None
        except ValueError as error:
            raise self._no_vllm(error) from None


_WRONG = (KeyError, IndexError, TypeError, ValueError, OverflowError)


def _completion(choice: Any, most: int) -> Completion:
    ids = tuple(_whole(number, least=0) for number in choice["token_ids"])
    logprobs = tuple(map(_finite, choice["logprobs"]["token_logprobs"]))
    if not 0 < len(ids) <= most or len(ids) != len(logprobs):
        raise ValueError(f"{len(ids)} token ids, {len(logprobs)} log-probabilities, {most} asked")
    return Completion(ids, logprobs)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"a {type(value).__name__} in place of a text")
    return value


def _whole(value: Any, *, least: int) -> int:
    if type(value) is not int or not least <= value < 2**31:
        raise TypeError(f"a {type(value).__name__} in place of a whole number from {least}")
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise TypeError(f"a {type(value).__name__} in place of a log-probability")
    return float(value)
