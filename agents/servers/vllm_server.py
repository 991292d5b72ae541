"""A vLLM server as an engine, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from torch import Tensor
from urllib3.util import Retry

from layergym.agents.servers.http import CONNECT_S, Key, session, split
from layergym.agents.servers.vllm import Completion, written
from layergym.base.errors import InputError

KEY = "VLLM_API_KEY"
"""The environment variable with the server's key, as vLLM itself names it."""
CONCURRENCY = 256
"""Requests at once; the server batches them."""
TIMEOUT_S = 600.0


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
            InputError: it is no address, or no vLLM server answers there.
        """
        parts = split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise InputError(f'"{url}" is no address of a server; write http://HOST:PORT')
        self.url = url.rstrip("/").removesuffix("/v1")
        self._exchange = exchange
        self._key = Key(KEY)
        patience = Retry(4, allowed_methods=None, status_forcelist=(502, 503), backoff_factor=0.5)
        self._session = session(patience, CONCURRENCY)
        models = self._ask("get", "/v1/models")
        try:
            served = models["data"][0]
            self._model, self._base = str(served["id"]), str(served["root"])
            self.max_context = int(served["max_model_len"])
        except (KeyError, IndexError, TypeError) as error:
            raise InputError(f"{self.url} is no vLLM server: {error!r} in {models}") from None

    def complete(
        self, prompts: Sequence[tuple[int, ...]], params: Sequence[Mapping[str, Any]]
    ) -> list[Completion]:
        """Continue each prompt, all at once.

        Raises:
            InputError: the server does not answer, or refuses.
        """
        with ThreadPoolExecutor(max(1, min(len(prompts), CONCURRENCY))) as pool:
            return list(pool.map(self._complete, prompts, params))

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
        if not forgotten["success"]:
            raise InputError(f"{self.url} is busy with other requests, so it keeps old activations")

    def _complete(self, prompt: tuple[int, ...], params: Mapping[str, Any]) -> Completion:
        body = {"model": self._model, "prompt": prompt, "return_token_ids": True, **params}
        choice = self._ask("post", "/v1/completions", body)["choices"][0]
        try:
            logprobs = choice["logprobs"]["token_logprobs"]
            return Completion(tuple(choice["token_ids"]), tuple(map(float, logprobs)))
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.url} gives no token ids: {error!r}; is it vLLM?") from None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._session.request(
                method,
                self.url + path,
                json=body,
                auth=self._key,
                timeout=(CONNECT_S, TIMEOUT_S),
                allow_redirects=False,
            )
            if answer.status_code == 200:
                return answer.json()
        except requests.RequestException as error:
            why = type(error).__name__
            raise InputError(f"no vLLM server answers at {self.url}{path}: {why}") from None
        said = " ".join(answer.text.split())[:300]
        raise InputError(f"{self.url}{path} answered {answer.status_code}: {said}")
