"""Inside, in a confined process of its own: run tests whose subject lives in another process.

The names under test are bound to stand-ins. Using one sends a request out through the channel;
the sandbox passes it on to the process that holds the program, and its answer back. So the
expected values and the comparison are here, and the program is there.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from layergym.envs.sandbox.values import builtin_exception, decode, encode, refill

_MAX_SHOWN = 200
_MAX_TRACE = 2000
_NONE: Mapping[Any, Any] = MappingProxyType({})


class Link(Protocol):
    """Where requests go."""

    def send(self, message: Any) -> None:
        """Send one message."""

    def receive(self) -> Any:
        """Wait for one message."""


class RemoteError(Exception):
    """The program raised something that is not a plain built-in exception, or is gone."""


class Remote:
    """A stand-in for an object in the program's process.

    It can be called, iterated, and its attributes read and set. It has no truth value and equals
    only itself, so no object of the program's own making can satisfy a test by being peculiar.
    """

    __slots__ = ("_exam", "_number")

    def __init__(self, exam: Exam, number: int) -> None:
        """Stand for the object that the other side keeps under `number`."""
        object.__setattr__(self, "_exam", exam)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call it there, with copies of plain arguments; see `program` for what changes in them."""
        return self._exam.ask(
            dict(enumerate(args)) | named,
            do="call",
            of={"ref": self._number},
            args=[self._exam.encode(item) for item in args],
            named={key: self._exam.encode(item) for key, item in named.items()},
        )

    def __getattr__(self, name: str) -> Any:
        """Read an attribute there."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self._exam.ask(do="get", of={"ref": self._number}, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute there."""
        to = self._exam.encode(value)
        self._exam.ask(do="set", of={"ref": self._number}, name=name, to=to)

    def __iter__(self) -> Any:
        """Iterate over a copy of its items."""
        return iter(self._exam.ask(do="list", of={"ref": self._number}))

    def __bool__(self) -> bool:
        """Refuse: a test must not pass because an object exists."""
        raise TypeError("the program returned an object that is not a plain value")

    def __repr__(self) -> str:
        """Say what it is."""
        return "<object of the program>"


class Exam:
    """The connection to the program, and the last thing it said."""

    def __init__(self, link: Link) -> None:
        """Send requests over `link`."""
        self._link = link
        self.last = ""

    def encode(self, value: Any) -> Any:
        """Encode an argument; a stand-in becomes a reference again."""

        def reference(item: Any) -> Any:
            if isinstance(item, Remote):
                return {"ref": item._number}
            raise TypeError(f"a test cannot pass a {type(item).__name__} to the program")

        return encode(value, reference)

    def ask(self, arguments: Mapping[Any, Any] = _NONE, /, **request: Any) -> Any:
        """Have something done in the program's process.

        Args:
            arguments: of a call, by number or name; the program may have them changed.
            **request: what to do.

        Raises:
            Exception: what the program raised, when it is a plain built-in exception.
            RemoteError: anything else it raised, or the program is gone.
        """
        self._link.send({"ask": request})
        name, text, trace, value = self._answer(arguments)
        if name:
            self.last = (trace or f"{name}: {text}").strip()[-_MAX_TRACE:]
            raise _exception(name, text)
        self.last = f"returned {_shown(value)}"
        return value

    def _answer(self, arguments: Mapping[Any, Any]) -> tuple[str, str, str, Any]:
        """What was raised (name, text, traceback), or empty texts and a value.

        The program can write anything to its channel, so none of it may look like an exception of
        its own, or like a fault of the tests.
        """
        try:
            match self._link.receive():
                case {"raised": [str(name), str(text), str(trace)]} if name:
                    return name, text, trace, None
                case {"value": None, "changed": {"dict": _} as data}:
                    for place, value in decode(data).items():
                        refill(arguments.get(place), value)
                    return "", "", "", None
                case {"value": data}:
                    return "", "", "", decode(data, lambda number: Remote(self, int(number)))
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            pass
        return "TamperingError", "the program tampered with its channel", "", None


def _exception(name: str, text: str) -> Exception:
    kind = builtin_exception(name)
    return kind(text) if kind else RemoteError(f"{name}: {text}")


def _shown(value: Any) -> str:
    try:
        return repr(value)[:_MAX_SHOWN]
    except ValueError:  # a whole number of more digits than Python writes
        return "a value with too many digits to show"


def _compare_shapes() -> None:
    """Make NumPy's comparisons in tests hold for equal shapes only.

    They stretch one side to the other's shape, so that an empty list equals every number.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    for module, names in (
        (numpy, ("allclose", "isclose", "array_equiv")),
        (sys.modules.get("numpy.testing"), _ASSERTIONS),
    ):
        for name in names if module else ():
            setattr(module, name, _of_one_shape(getattr(module, name), numpy))


_ASSERTIONS = (
    *("assert_allclose", "assert_almost_equal", "assert_array_equal"),
    *("assert_array_almost_equal", "assert_array_less"),
)


def _of_one_shape(compare: Callable[..., Any], numpy: Any) -> Callable[..., Any]:
    @functools.wraps(compare)
    def compared(*args: Any, **named: Any) -> Any:
        sides = [*args[:2], *(named[name] for name in _SIDES if name in named)]
        first, second = (numpy.shape(side) for side in sides[:2])
        if first != second:
            raise AssertionError(f"shape {first} is not {second}")
        return compare(*args, **named)

    return compared


_SIDES = ("actual", "desired", "a", "b", "x", "y")


def run_checks(link: Link, job: dict[str, Any]) -> list[list[Any]]:
    """Run the checks of a suite.

    Args:
        link: where requests to the program go.
        job: `setup` (source); `names` (here to there), bound to stand-ins; and `steps`, pairs of
            source and whether it is a check (else it prepares what follows).

    Returns:
        For each check, in order: whether it passed, and what happened last.
    """
    _compare_shapes()
    exam = Exam(link)
    scope: dict[str, Any] = {"__name__": "tests"}
    results: list[list[Any]] = []
    broken = _run(job["setup"], scope)
    for local, name in job["names"].items():
        try:
            scope[local] = exam.ask(do="name", name=name)
        except Exception as error:
            broken = broken or f"{type(error).__name__}: {error}"
    for source, is_check in job["steps"]:
        exam.last = ""
        failure = broken or _run(source, scope)
        if is_check:
            results.append([not failure, _explain(failure, exam.last)])
        else:
            broken = failure
    return results


def _explain(failure: str, last: str) -> str:
    if failure in ("", "AssertionError") or last.startswith("Traceback"):
        return last
    return f"{failure} ({last})" if last else failure


def _run(source: str, scope: dict[str, Any]) -> str:
    """Execute `source`; return what went wrong, empty when nothing did."""
    try:
        exec(compile(source, "<tests>", "exec"), scope)
    except AssertionError:
        return "AssertionError"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:_MAX_SHOWN]}"
    return ""
