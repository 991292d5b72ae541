"""Chat completions over HTTP, from any server that speaks OpenAI's protocol."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from layergym.agents.servers.http import SHOWN, Patience, Response, Server, Unanswered
from layergym.agents.types import Usage
from layergym.base.addresses import split
from layergym.base.errors import InputError, unknown
from layergym.base.numbers import Bounds, check_numbers
from layergym.base.texts import whole_texts

PREFIX = "openai:"
OFFICIAL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
"""The environment variable with the key."""
AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses that may pass; every other refusal is final."""
OPTIONAL = ("temperature", "top_p", "seed", "max_tokens")
"""Parameters of a request that can be left out, where a server refuses them."""


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
        if parts.username is not None or parts.password is not None:
            raise InputError(f"a key does not belong into an address; put it into ${KEY}")
        return cls(model, url.rstrip("/"))


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How a server is treated."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "concurrency": Bounds(1, 10_000, whole=True),
        "per_minute": Bounds(0, 1e6, above=True, optional=True),
        "retries": Bounds(0, 1000, whole=True),
        "timeout_s": Bounds(0, 1e7, above=True),
    }
    concurrency: int = 16
    """Requests at once."""
    per_minute: float | None = None
    """Requests that begin within a minute, retries aside; None: no limit."""
    retries: int = 8
    """Further attempts after a request that may pass another time: a minute in all, or as long
    as the server's Retry-After asks."""
    timeout_s: float = 600.0
    """Seconds within which every attempt must have its whole answer."""

    def __post_init__(self) -> None:
        """Refuse what can never work."""
        check_numbers(self, self.BOUNDS)


@dataclass(frozen=True, slots=True)
class ChatAnswer:
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

    def __init__(self, endpoint: Endpoint, limits: RequestLimits, omit: Sequence[str] = ()) -> None:
        """Ask `endpoint` within `limits`, without the parameters in `omit` (see `OPTIONAL`).

        Raises:
            InputError: the key can be none, or a parameter cannot be left out.
        """
        check_omitted(omit)
        self.endpoint = endpoint
        self.limits = limits
        self._omit = frozenset(omit)
        self._pace = _Pace(limits.per_minute)
        patience = Patience(attempt_s=limits.timeout_s, retries=limits.retries, again=AGAIN)
        self._server = Server(endpoint.url, KEY, patience, limits.concurrency)

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> ChatAnswer:
        """The model's next message, from its plain distribution as far as the protocol can say.

        Raises:
            ServerError: every attempt failed, or the server refused.
        """
        sampling: dict[str, Any] = {
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed,
            **({"top_p": 1.0} if temperature else {}),
        }
        # OpenAI's own models know only the newer name, several servers only the older one.
        newer = {"max_tokens": "max_completion_tokens"} if self.endpoint.url == OFFICIAL else {}
        given = {newer.get(k, k): v for k, v in sampling.items() if k not in self._omit}
        self._pace.wait()
        body = {"model": self.endpoint.model, "messages": list(messages), **given}
        try:
            response = self._server.ask("post", "/chat/completions", body)
        except Unanswered as error:
            raise ServerError(str(error)) from None
        if response.status != 200:
            raise self._refusal(response)
        try:
            answer = _answer(response.json())
        except (ValueError, KeyError, IndexError, TypeError) as error:
            why = self._server.key.hidden(f"{type(error).__name__}: {error}")[:SHOWN]
            raise ServerError(
                f"{self.endpoint.url} did not answer with a chat completion: {why}"
            ) from None
        unsaid = self._server.key.unsaid
        return replace(answer, content=unsaid(answer.content), thought=unsaid(answer.thought))

    def _refusal(self, response: Response) -> ServerError:
        text = self._server.key.hidden(response.said)[:SHOWN]
        # vLLM and OpenAI speak of the context's length, llama.cpp of its size.
        too_long = "context" in text and ("length" in text or "size" in text)
        full = response.status == 400 and too_long
        kind = ContextFull if full else ServerError
        refused = next((name for name in OPTIONAL if name in text and name not in self._omit), None)
        hint = (
            f" (leave it out with --omit {refused})" if response.status == 400 and refused else ""
        )
        return kind(f"{self.endpoint.url} answered {response.status}: {text}{hint}")


def check_omitted(names: Sequence[str]) -> None:
    """Refuse to leave out what is not an optional parameter.

    Raises:
        InputError: it is none of `OPTIONAL`.
    """
    for name in names:
        if name not in OPTIONAL:
            raise unknown("parameter to leave out", name, OPTIONAL)


class _Pace:
    """Lets this many begin in a minute, evenly."""

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


def _answer(value: Any) -> ChatAnswer:
    choice = value["choices"][0]
    message = choice["message"]
    if not isinstance(message, dict):
        raise TypeError("the message is not an object")
    thought = message.get("reasoning_content") or message.get("reasoning")
    return ChatAnswer(
        content=_text(message.get("content")),
        thought=_text(thought) if isinstance(thought, str | list) else "",
        finish="length" if choice.get("finish_reason") == "length" else "stop",
        usage=_usage(value.get("usage")),
    )


def _text(content: Any) -> str:
    """The text of a message: a string, nothing, or a list of parts, of which texts are taken."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(map(_part, content))
    if not isinstance(content, str):
        raise TypeError(f"the content is a {type(content).__name__}")
    return whole_texts(content)


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return _text(text) if isinstance(text, str) else ""


def _usage(counted: Any) -> Usage | None:
    if not isinstance(counted, dict):
        return None
    return Usage.counted(counted.get("prompt_tokens"), counted.get("completion_tokens"))
