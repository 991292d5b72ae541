"""Servers that break their protocol cost their own episodes: an answer or one error, in time."""

from __future__ import annotations

import html
import json
import math
import re
import resource
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest

from layergym.agents.servers import vllm_server
from layergym.agents.servers.http import MAX_BYTES, Key, retry_after_s
from layergym.agents.servers.openai_client import (
    ChatAnswer,
    ChatClient,
    Endpoint,
    RequestLimits,
    ServerError,
)
from layergym.agents.servers.vllm_server import VLLMServer
from layergym.agents.types import MOST_TOKENS
from layergym.base.errors import InputError, Notice

ASKED: dict[str, Any] = {"temperature": 0.0, "max_tokens": 8, "seed": 1}
PARAMS = {"max_tokens": 8}


@pytest.fixture(scope="module")
def hostile(table: Callable[[str], ModuleType]) -> ModuleType:
    return table("hostile")


@pytest.fixture
def key(hostile: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for variable in ("OPENAI_API_KEY", "VLLM_API_KEY"):
        monkeypatch.setenv(variable, hostile.KEY)
    yield hostile.KEY


def ask(url: str, **limits: Any) -> ChatAnswer | ServerError:
    settings: dict[str, Any] = {"timeout_s": 1.5, "retries": 0} | limits
    client = ChatClient(Endpoint("m", f"{url}/v1"), RequestLimits(**settings))
    try:
        return client.complete([{"role": "user", "content": "hi"}], **ASKED)
    except ServerError as error:
        return error


def test_every_behaviour_of_a_chat_server_is_an_answer_or_an_error(
    hostile: ModuleType, key: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    behaviours = hostile.openai()
    assert len(behaviours) >= 60
    for name, behaviour in behaviours.items():
        with hostile.serving(behaviour) as url:
            found = ask(url)
        assert key[: len(key) // 2] not in str(found), name
        if isinstance(found, ChatAnswer) and found.usage:
            assert 0 <= found.usage.prompt <= MOST_TOKENS, name
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < 40 * MAX_BYTES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("content: parts", "look"),
        ("content: null", ""),
        ("content: a lone surrogate", "look \ufffd"),
        ("tokens: null", "look"),
        ("tokens: NaN", "look"),
        ("usage: a text", "look"),
        ("body: a byte-order mark", "look"),
        ("reasoning: object", "look"),
    ],
)
def test_what_can_be_understood_is(hostile: ModuleType, name: str, content: str) -> None:
    with hostile.serving(hostile.openai()[name]) as url:
        found = ask(url)
    assert isinstance(found, ChatAnswer), found
    assert (found.content, found.usage) == (content, None)


@pytest.mark.parametrize("name", ["slow body", "slow header", "slow size of a chunk", "silence"])
def test_a_trickle_does_not_outlast_the_timeout(hostile: ModuleType, name: str) -> None:
    with hostile.serving(hostile.openai()[name]) as url:
        began = time.monotonic()
        assert "timed out" in str(ask(url, timeout_s=0.3)).lower()
        assert time.monotonic() - began < 20, "it would trickle for ever"


@pytest.mark.parametrize("name", ["endless body", "endless chunks", "a bomb", "endless refusal"])
def test_a_body_has_a_bound(hostile: ModuleType, name: str) -> None:
    with hostile.serving(hostile.openai()[name]) as url:
        assert "more than 16 MiB" in str(ask(url, timeout_s=60))


def test_a_refused_parameter_is_named_and_can_be_left_out(hostile: ModuleType) -> None:
    with hostile.serving(hostile.openai()["a refused seed"]) as url:
        assert "--omit seed" in str(ask(url))
    sent: list[bytes] = []

    def remember(connection: object, request: bytes) -> None:
        sent.append(request)
        hostile.body(hostile.message(content="look"))(connection, request)

    with hostile.serving(remember) as url:
        client = ChatClient(Endpoint("m", f"{url}/v1"), RequestLimits(), ["seed", "temperature"])
        client.complete([], **ASKED)
    assert b'"max_tokens"' in sent[0]
    assert b'"seed"' not in sent[0] and b'"temperature"' not in sent[0]
    with pytest.raises(InputError, match='no parameter to leave out "model"'):
        ChatClient(Endpoint("m", "http://127.0.0.1/v1"), RequestLimits(), ["model"])


# ---- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["\n", "\r\n", " ", "\x1b", "\u201c", "é", "\t", "\x7f"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"sk-first{inside}second")
    with pytest.raises(InputError, match=r"\$OPENAI_API_KEY") as caught:
        ChatClient(Endpoint("m", "http://127.0.0.1/v1"), RequestLimits())
    assert not {"first", "second"} & set(str(caught.value).split())
    assert "first" not in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [str, repr, json.dumps, lambda key: json.dumps(json.dumps(key)), lambda key: repr(repr(key)),
     lambda key: repr(json.dumps(key).encode()), quote,
     lambda key: re.sub("%..", lambda code: code[0].lower(), quote(key, safe="")),
     html.escape, lambda key: json.dumps(html.escape(key))],
)  # fmt: skip
def test_a_key_is_hidden_however_it_is_escaped(
    written: Callable[[str], str], key: str, hostile: ModuleType
) -> None:
    said = Key("OPENAI_API_KEY", "https://h").hidden(f"<{written(key)}>")
    assert "***" in said and not {"robust", "2vWn", "Zq8"} & set(re.split(r"\W+", said))


def test_hiding_a_key_takes_no_longer_for_what_resembles_it(key: str) -> None:
    began = time.process_time()
    Key("OPENAI_API_KEY", "https://h").hidden(key[:15] + "\\" * 2_000_000 + key[:14] * 99_999)
    assert time.process_time() - began < 5


def test_a_line_end_after_a_key_is_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", "sk-abcdefgh\r\n")
    assert Key("K", "https://h").hidden("<sk-abcdefgh>") == "<***>"


@pytest.mark.parametrize(
    "url", ["http://example.org/v1", "http://10.0.0.7:8000", "http://[2001:db8::1]/"]
)
def test_a_key_in_clear_over_a_network_is_noticed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K", "sk-abcdefgh")
    with pytest.warns(Notice, match="in clear"):
        Key("K", url)


@pytest.mark.parametrize(
    "url", ["https://example.org", "http://localhost:1", "http://127.9.9.9", "http://[::1]:8000/v1"]
)
def test_a_key_that_stays_here_or_is_encrypted_is_not(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K", "sk-abcdefgh")
    Key("K", url)


def test_a_placeholder_is_no_secret_in_what_a_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", "EMPTY")
    assert Key("K", "https://h").unsaid("the drawer is EMPTY") == "the drawer is EMPTY"


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [("3", 3.0), (" 0 ", 0.0), ("9" * 5000, 120.0), ("abc", None), ("-5", None), ("nan", None),
     ("", None), ("1.5", None), ("\u0663", None), ("Mon, 01 Jan 1990 00:00:00 GMT", 0.0),
     ("Fri, 31 Dec 9999 23:59:59 GMT", 120.0), ("Fri, 99 Foo 9999 99:99:99 GMT", None)],
)  # fmt: skip
def test_a_retry_after_that_is_none_asks_for_nothing(text: str, wait_s: float | None) -> None:
    assert retry_after_s(text) == wait_s


# ---- vLLM ---------------------------------------------------------------------------------------


def test_every_behaviour_of_a_vllm_server_is_one_short_sentence(
    hostile: ModuleType, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_server, "TIMEOUT_S", 1.5)
    monkeypatch.setattr(vllm_server, "RETRIES", 0)
    behaviours = hostile.vllm()
    assert len(behaviours) >= 25
    for name, behaviour in behaviours.items():
        with hostile.serving(behaviour) as url, pytest.raises((InputError, Unsuspected)) as caught:
            server = VLLMServer(url)
            server.restore()
            server.start((1, 2), PARAMS)
            [(_, said)] = server.finished(math.inf)
            raise Unsuspected(f"{said}")
        message = str(caught.value)
        assert isinstance(caught.value, InputError) or name == "choice: an unknown token", name
        assert "\n" not in message and len(message) < 600, (name, message)
        assert key[: len(key) // 2] not in message, name


class Unsuspected(Exception):
    """The server seems well; that it serves another model is found out with the model itself."""
