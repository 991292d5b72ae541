"""Python values as JSON, and messages as frames: how data crosses between processes.

Only plain values cross: None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset,
dict and its views, range, deque, Decimal, Fraction, dates and times, instances of their subclasses
as the plain type, and the built-in types themselves. NumPy's scalars cross as Python's and its
arrays as lists. So an object that claims to equal everything arrives as an opaque reference, or not
at all.
"""

from __future__ import annotations

import builtins
import json
import sys
from collections import Counter, deque
from collections.abc import Callable, ItemsView, Iterable, KeysView, ValuesView
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Protocol

_EXACT_IN_JSON = 2**53
_MAX_CHAIN = 256  # keys that share a key's hash, on average
CHANGEABLE = (list, dict, set, deque)
"""The plain values that a call can change in place."""
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
    for tag, kind, parts in _KINDS:
        if isinstance(value, kind):
            return {tag: [encode(item, opaque) for item in parts(value)]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    if _is_builtin_type(value):
        return {"type": value.__name__}
    known, python = _from_numpy(value)
    if known:
        return encode(python, opaque)
    if opaque is None:
        raise TypeError(f"a {type(value).__name__} cannot leave the sandbox; return plain values")
    return opaque(value)


# Tag, type, and the values it is made of; `_DECODERS` makes it of them again.
_KINDS: tuple[tuple[str, type, Callable[[Any], Any]], ...] = (
    ("tuple", tuple, iter),
    ("frozenset", frozenset, iter),
    ("set", set, iter),
    ("dict", dict, lambda value: [list(pair) for pair in value.items()]),
    ("keys", KeysView, iter),
    ("items", ItemsView, lambda value: [list(pair) for pair in value]),
    ("values", ValuesView, iter),
    ("complex", complex, lambda value: (value.real, value.imag)),
    ("range", range, lambda value: (value.start, value.stop, value.step)),
    ("deque", deque, iter),
    ("fraction", Fraction, lambda value: (value.numerator, value.denominator)),
    ("decimal", Decimal, lambda value: (str(value),)),
    ("datetime", datetime, lambda value: (value.isoformat(),)),
    ("date", date, lambda value: (value.isoformat(),)),
    ("time", time, lambda value: (value.isoformat(),)),
    ("timedelta", timedelta, lambda value: (value.days, value.seconds, value.microseconds)),
)


def _from_numpy(value: Any) -> tuple[bool, Any]:
    """Whether `value` is NumPy's, and as Python's; a short float by its shortest digits."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False, None
    if isinstance(value, numpy.ndarray):
        if value.dtype in (numpy.float16, numpy.float32):
            value = numpy.array([float(str(item)) for item in value.flat]).reshape(value.shape)
        return True, value.tolist()
    if isinstance(value, numpy.float16 | numpy.float32 | numpy.longdouble):
        return True, float(str(value))
    if isinstance(value, numpy.complexfloating):
        return True, complex(value)
    if isinstance(value, numpy.bool_ | numpy.number):
        return True, value.item()
    return False, None


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
    "bytes": lambda inner, _: bytes.fromhex(inner),
    "type": lambda inner, _: _builtin_type(inner),
    "complex": lambda inner, item: complex(*map(item, inner)),
    "tuple": lambda inner, item: tuple(map(item, inner)),
    "set": lambda inner, item: set(_hashable(map(item, inner))),
    "frozenset": lambda inner, item: frozenset(_hashable(map(item, inner))),
    "dict": lambda inner, item: _pairs(inner, item),
    "keys": lambda inner, item: dict.fromkeys(_hashable(map(item, inner))).keys(),
    "items": lambda inner, item: _pairs(inner, item).items(),
    "values": lambda inner, item: dict(enumerate(map(item, inner))).values(),
    "range": lambda inner, item: range(*map(item, inner)),
    "deque": lambda inner, item: deque(map(item, inner)),
    "fraction": lambda inner, item: _fraction(*map(item, inner)),
    "decimal": lambda inner, _: _decimal(*inner),
    "datetime": lambda inner, _: datetime.fromisoformat(*inner),
    "date": lambda inner, _: date.fromisoformat(*inner),
    "time": lambda inner, _: time.fromisoformat(*inner),
    "timedelta": lambda inner, item: timedelta(*map(item, inner)),
}


def _fraction(over: Any, under: Any) -> Fraction:
    if not (isinstance(over, int) and isinstance(under, int) and under):
        raise ValueError("a fraction is made of two whole numbers, the second not 0")
    return Fraction(over, under)


def _decimal(text: Any) -> Decimal:
    try:
        return Decimal(text if isinstance(text, str) else "")
    except InvalidOperation:
        raise ValueError("a decimal is made of a text of digits") from None


def _pairs(inner: Any, item: Callable[[Any], Any]) -> dict[Any, Any]:
    keys = _hashable(item(key) for key, _ in inner)
    return dict(zip(keys, [item(value) for _, value in inner], strict=True))


def _hashable(keys: Iterable[Any]) -> list[Any]:
    """The keys, unless so many share a hash that putting them into a table takes for ever."""
    listed = list(keys)
    shared = Counter(map(hash, listed)).values()
    if sum(count * count for count in shared) > _MAX_CHAIN * len(listed):
        raise ValueError("too many keys of a set or dict share a hash")
    return listed


def refill(old: Any, new: Any) -> None:
    """Give one changeable value the items of another of its kind.

    Raises:
        TypeError: they are not of one kind that can be changed.
    """
    kind = next((kind for kind in CHANGEABLE if isinstance(old, kind)), None)
    if kind is None or not isinstance(new, kind):
        raise TypeError(f"a {type(old).__name__} cannot be filled from a {type(new).__name__}")
    old.clear()
    (old.update if isinstance(old, dict | set) else old.extend)(new)


# Those that would steer the loops of who raises them again, and those that take other arguments.
_NOT_RAISED = (
    *(StopIteration, StopAsyncIteration, ExceptionGroup),
    *(UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError),
)


def exception_name(kind: type[BaseException]) -> str:
    """The name under which an exception crosses: that of the nearest built-in one it derives from.

    Its own name, where that one is `Exception`, or may not be raised again.
    """
    nearest = next(base for base in kind.__mro__ if vars(builtins).get(base.__name__) is base)
    if issubclass(kind, StopIteration | StopAsyncIteration) or nearest is Exception:
        return str(kind.__name__)
    while nearest in _NOT_RAISED:
        nearest = nearest.__mro__[1]
    return str(nearest.__name__)


def builtin_exception(name: str) -> type[Exception] | None:
    """The built-in exception of this name, None where it is not one to be raised with a text."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and kind not in _NOT_RAISED:
        return kind
    return None


def to_frame(message: Any) -> bytes:
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
