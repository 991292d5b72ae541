"""What every client of a model server needs: its address, its key, and answers within bounds.

A server may be broken or hostile, so an answer has at most `MAX_BYTES` after decompression and
arrives, headers and all, within the time of its attempt, however slowly it trickles.
"""

from __future__ import annotations

import html
import json
import os
import re
import time
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from itertools import count
from typing import Any

import requests
from requests.auth import AuthBase
from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import HTTPError

from layergym.agents.servers.timely import TimelyAdapter
from layergym.base.addresses import split
from layergym.base.errors import InputError, Notice
from layergym.base.texts import one_line

CONNECT_S = 10.0
MAX_BYTES = 16 << 20
"""The largest answer, in bytes: a million tokens with their log-probabilities."""
LONGEST_WAIT_S = 120.0
"""A server that asks for more patience than this is asked again after it."""
_ROOT = 200
"""Characters of the cause of a failure that an error repeats: its last ones."""
SHOWN = 300
"""Characters of what a server said that an error repeats."""
_CHUNK = 1 << 16


class Key(AuthBase):
    """A bearer key from an environment variable; it goes nowhere but into the request's header."""

    def __init__(self, variable: str, url: str) -> None:
        """Read the key, which may be missing, for the server at `url`.

        Raises:
            InputError: it holds a character that no header takes. It is not shown.
        """
        self._key = os.environ.get(variable, "").strip()
        if re.search(r"[^!-~]", self._key):
            raise InputError(
                f"${variable} holds a space, a line break or a character outside ASCII, so it is "
                "no key; set it to the key alone"
            )
        self._written = re.compile(_any_way(self._key))
        parts = split(url)
        if self._key and parts.scheme == "http" and not _on_this_machine(parts.hostname or ""):
            warnings.warn(
                f"${variable} goes to {parts.hostname} in clear, as does all that is said; use "
                "https, or a tunnel to this machine",
                Notice,
                stacklevel=3,
            )

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request."""
        # Given even without a key: requests would else look for a password in ~/.netrc.
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def hidden(self, text: str) -> str:
        """`text` without the key, as it is or escaped; to be called before anything is cut off."""
        return self._written.sub("***", text) if self._key else text

    def unsaid(self, text: str) -> str:
        """What a model said, without the key; "EMPTY" and its like are words, and stay."""
        return self.hidden(text) if len(self._key) >= 12 else text


def _any_way(key: str) -> str:
    """An expression for `key` as it is, or escaped for JSON, Python, addresses or HTML."""
    parts = re.findall(r"\\+|.", key)
    return "".join(map(_any_way_of_one, parts))


def _any_way_of_one(char: str) -> str:
    if char.isalnum():
        return char
    if char[0] == "\\":  # Each escaping doubles it.
        return r"(?:\\|%5[cC])++"
    code = ord(char)
    plain = rf"\\*+{re.escape(char)}"
    return rf"(?:{plain}|\\++u00{code:02x}|(?i:%{code:02x})|&#0*+{code};|{html.escape(char)})"


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered, as far as it was to be read."""

    status: int
    data: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON, or nested too deeply.
        """
        try:
            return json.loads(self.data)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    @property
    def said(self) -> str:
        """What a refusal says: its message where it has one, else all of it; in one line."""
        text = self.data.decode("utf-8", "replace")
        try:
            value = self.json()
        except ValueError:
            value = None
        if isinstance(value, dict):
            error = value.get("error", value.get("detail", value.get("message")))
            message = error.get("message") if isinstance(error, dict) else error
            text = message if isinstance(message, str) else text
        return one_line(text)


class Unanswered(Exception):
    """No answer came, or none that can be taken; the message says why, without the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for."""

    attempt_s: float
    """Within which an answer has come as a whole."""
    retries: int
    again: Collection[int]
    """Statuses that may pass."""


class Server:
    """Requests to one server; safe to use from several threads."""

    def __init__(self, url: str, variable: str, patience: Patience, connections: int) -> None:
        """Speak to the server at `url`.

        Args:
            url: what all paths are appended to.
            variable: the environment variable with its key.
            patience: how long it is waited for.
            connections: at once, at most.

        Raises:
            InputError: the address or the key can be none.
        """
        self.url = url
        self.key = Key(variable, url)
        self._patience = patience
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, TimelyAdapter(pool_maxsize=connections))

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Response:
        """The server's answer, whatever its status; asked again where that may help.

        Raises:
            Unanswered: every attempt failed, or the answer is not one.
        """
        for attempt in count():
            last = attempt >= self._patience.retries
            asked_s = None
            try:
                answer = self._once(method, path, body)
            except _PASSING as error:
                if last:
                    raise self._failure(path, error) from None
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                raise self._failure(path, error) from None
            else:
                if last or answer.status not in self._patience.again:
                    return answer
                asked_s = retry_after_s(answer.headers.get("Retry-After", ""))
            time.sleep(_usual_wait_s(attempt) if asked_s is None else asked_s)
        raise AssertionError("counting ends")

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Response:
        with self._session.request(
            method,
            self.url + path,
            json=body,
            auth=self.key,
            timeout=(CONNECT_S, self._patience.attempt_s),
            allow_redirects=False,
            stream=True,
        ) as answer:
            data = bytearray()
            for chunk in answer.iter_content(_CHUNK):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise requests.RequestException(f"more than {MAX_BYTES >> 20} MiB come")
            return Response(answer.status_code, bytes(data), answer.headers)

    def _failure(self, path: str, error: BaseException) -> Unanswered:
        why = self.key.hidden(_root(error))[-_ROOT:]
        return Unanswered(f"{self.url}{path} does not answer: {why}")


_PASSING = (requests.ConnectionError, requests.Timeout, ChunkedEncodingError)
"""Failures of an attempt that another one may not have."""


def retry_after_s(text: str) -> float | None:
    """The wait that a Retry-After header asks for, within reason; None where it asks for none."""
    if re.fullmatch(r"\s*[0-9]+\s*", text):
        return LONGEST_WAIT_S if len(text.strip()) > 9 else min(float(text), LONGEST_WAIT_S)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)


def _usual_wait_s(attempt: int) -> float:
    """0, 1, 2, 4, ... 20 seconds."""
    return min(float(2 ** (attempt - 1)), 20.0) if attempt else 0.0


def _root(error: BaseException) -> str:
    """The innermost cause; requests and urllib3 wrap it three times."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    cause = reason if isinstance(reason, BaseException) else error
    return one_line(str(cause))
