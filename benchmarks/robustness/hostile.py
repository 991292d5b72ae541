"""Servers that break the protocols of OpenAI's and vLLM's servers, on purpose, on this machine."""

from __future__ import annotations

import functools
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

KEY = 'sk-robust-Zq8!x/7\\k"2vWn'
"""What the client's environment holds, and what must be seen nowhere."""
MANY = 1 << 30
Behaviour = Callable[[socket.socket, bytes], None]
"""Answers a request (its head and body) on a connection, in whatever way."""


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of a server that behaves so, one thread per connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def accept() -> None:
        while not over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):
            connection.settimeout(20)
            while request := _request(connection):
                behaviour(connection, request)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(1 << 16)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-le")),
        0,
    )
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


# ---- ways to answer --------------------------------------------------------------------------


def head(status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def raw(*parts: bytes, pause_s: float = 0.0) -> Behaviour:
    """Send these bytes, then close."""

    def behave(connection: socket.socket, _: bytes) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        connection.shutdown(socket.SHUT_RDWR)

    return behave


def body(value: Any, status: str = "200 OK", **headers: str) -> Behaviour:
    """Send a whole answer and keep the connection."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()

    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head(status, Content_Length=str(len(data)), **headers) + data)

    return behave


def endless(start: bytes, more: bytes, pause_s: float = 0.0) -> Behaviour:
    """Send `start`, then `more` as long as anybody listens."""

    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        for _number in range(MANY):
            connection.sendall(more)
            time.sleep(pause_s)

    return behave


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": "stop"}]}


def counted(text: str) -> bytes:
    """A completion whose prompt tokens are this JSON."""
    whole = json.dumps(message(content="look") | {"usage": {"prompt_tokens": "@"}})
    return whole.replace('"@"', f'{text}, "completion_tokens": 3').encode()


def nested(depth: int = 100_000) -> bytes:
    return b"[" * depth + b"]" * depth


@functools.cache
def compressed_zeros(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(mebibytes)) + packer.flush()


def _chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


GOOD = json.dumps(message(content="look")).encode()
CHUNKS = head(Transfer_Encoding="chunked")
BYTES = head(Content_Length=str(MANY << 10))
SHORT = head(Content_Length=str(len(GOOD)))


@functools.cache
def openai() -> dict[str, Behaviour]:
    """Behaviours of a chat server, by name."""
    return _contents() | _shapes() | _counts() | _bodies() | _trickles() | _protocol() | _refusals()


def _contents() -> dict[str, Behaviour]:
    parts = [{"type": "text", "text": "lo"}, {"type": "image_url"}, "ok", None, 7, {"text": None}]
    said: dict[str, Any] = {
        "null": None, "number": 7, "truth": True, "object": {"text": "look"}, "parts": parts,
        "parts in parts": [[["look"]]], "no parts": [], 
        "escape sequences": "\x1b]52;c;aGk=\x07look",
        "a lone surrogate": "look \ud800", "null characters": "look\0\0",
        "eight million": "a" * 8_000_000,
        "many actions": "<action>" * 4000, "many ends": "</think>" * 50_000,
        "bidirectional": "\u202elook\u2066", "the key": f"my key is {KEY}",
    }  # fmt: skip
    found = {f"content: {name}": body(message(content=value)) for name, value in said.items()}
    for name, value in {"object": {"a": 1}, "list": ["a", {"text": "b"}], "number": 3}.items():
        found[f"reasoning: {name}"] = body(message(content="look", reasoning_content=value))
    found["tool calls only"] = body(message(content=None, tool_calls=[{"id": "x"}]))
    return found


def _shapes() -> dict[str, Behaviour]:
    wrong: dict[str, Any] = {
        "a list": [], "a text": "look", "a number": 3, "null": None, "no choices": {},
        "null choices": {"choices": None}, "choices in an object": {"choices": {"0": {}}},
        "empty choices": {"choices": []}, "null choice": {"choices": [None]},
        "null message": {"choices": [{"message": None}]},
        "a text as message": {"choices": [{"message": "look"}]},
        "a list as message": {"choices": [{"message": ["content"]}]},
        "odd reason": {"choices": [{"message": {"content": "look"}, "finish_reason": {"a": []}}]},
        "nothing": b"", "html": b"<html><body>Bad gateway</body></html>", "half": GOOD[:20],
        "not utf-8": b'{"choices": "\xff\xfe"}', "utf-16": GOOD.decode().encode("utf-16"),
        "a byte-order mark": b"\xef\xbb\xbf" + GOOD, "a constant": b"NaN", "two": GOOD + GOOD,
        "nested lists": nested(), "nested objects": b'{"a":' * 100_000,
        "nested content": json.dumps(message(content="@")).encode().replace(b'"@"', nested()),
        "key twice": GOOD[:-1] + b', "choices": 0}',
        "an error with 200": {"error": {"message": f"bad {KEY}"}},
        "the key as choices": {"choices": KEY},
    }  # fmt: skip
    return {f"body: {name}": body(value) for name, value in wrong.items()}


def _counts() -> dict[str, Behaviour]:
    odd = ("Infinity", "-Infinity", "NaN", "-5", "9" * 4000, "9" * 5000, "1e400", "true", '"7"',
           "null", "[7]", "{}", "7.5", "1e18", "-0.0", "99999999999999999999")  # fmt: skip
    found = {f"tokens: {text[:12]}": body(counted(text)) for text in odd}
    for name, value in {"a list": [1, 2], "a text": "7", "a number": 7, "empty": {}}.items():
        found[f"usage: {name}"] = body(message(content="look") | {"usage": value})
    return found


def _bodies() -> dict[str, Behaviour]:
    bomb = compressed_zeros(100)
    return {
        "endless body": endless(BYTES, b" " * (1 << 16)),
        "endless chunks": endless(CHUNKS, _chunked(b" " * (1 << 16))),
        "endless tiny chunks": endless(CHUNKS, _chunked(*[b" "] * 5000)),
        "endless trailers": endless(CHUNKS + _chunked(GOOD) + b"0\r\n", b"a: b\r\n" * 1000),
        "endless headers": endless(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 1000),
        "endless header": endless(b"HTTP/1.1 200 OK\r\na: ", b"b" * 10_000),
        "endless 100": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        "endless refusal": endless(head("503 Busy"), b"x" * (1 << 16)),
        "endless final refusal": endless(head("400 No"), b"x" * (1 << 16)),
        "a bomb": body(bomb, Content_Encoding="gzip"),
        "a bomb in a refusal": body(bomb, "503 Busy", Content_Encoding="gzip"),
        "a bomb in a bomb": body(gzip.compress(bomb), Content_Encoding="gzip, gzip"),
        "no gzip": body(GOOD, Content_Encoding="gzip"),
        "half a gzip": body(gzip.compress(GOOD)[:-9], Content_Encoding="gzip"),
        "an odd encoding": body(GOOD, Content_Encoding="rot13"),
        "many encodings": body(GOOD, Content_Encoding=", ".join(["gzip"] * 50)),
        "a bomb without a head": body(_deflated(100), Content_Encoding="deflate"),
        "a bomb in chunks": raw(
            head(Transfer_Encoding="chunked", Content_Encoding="gzip") + _chunked(bomb, b"")
        ),
        "after the gzip": body(gzip.compress(GOOD) + b"x" * 99, Content_Encoding="gzip"),
        "a gzip in a gzip": body(gzip.compress(gzip.compress(GOOD)), Content_Encoding="gzip"),
        "endless extensions": endless(CHUNKS + b"5;", b"a=b;" * 1000),
        "an odd charset": body(GOOD, Content_Type="application/json; charset=rot13"),
        "events": body(b"data: " + GOOD + b"\n\n", Content_Type="text/event-stream"),
        "lines": body(GOOD + b"\n" + GOOD),
    }


def _deflated(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mebibytes)) + packer.flush()


def _trickles() -> dict[str, Behaviour]:
    return {
        "slow body": endless(BYTES, b" ", 0.05),
        "slow chunks": endless(CHUNKS, b"1\r\n \r\n", 0.05),
        "slow size of a chunk": endless(CHUNKS, b"0", 0.05),
        "slow header": endless(b"HTTP/1.1 200 OK\r\na: ", b"b", 0.05),
        "slow status": endless(b"HTTP/1.1 200 ", b"O", 0.05),
        "slow refusal": endless(head("500 No", Content_Length="99999"), b"x", 0.05),
        "silence": endless(b"", b"", 5),
        "silence after the head": endless(SHORT, b"", 5),
    }


def _protocol() -> dict[str, Behaviour]:
    return {
        "closed at once": raw(),
        "closed in the head": raw(head()[:30]),
        "closed in the body": raw(SHORT + GOOD[:-5]),
        "closed in a chunk": raw(CHUNKS + b"ff\r\nabc"),
        "length below 0": raw(head(Content_Length="-5") + GOOD),
        "length no number": raw(head(Content_Length="many") + GOOD),
        "two lengths": raw(head(Content_Length="5")[:-2] + b"Content-Length: 9\r\n\r\n" + GOOD),
        "a length and chunks": raw(head(Content_Length="5", Transfer_Encoding="chunked") + GOOD),
        "a second answer unasked": body(GOOD + head(Content_Length=str(len(GOOD))) + GOOD),
        "many headers": raw(head(**{f"X{n}": "y" * 200 for n in range(90)}) + GOOD),
        "early hints": raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + SHORT + GOOD),
        "a header over two lines": raw(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n" + GOOD),
        "length twice": raw(head(Content_Length="3, 5") + GOOD),
        "length of 5000 digits": raw(head(Content_Length="9" * 5000) + GOOD),
        "too short": raw(head(Content_Length="7") + GOOD),
        "more than announced": body(GOOD + b" " * 5000, X="y"),
        "a chunk below 0": raw(CHUNKS + b"-5\r\nabc\r\n"),
        "a chunk without a size": raw(CHUNKS + b"zz\r\nabc\r\n"),
        "an enormous chunk": raw(CHUNKS + b"f" * 60 + b"\r\nabc\r\n"),
        "no http": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        "http 0.9": raw(GOOD),
        "http 3.0": raw(b"HTTP/3.0 200 OK\r\n\r\n" + GOOD),
        "binary": raw(bytes(range(256)) * 40),
        "tls": raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9),
        "a status of words": raw(b"HTTP/1.1 okay fine\r\n\r\n"),
        "status 999": body(GOOD, "999 Odd"),
        "status 99": body(GOOD, "99 Odd"),
        "status 101": raw(head("101 Switching", Upgrade="websocket") + GOOD),
        "status 204": raw(head("204 None")),
        "status 206": body(GOOD, "206 Part"),
        "a header without a colon": raw(b"HTTP/1.1 200 OK\r\nnothing\r\n\r\n" + GOOD),
        "a header with a null": raw(head(Content_Length="5", X="a\0b") + GOOD),
        "a header of surrogates": raw(b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\n\r\n" + GOOD),
        "cookies": raw(head(Set_Cookie="a=" + "b" * 9000 + "; Max-Age=abc") + GOOD),
        "redirect to itself": body(b"", "302 Found", Location="/v1/chat/completions"),
        "redirect to a file": body(b"", "307 There", Location="file:///etc/passwd"),
        "redirect to nowhere": body(b"", "301 There", Location="http://["),
    }


def _refusals() -> dict[str, Behaviour]:
    cut = {"error": {"message": "x" * (300 - len(KEY) // 2) + KEY}}
    waits = ("abc", "-5", "nan", "1e9", "Thu, 99 Foo 2026", "0", "\xb2", "",
             "Mon, 01 Jan 1990 00:00 GMT",
             "0x1", "Fri, 31 Dec 9999 99:99:99 GMT")  # fmt: skip
    found = {f"Retry-After: {w[:9]}": body(b"", "429 Slow", Retry_After=w) for w in waits}
    return found | {
        "the key in a redirect": body(b"", "302 Found", Location=f"http://x/?k={KEY}"),
        "the key in a header": body(b"", "401 No", WWW_Authenticate=f'Bearer error="{KEY}"'),
        "the key in a status": raw(f"HTTP/1.1 401 {KEY}\r\nContent-Length: 0\r\n\r\n".encode()),
        "the key in a broken status": raw(f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
        "the key as a length": raw(head(Content_Length=KEY) + GOOD),
        "the key as an encoding": body(GOOD, Content_Encoding=KEY),
        "the key as a chunk": raw(CHUNKS + KEY.encode() + b"\r\nabc\r\n"),
        "a wait in the past": body(b"", "503 Busy", Retry_After="-1e5"),
        "the key in a refusal": body({"error": {"message": f"no {KEY}"}}, "401 No"),
        "the key across the cut": body(cut, "401 No"),
        "the key in raw text": body(f"no {KEY}".encode(), "403 No"),
        "the key in odd json": body({"oops": [KEY]}, "403 No"),
        "escape sequences refused": body(b"\x1b[2J\x1b]0;title\x07no", "403 No"),
        "a nested refusal": body(nested(), "400 No"),
        "a nested message": body(b'{"error": {"message": ' + nested(900) + b"}}", "400 No"),
        "a refused seed": body({"error": {"message": "seed is not supported"}}, "400 No"),
        "a context that is full": body({"error": {"message": "context length"}}, "400 No"),
        "an odd refusal": body({"error": [1, {"message": {}}]}, "422 No"),
        "a null refusal": body({"error": None}, "500 No"),
    }


# ---- vLLM -----------------------------------------------------------------------------------


@functools.cache
def vllm() -> dict[str, Behaviour]:
    """Behaviours of a vLLM server, by name: one of its answers is not what it should be."""
    served = {"id": "policy", "root": "tiny", "max_model_len": 500}
    odd_models: dict[str, Any] = {
        "null": None, "a list": [], "no data": {}, "null data": {"data": None},
        "empty data": {"data": []}, "a text as data": {"data": "abc"},
        "null entry": {"data": [None]},
        "null id": {"data": [served | {"id": None}]}, "empty id": {"data": [served | {"id": ""}]},
        "null root": {"data": [served | {"root": None}]},
        "null length": {"data": [served | {"max_model_len": None}]},
        "length below 0": {"data": [served | {"max_model_len": -5}]},
        "length as text": {"data": [served | {"max_model_len": "500"}]},
        "endless length": {"data": [served | {"max_model_len": 1e400}]},
        "html": b"<html>", "nothing": b"", "nested": nested(),
    }  # fmt: skip
    found = {f"models: {n}": _vllm("/v1/models", body(v)) for n, v in odd_models.items()}
    ids, logprobs = [5] * 8, [-1.0] * 8
    odd_choices: dict[str, Any] = {
        "null": None, "no ids": {"logprobs": {"token_logprobs": logprobs}},
        "null ids": (None, logprobs), "empty": ([], []), "text ids": (["5"] * 8, logprobs),
        "ids below 0": ([-1] * 8, logprobs), "large ids": ([2**40] * 8, logprobs),
        "fractions": ([5.5] * 8, logprobs), "null logprobs": (ids, None),
        "a null among logprobs": (ids, [None, *logprobs[1:]]), "nan": (ids, [float("nan")] * 8),
        "infinity": (ids, [float("-inf")] * 8), "too few logprobs": (ids, logprobs[:3]),
        "too many ids": ([5] * 99, [-1.0] * 99), "ids in a text": ("55555555", logprobs),
        "truths": ([True] * 8, logprobs), "an unknown token": ([10**6] * 8, logprobs),
        "large logprobs": (ids, [int("9" * 400)] * 8),
    }  # fmt: skip
    for name, value in odd_choices.items():
        if isinstance(value, tuple):
            value = {"token_ids": value[0], "logprobs": {"token_logprobs": value[1]}}
        found[f"choice: {name}"] = _vllm("/v1/completions", body({"choices": [value]}))
    for name, value in {
        "null": None,
        "empty": {"choices": []},
        "a list": [1],
        "nested": nested(),
    }.items():
        found[f"completion: {name}"] = _vllm("/v1/completions", body(value))
    for name, value in {"null": None, "a list": [], "false": {"success": False}, "no": {}}.items():
        found[f"reset: {name}"] = _vllm("/reset_prefix_cache", body(value))
    refused = body({"detail": "x" * (300 - len(KEY) // 2) + KEY}, "500 No")
    return found | {
        "the key across the cut": _vllm("/collective_rpc", refused),
        "no such path": _vllm("/collective_rpc", body({"detail": "Not Found"}, "404 No")),
        "a redirect": _vllm("/v1/models", body(b"", "302 Found", Location="/v1/models")),
        "closed at once": raw(),
        "slow body": endless(BYTES, b" ", 0.05),
        "endless body": endless(BYTES, b" " * (1 << 16)),
        "a bomb": body(compressed_zeros(100), Content_Encoding="gzip"),
    }


_USUAL: Mapping[str, Any] = {
    "/v1/models": {"data": [{"id": "policy", "root": "tiny", "max_model_len": 500}]},
    "/collective_rpc": {"results": [None]},
    "/reset_prefix_cache": {"success": True},
    "/v1/completions": {
        "choices": [{"token_ids": [5] * 8, "logprobs": {"token_logprobs": [-1.0] * 8}}]
    },
}


def _vllm(path: str, odd: Behaviour) -> Behaviour:
    """A server of which one path behaves oddly."""
    usual = {name: body(value) for name, value in _USUAL.items()}

    def behave(connection: socket.socket, request: bytes) -> None:
        asked = request.split(b" ")[1].decode()
        (odd if asked == path else usual[asked])(connection, request)

    return behave
