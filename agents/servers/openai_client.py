"""Chat completions over HTTP, from any server that speaks OpenAI's protocol."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import requests
from urllib3 import BaseHTTPResponse
from urllib3.util import Retry

from layergym.agents.servers.http import CONNECT_S, Key, session, split
from layergym.agents.types import Usage
from layergym.base.errors import InputError

PREFIX = "openai:"
OFFICIAL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
"""The environment variable with the key."""
LONGEST_WAIT_S = 120.0
"""A server that asks for more patience than this is asked again after it."""
AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses that may pass; every other refusal is final."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model on a server."""

    model: str
    url: str
    """What comes before /chat/completions, such as http://localhost:8000/v1."""

    @classmethod
    def parse(cls, name: str) -> Endpoint:
        """Read openai:MODEL@URL; without @URL, $OPENAI_BASE_URL or OpenAI's own server is meant.

        Raises:
            InputError: a part is missing, or the address is none.
        """
        model, at, rest = name.removeprefix(PREFIX).partition("@http")
        url = f"http{rest}" if at else os.environ.get("OPENAI_BASE_URL", OFFICIAL)
        parts = split(url)
        forgotten = "@" in model and not at  # model@localhost:8000
        if not model or forgotten or parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f'"{name}" names no server; write openai:MODEL@http://HOST:PORT/v1')
        if parts.username or parts.password:
            raise InputError(f"a key does not belong into an address; put it into ${KEY}")
        return cls(model, url.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Limits:
    """How a server is treated."""

    concurrency: int = 16
    """Requests at once."""
    per_minute: float | None = None
    """Requests that begin within a minute, retries aside; None for no limit."""
    retries: int = 8
    """Further attempts after a request that may pass another time: a minute in all, or as long
    as the server's Retry-After asks."""
    timeout_s: float = 600.0
    """Longest silence of the server within one attempt."""

    def __post_init__(self) -> None:
        """Refuse what can never work."""
        if self.concurrency < 1 or self.retries < 0 or self.timeout_s <= 0:
            raise InputError("concurrency is at least 1, retries at least 0, timeout above 0")
        if self.per_minute is not None and self.per_minute <= 0:
            raise InputError("requests per minute must be more than 0")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said."""

    content: str
    thought: str
    """Reasoning that the server took out of the content, if it does so."""
    finish: Literal["stop", "length"]
    usage: Usage | None


class ServerError(Exception):
    """A request failed for good; the message says how."""


class ContextFull(ServerError):
    """The dialogue no longer fits into the model's context."""


class ChatClient:
    """Asks one model on one server; safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, limits: Limits) -> None:
        """Ask `endpoint` within `limits`."""
        self.endpoint = endpoint
        self.limits = limits
        self._pace = _Pace(limits.per_minute)
        self._key = Key(KEY)
        patience = _Patience(
            total=limits.retries,
            allowed_methods=None,
            status_forcelist=AGAIN,
            backoff_factor=0.5,
            backoff_max=20,
            raise_on_status=False,
        )
        self._session = session(patience, limits.concurrency)

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> Answer:
        """The model's next message, from its plain distribution as far as the protocol can say.

        Raises:
            ServerError: every attempt failed, or the server refused.
        """
        # OpenAI's own models know only the newer name, several servers only the older one.
        limit = "max_completion_tokens" if self.endpoint.url == OFFICIAL else "max_tokens"
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": list(messages),
            "temperature": temperature,
            limit: max_tokens,
            "seed": seed,
            **({"top_p": 1.0} if temperature else {}),
        }
        self._pace.wait()
        url = f"{self.endpoint.url}/chat/completions"
        try:
            response = self._session.post(
                url,
                json=body,
                auth=self._key,
                timeout=(CONNECT_S, self.limits.timeout_s),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ServerError(self._key.hidden(f"{url} does not answer: {_root(error)}")) from None
        if response.status_code != 200:
            raise self._refusal(url, response)
        try:
            return _answer(response.json())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ServerError(f"{url} did not answer with a chat completion: {error!r}") from None

    def _refusal(self, url: str, response: requests.Response) -> ServerError:
        text = _reason(response)
        # vLLM and OpenAI speak of the context's length, llama.cpp of its size.
        too_long = "context" in text and ("length" in text or "size" in text)
        full = response.status_code == 400 and too_long
        kind = ContextFull if full else ServerError
        return kind(self._key.hidden(f"{url} answered {response.status_code}: {text}"))


class _Patience(Retry):
    """Waits as long as the server asks, within reason; else 0, 1, 2, 4, ... seconds."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_WAIT_S)


class _Pace:
    """Lets so many begin in a minute, evenly."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        if not self._gap_s:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap_s
        time.sleep(turn - now)


def _answer(value: Any) -> Answer:
    choice = value["choices"][0]
    message = choice["message"]
    counted = value.get("usage")
    usage = (
        Usage(int(counted["prompt_tokens"]), int(counted["completion_tokens"])) if counted else None
    )
    return Answer(
        content=str(message.get("content") or ""),
        thought=str(message.get("reasoning_content") or message.get("reasoning") or ""),
        finish="length" if choice.get("finish_reason") == "length" else "stop",
        usage=usage,
    )


def _reason(response: requests.Response) -> str:
    """What a refusal says, in a line."""
    try:
        value = response.json()
        error = value.get("error", value.get("detail", value))
        text = str(error["message"] if isinstance(error, dict) and "message" in error else error)
    except (ValueError, AttributeError):
        text = response.text
    return " ".join(text.split())[:300] or response.reason


def _root(error: BaseException) -> str:
    """The innermost cause; requests and urllib3 wrap it three times."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    cause = reason if isinstance(reason, BaseException) else error
    return " ".join(str(cause).split())[-200:]
