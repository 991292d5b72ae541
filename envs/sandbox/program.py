"""Inside, in a confined process: take one job from the channel and do it.

Three kinds of job: `script` runs a program as `__main__`; `serve` loads a program and answers
calls to what it defines; `examine` runs tests whose calls are answered elsewhere.

A call gets copies of its arguments. Where it returns None, as a function does that works in place,
the lists, dictionaries, sets and deques among them go back as they have become, and the tests see
them changed. Where it returns a value they do not: else a program could spoil what a test computes
the right value from.
"""

from __future__ import annotations

import linecache
import os
import random
import sys
import traceback
import types
from contextlib import suppress
from typing import Any

from layergym.envs.sandbox import examiner
from layergym.envs.sandbox.values import (
    CHANGEABLE,
    decode,
    encode,
    exception_name,
    read_frame,
    to_frame,
)

_FILE = "<program>"
_MAX_TEXT = 2000


class Channel:
    """Messages over a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Use `descriptor`, a connected stream socket."""
        self._file = os.fdopen(descriptor, "r+b", buffering=0)

    def send(self, message: Any) -> None:
        """Send one message, all of it."""
        frame = memoryview(to_frame(message))
        while frame:
            frame = frame[self._file.write(frame) :]

    def receive(self) -> Any:
        """Wait for one message."""
        return read_frame(self._file)

    def close(self) -> None:
        """Nothing more will be said."""
        self._file.close()


def main(descriptor: int) -> int:
    """Do the job that arrives; return the exit code."""
    channel = Channel(descriptor)
    job = channel.receive()
    random.seed(0)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        if job["kind"] == "script":
            channel.close()
            return _script(job["source"])
        if job["kind"] == "serve":
            return _serve(channel, job["source"])
        channel.send({"verdict": examiner.run_checks(channel, job)})
        return 0
    finally:
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def load(name: str, source: str) -> None:
    """Run `source` as the module `name`, which can be imported from then on."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    linecache.cache[_FILE] = (len(source), None, source.splitlines(keepends=True), _FILE)
    exec(compile(source, _FILE, "exec"), module.__dict__)


def _script(source: str) -> int:
    try:
        load("__main__", source)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.stderr.write(_trace(error))
        return 1
    return 0


def _trace(error: BaseException) -> str:
    """The traceback without the frames that are not the program's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == _FILE]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)]
    text = "".join([*lines, *traceback.format_exception_only(error)])
    return text if len(text) <= _MAX_TEXT else f"{text[:500]}\n...\n{text[-1000:]}"


def _serve(channel: Channel, source: str) -> int:
    try:
        load("solution", source)
    except BaseException as error:
        channel.send({"raised": [exception_name(type(error)), _short(error), _trace(error)]})
        return 1
    channel.send({"loaded": True})
    scope = sys.modules["solution"].__dict__
    objects: list[Any] = []
    while True:
        try:
            request = channel.receive()["ask"]
        except EOFError:
            return 0
        try:
            answer = _answer(request, scope, objects)
            to_frame(answer)
        except BaseException as error:
            answer = {"raised": [exception_name(type(error)), _short(error), _trace(error)]}
        channel.send(answer)


def _short(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except Exception:
        return ""


def _answer(request: dict[str, Any], scope: dict[str, Any], objects: list[Any]) -> dict[str, Any]:
    def keep(value: Any) -> Any:
        objects.append(value)
        return {"ref": len(objects) - 1}

    def argument(data: Any) -> Any:
        return decode(data, lambda number: objects[number])

    do = request["do"]
    if do == "name":
        return {"value": encode(_lookup(scope, request["name"]), keep)}
    target = argument(request["of"])
    if do == "call":
        arguments = [argument(item) for item in request["args"]]
        named = {key: argument(item) for key, item in request["named"].items()}
        value = target(*arguments, **named)
        if value is None:
            return {"value": None, "changed": _changed(request, [*arguments, *named.values()])}
        return {"value": encode(value, keep)}
    if do == "get":
        return {"value": encode(getattr(target, request["name"]), keep)}
    if do == "set":
        setattr(target, request["name"], argument(request["to"]))
        return {"value": None}
    return {"value": encode(list(target), keep)}


def _changed(request: dict[str, Any], arguments: list[Any]) -> Any:
    """The arguments that a call has changed in place, by their number or name, encoded.

    Those that now hold something that is not plain are left out.
    """
    came = [*enumerate(request["args"]), *request["named"].items()]
    changed = {}
    for (place, data), value in zip(came, arguments, strict=True):
        if isinstance(value, CHANGEABLE):
            with suppress(TypeError, RecursionError):
                if encode(value) != data:
                    changed[place] = value
    return encode(changed)


def _lookup(scope: dict[str, Any], name: str) -> Any:
    if name not in scope:
        raise NameError(f"the program does not define {name}")
    return scope[name]
