"""A server that speaks vLLM's protocol, with the tiny model behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import torch
from safetensors.torch import load_file

from layergym.agents import TransformersSampler
from layergym.agents.models.sampler import Request
from layergym.agents.names import open_model
from tests.http_server import HttpServer


class Backend(HttpServer):
    """The tiny model behind vLLM's addresses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model, self.words = open_model("tiny")
        self.asked: list[dict[str, Any]] = []
        self.loaded: list[dict[str, torch.Tensor]] = []
        self.lock = Lock()  # One model, many requests.
        self.busy = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        sampler = TransformersSampler(
            self.model,
            self.words,
            max_new_tokens=body["max_tokens"],
            temperature=body["temperature"],
            stop_ids=body["stop_token_ids"],
        )
        [said] = sampler.sample([Request(0, tuple(body["prompt"]), False, body["seed"])])
        return {"choices": [{"token_ids": said.ids, "logprobs": {"token_logprobs": said.logprobs}}]}

    def reload(self, path: str) -> dict[str, Any]:
        if path == "tiny":
            self.model, _ = open_model("tiny")
            return {"results": [None]}
        tensors = load_file(Path(path) / "model.safetensors")
        self.loaded.append(tensors)
        assert not self.model.load_state_dict(tensors, strict=False).unexpected_keys
        return {"results": [None]}


class Handler(BaseHTTPRequestHandler):
    server: Backend

    def do_GET(self) -> None:
        assert self.path == "/v1/models"
        self._say({"data": [{"id": "policy", "root": "tiny", "max_model_len": 500}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
        with self.server.lock:
            if self.path == "/v1/completions":
                self._say(self.server.complete(body))
            elif self.path == "/reset_prefix_cache":
                self._say({"success": not self.server.busy})
            else:
                assert (self.path, body["method"]) == ("/collective_rpc", "reload_weights")
                self._say(self.server.reload(body["kwargs"]["weights_path"]))

    def _say(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Backend]:
    """A server that answers until the block ends."""
    with Backend() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
