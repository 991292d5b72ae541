"""Inside, in a confined process: take one job from the channel and do it.

Three kinds of job: `script` runs a program as `__main__`; `serve` loads a program and answers
calls to what it defines; `examine` runs tests whose calls are answered elsewhere.
"""

from __future__ import annotations

import linecache
import os
import random
import sys
import traceback
import types
from typing import Any

from layergym.envs.sandbox import examiner
from layergym.envs.sandbox.values import decode, encode, exception_name, read_frame, to_frame

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
            answer = {"value": _answer(request, scope, objects)}
            to_frame(answer)
        except BaseException as error:
            answer = {"raised": [exception_name(type(error)), _short(error), _trace(error)]}
        channel.send(answer)


def _short(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except Exception:
        return ""


def _answer(request: dict[str, Any], scope: dict[str, Any], objects: list[Any]) -> Any:
    def keep(value: Any) -> Any:
        objects.append(value)
        return {"ref": len(objects) - 1}

    def argument(data: Any) -> Any:
        return decode(data, lambda number: objects[number])

    do = request["do"]
    if do == "name":
        return encode(_lookup(scope, request["name"]), keep)
    target = argument(request["of"])
    if do == "call":
        arguments = [argument(item) for item in request["args"]]
        named = {key: argument(item) for key, item in request["named"].items()}
        return encode(target(*arguments, **named), keep)
    if do == "get":
        return encode(getattr(target, request["name"]), keep)
    if do == "set":
        setattr(target, request["name"], argument(request["to"]))
        return None
    return encode(list(target), keep)


def _lookup(scope: dict[str, Any], name: str) -> Any:
    if name not in scope:
        raise NameError(f"the program does not define {name}")
    return scope[name]
