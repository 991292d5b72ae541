"""Python values as JSON, and messages as frames: how data crosses between processes.

Only plain values cross: None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset,
dict, instances of their subclasses as the plain type, and the built-in types themselves. So an
object that claims to equal everything arrives as an opaque reference, or not at all.
"""

from __future__ import annotations

import builtins
import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

_EXACT_IN_JSON = 2**53
_MAX_CHAIN = 256  # keys that share a key's hash, on average
MAX_FRAME = 4 * 2**20
"""Longest message of a frame in bytes; a longer one ends the run."""


class Stream(Protocol):
    """What a frame is read from: `read(n)` returns at most n bytes, none at the end."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""


def encode(value: Any, opaque: Callable[[Any], Any] | None = None) -> Any:
    """Turn `value` into what `json.dumps` takes.

    Args:
        value: the value; containers may be nested.
        opaque: called with anything that is not plain; returns its JSON form.

    Raises:
        TypeError: something is not plain and there is no `opaque`.
        RecursionError: `value` is nested too deeply, or contains itself.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return _scalar(value)
    if isinstance(value, list):
        return [encode(item, opaque) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item, opaque) for item in value]}
    if isinstance(value, set | frozenset):
        return {"set": [encode(item, opaque) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, opaque), encode(v, opaque)] for k, v in value.items()]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    if _is_builtin_type(value):
        return {"type": value.__name__}
    if opaque is None:
        raise TypeError(f"a {type(value).__name__} cannot leave the sandbox; return plain values")
    return opaque(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if value is None or isinstance(value, bool) or -_EXACT_IN_JSON < value < _EXACT_IN_JSON:
        return value
    return {"int": hex(value)}


def decode(data: Any, opaque: Callable[[Any], Any] | None = None) -> Any:
    """Undo `encode`. `opaque` gets what is inside {"ref": ...}.

    Raises:
        ValueError: `data` is not what `encode` makes, or was made to be slow.
        TypeError: a set or dict holds something unhashable.
        OverflowError: a number in it is too large for its kind.
        RecursionError: it is nested too deeply.
    """
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if isinstance(data, list):
        return [decode(item, opaque) for item in data]
    if isinstance(data, dict) and len(data) == 1:
        (tag, inner), *_ = data.items()
        if tag == "ref" and opaque is not None:
            return opaque(inner)
        if tag in _DECODERS:
            return _DECODERS[tag](inner, lambda item: decode(item, opaque))
    raise ValueError(f"not an encoded value: {str(data)[:80]}")


def _is_builtin_type(value: Any) -> bool:
    return isinstance(value, type) and vars(builtins).get(value.__name__) is value


def _builtin_type(name: str) -> type:
    value = getattr(builtins, name, None)
    if not isinstance(value, type):
        raise ValueError(f"{name} is not a built-in type")
    return value


_DECODERS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "int": lambda inner, _: int(inner, 16),
    "complex": lambda inner, _: complex(*inner),
    "bytes": lambda inner, _: bytes.fromhex(inner),
    "type": lambda inner, _: _builtin_type(inner),
    "tuple": lambda inner, item: tuple(map(item, inner)),
    "set": lambda inner, item: set(_hashable(map(item, inner))),
    "dict": lambda inner, item: dict(
        zip(_hashable(item(k) for k, _ in inner), [item(v) for _, v in inner], strict=True)
    ),
}


def _hashable(keys: Iterable[Any]) -> list[Any]:
    """The keys, unless so many share a hash that putting them into a table takes for ever."""
    found = list(keys)
    shared = Counter(map(hash, found)).values()
    if sum(count * count for count in shared) > _MAX_CHAIN * len(found):
        raise ValueError("too many keys of a set or dict share a hash")
    return found


def pack(message: Any) -> bytes:
    """One frame: four bytes of length, big-endian, and the message as JSON.

    Raises:
        ValueError: the message is longer than a frame may be.
    """
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    body = text.encode("utf-8", "surrogatepass")
    if len(body) > MAX_FRAME:
        raise ValueError(f"{len(body)} bytes are more than the {MAX_FRAME} that may cross")
    return frame(body)


def frame(body: bytes) -> bytes:
    """The frame of a message that is JSON already."""
    return len(body).to_bytes(4, "big") + body


def parsed(body: bytes) -> Any:
    """The message in a frame; None when it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read_frame(stream: Stream) -> Any:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
    """
    size = int.from_bytes(_exactly(stream, 4), "big")
    return json.loads(_exactly(stream, size))


def _exactly(stream: Stream, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError("the other side closed the channel")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def split_frame(buffer: bytearray) -> bytes | None:
    """Take the first complete frame's body off `buffer`, or None when it is not all there.

    Raises:
        ValueError: the frame is longer than a frame may be.
    """
    if len(buffer) < 4:
        return None
    size = int.from_bytes(buffer[:4], "big")
    if size > MAX_FRAME:
        raise ValueError("a frame is too long")
    if len(buffer) < 4 + size:
        return None
    body = bytes(memoryview(buffer)[4 : 4 + size])
    del buffer[: 4 + size]
    return body
