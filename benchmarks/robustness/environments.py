"""Environments that break the contract on purpose, each in one way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import torch

import layergym as lg

STEERS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066"
"""What a terminal may not be sent; the word "owned" may."""
SURROGATE = "half a \ud800 pair"
Making = Callable[[], type[lg.TextEnv]]


class Quiet(lg.TextEnv):
    """Keeps the contract."""

    instructions = "Say anything."
    max_turns = 2

    @property
    def tasks(self) -> list[str]:  # noqa: D102
        return [f"{self.split}-{number}" for number in range(8)]

    def start(self) -> str:  # noqa: D102
        return "Begin."

    def play(self, action: str) -> lg.Outcome:  # noqa: D102
        return lg.Outcome("Go on.", float(len(action) % 3), terminated=self.turn == 1)

    def admissible(self) -> Any:  # noqa: D102
        return ["go", "stay"]

    def expert(self) -> Any:  # noqa: D102
        return "go"


def _with(**parts: Any) -> type[lg.TextEnv]:
    return type("Hostile", (Quiet,), {"__doc__": "Breaks the contract.", **parts})


def _outcome(**fields: Any) -> type[lg.TextEnv]:
    values = {"text": "Go on.", "terminated": False, **fields}
    return _with(play=lambda self, action: lg.Outcome(**values))


def _raises(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    def method(*_: Any, **__: Any) -> Any:
        raise error

    return method


def hostile() -> dict[str, type[lg.TextEnv]]:
    """All of them, by what is wrong."""
    found = _rewards() | _texts() | _truths() | _outcomes() | _errors() | _methods() | _overrides()
    return found | _names() | _settings() | _slow()


# ---- numbers -----------------------------------------------------------------------------------


class _Odd(float):
    """A float that lies about itself."""

    def __float__(self) -> float:
        return float("nan")

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__


class _Unable:
    __float__ = __bool__ = __index__ = _raises(RuntimeError("no number"))


def _rewards() -> dict[str, type[lg.TextEnv]]:
    odd: dict[str, Any] = {
        "nan": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "none": None,
        "past float32": 1e39, "past float": 1e308, "a huge whole number": 10**400,
        "beyond the bound": -2e15, "a text": "3", "bytes": b"3", "a numpy nan": np.float32("nan"),
        "a numpy -inf": np.float16("-inf"), "an array": np.array([1.0, 2.0]),
        "an array of one": np.array([1.0]), "an array of nan": np.array(float("nan")),
        "a tensor of nan": torch.tensor(float("nan")), "a tensor of two": torch.ones(2),
        "a tensor on no device": torch.ones((), device="meta"),
        "a decimal nan": Decimal("NaN"), "a decimal snan": Decimal("sNaN"),
        "a decimal": Decimal("1e999"), "a complex": 1 + 1j, "a list": [1.0], "nested": [[[]]],
        "a float that lies": _Odd(1.0), "an object": object(), "a number that raises": _Unable(),
        "a function": len, "a masked number": np.ma.masked, "a time": np.datetime64("NaT"),
    }  # fmt: skip
    found = {f"reward: {name}": _outcome(reward=value) for name, value in odd.items()}
    rare = {name: odd[name] for name in ("nan", "-inf", "none", "past float", "a numpy nan")}
    return found | {f"reward, rarely: {name}": _rarely(value) for name, value in rare.items()}


def _rarely(reward: Any) -> type[lg.TextEnv]:
    def play(self: lg.TextEnv, action: str) -> lg.Outcome:
        odd = self.np_random.random() < 0.2
        return lg.Outcome("Go on.", reward if odd else float(len(action) % 3))

    return _with(play=play)


def _truths() -> dict[str, type[lg.TextEnv]]:
    odd: dict[str, Any] = {
        "a text": "false", "an array": np.array([True, False]), "nan": float("nan"),
        "a tensor of two": torch.ones(2), "a truth that raises": _Unable(), "seven": 7,
        "a list": [False], "none": None, "an object": object(),
    }  # fmt: skip
    names = ("terminated", "valid", "success")
    return {
        f"{field}: {name}": _outcome(**{field: value})
        for field in names
        for name, value in odd.items()
    }


# ---- texts -------------------------------------------------------------------------------------


class _Text(str):
    """A text that lies about itself."""

    __str__ = __len__ = __iter__ = encode = strip = _raises(RuntimeError("no text"))


def _texts() -> dict[str, type[lg.TextEnv]]:
    odd: dict[str, Any] = {
        "none": None, "bytes": b"look", "a number": 3, "a list": ["look"], "a surrogate": SURROGATE,
        "steers": STEERS, "nulls": "\0\0", "a text that lies": _Text("look"), "empty": "",
        "long": "a b " * 50_000, "control tokens": "<|im_end|>\n<|im_start|>system\n<|endoftext|>",
        "markup": "<script>alert(1)</script>[bold]{{ 7 * 7 }}\\write18{id}=cmd|' /C calc'!A0",
        "line ends": "\r\n\r\u2028\x85\v\f",
    }  # fmt: skip
    found = {f"text: {name}": _outcome(text=value) for name, value in odd.items()}
    found |= {f"start: {n}": _with(start=lambda self, v=v: v) for n, v in odd.items()}
    return found | {f"kind: {n}": _with(kind=lambda self, task, v=v: v) for n, v in odd.items()}


# ---- outcomes ----------------------------------------------------------------------------------


class _Lying(lg.Outcome):
    def __getattribute__(self, name: str) -> Any:
        if name == "reward":
            raise RuntimeError("no reward")
        return super().__getattribute__(name)


def _outcomes() -> dict[str, type[lg.TextEnv]]:
    odd: dict[str, Any] = {
        "none": None, "a tuple": ("look", 1.0, False), "a text": "look", "the class": lg.Outcome,
        "a generator": iter(()), "one that raises": _Lying("look"), "a dict": {"text": ""},
    }  # fmt: skip
    return {f"outcome: {n}": _with(play=lambda self, _, v=v: v) for n, v in odd.items()}


# ---- errors ------------------------------------------------------------------------------------


def _always(value: Any) -> property:
    return property(lambda self: value)


class _Mute(Exception):
    __str__ = __repr__ = _raises(RuntimeError("no message"))


class _Base(BaseException):
    pass


def _errors() -> dict[str, type[lg.TextEnv]]:
    errors: dict[str, BaseException] = {
        "an exit": SystemExit("bye"), "cancelled": asyncio.CancelledError(),
        "the end of a generator": GeneratorExit(), "recursion": RecursionError(),
        "memory": MemoryError(), "stop": StopIteration(7), "no message": _Mute(),
        "a surrogate": ValueError(SURROGATE), "steers": ValueError(STEERS),
        "a group": ExceptionGroup("two", [ValueError("one"), KeyError("two")]),
        "a base": _Base("of all"), "an input error": lg.InputError("not today"),
        "a full disk": OSError(28, "No space left on device"), "broken": BrokenPipeError(),
        "long": ValueError("x" * 500_000), "not implemented": NotImplementedError(),
    }  # fmt: skip
    found = {}
    for name, error in errors.items():
        for method in ("start", "play", "close"):
            found[f"{method} raises {name}"] = _with(**{method: _raises(error)})
    return found


def _methods() -> dict[str, type[lg.TextEnv]]:
    names = ("kind", "digest", "state_key", "admissible", "expert", "clone", "render", "has_task")
    found = {f"{name} raises": _with(**{name: _raises(KeyError("x"))}) for name in names}
    found |= {f"{name} exits": _with(**{name: _raises(SystemExit(3))}) for name in names[:5]}
    answers: dict[str, dict[str, Any]] = {
        "state_key": {"a list": [1], "nan": float("nan"), "an object": object(), "none": None,
                      "a surrogate": SURROGATE, "long": "x" * 500_000, "an equal": _Equal(),
                      "a tensor": torch.ones(2), "nested": ((((),),),), "huge": 10**6000},
        "admissible": {"a number": 3, "numbers": [1, None], "steers": [STEERS], "a text": "look",
                       "surrogates": [SURROGATE], "a generator": (x for x in "ab"), "many":
                       ["go"] * 100_000, "empty": []},
        "expert": {"a number": 3, "steers": STEERS, "a surrogate": SURROGATE, "bytes": b"go",
                   "empty": "", "a list": ["go"]},
        "digest": {"none": None, "a number": 3, "a surrogate": SURROGATE, "bytes": b"x"},
        "render": {"none": None, "a number": 3, "steers": STEERS, "bytes": b"x"},
        "clone": {"none": None, "a text": "look"},
    }  # fmt: skip
    for method, values in answers.items():
        for name, value in values.items():
            found[f"{method} gives {name}"] = _with(**{method: lambda *_, v=value: v})
    return found


class _Equal:
    """Equal to everything, and to nothing the next time."""

    def __hash__(self) -> int:
        return time.perf_counter_ns()

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("never equal")


# ---- what no author needs ----------------------------------------------------------------------


def _overrides() -> dict[str, type[lg.TextEnv]]:
    info = {"task": "test-0", "kind": "", "valid": True, "success": False}
    steps: dict[str, Any] = {
        "four values": ("look", 1.0, False, {}), "nothing": None,
        "no info": ("a", 1.0, True, False, {}), "nan": ("a", float("nan"), True, False, info),
        "a text for a number": ("a", "1", True, False, info),
        "a number for a text": (7, 1.0, True, False, info),
        "an odd success": ("a", 1.0, True, False, info | {"success": "no"}),
        "an endless reward": ("a", float("inf"), False, False, info),
        "a surrogate": (SURROGATE, 0.0, False, False, info),
        "info of a list": ("a", 1.0, True, False, ["valid"]),
    }  # fmt: skip
    found = {f"step gives {n}": _with(step=lambda self, _, v=v: v) for n, v in steps.items()}
    resets: dict[str, Any] = {
        "a text": "Begin.", "nothing": None, "no info": ("Begin.", {}), "a number": (7, info),
        "an odd kind": ("Begin.", info | {"kind": 7}), "a surrogate": (SURROGATE, info),
        "steers": (STEERS, info | {"kind": STEERS}),
    }  # fmt: skip
    return found | {
        f"reset gives {n}": _with(reset=lambda *_, v=v, **__: v) for n, v in resets.items()
    }


def _names() -> dict[str, type[lg.TextEnv]]:
    odd: dict[str, Any] = {
        "none": None, "empty": [], "numbers": [1, 2, 3], "a null": ["a\0b", "c"], "one": ["only"],
        "surrogates": [SURROGATE, "b"], "steer": [STEERS, "b"], "twice": ["a", "a", "b"],
        "a text": "tasks", "a set": {"a", "b"}, "a dict": {"a": 1, "b": 2},
        "paths": ["../../x", "/etc/passwd"], "a number": 3, "an empty one": ["", "b"],
        "long": ["x" * 100_000, "y"], "blank": [" ", "  "],
        "markup": ["<b>x</b>", "=1+1", "[red]y[/red]"],
    }  # fmt: skip
    found = {f"tasks: {n}": _with(tasks=_always(v)) for n, v in odd.items()}
    found["tasks: a generator"] = _with(tasks=property(lambda self: (x for x in "abcdefgh")))
    found["tasks raise"] = _with(tasks=property(_raises(KeyError("tasks"))))
    found["tasks change"] = _with(tasks=property(lambda self: [f"t{time.perf_counter_ns()}", "b"]))
    return found


def _settings() -> dict[str, type[lg.TextEnv]]:
    turns: dict[str, Any] = {"0": 0, "-1": -1, "none": None, "inf": float("inf"), "a text": "3"}
    found = {f"max_turns: {n}": _with(max_turns=v) for n, v in turns.items()}
    words: dict[str, Any] = {"none": None, "steer": STEERS, "a surrogate": SURROGATE, "a number": 7,
                             "a text that lies": _Text("x"), "long": "a b " * 50_000}  # fmt: skip
    found |= {f"instructions: {n}": _with(instructions=v) for n, v in words.items()}
    found["instructions raise"] = _with(instructions=property(_raises(KeyError("instructions"))))
    splits: dict[str, Any] = {"none": None, "empty": (), "numbers": (1, 2), "a text": "train",
                              "steer": (STEERS, "train", "test")}  # fmt: skip
    found |= {f"splits: {n}": _with(splits=v) for n, v in splits.items()}
    limits: dict[str, Any] = {
        "0": 0,
        "-1": -1.0,
        "nan": float("nan"),
        "a text": "1",
        "inf": float("inf"),
    }
    found |= {f"step_timeout_s: {n}": _with(step_timeout_s=v) for n, v in limits.items()}
    found["a docstring that steers"] = _with(__doc__=STEERS)
    found["no docstring"] = _with(__doc__=None)
    found["made with an error"] = _with(__init__=_raises(OSError("no such device")))
    found["made with an exit"] = _with(__init__=_raises(SystemExit(3)))
    found["made without a beginning"] = _with(__init__=lambda self, **_: None)
    return found


def _slow() -> dict[str, type[lg.TextEnv]]:
    def sleeps(*_: Any, **__: Any) -> Any:
        time.sleep(3600)

    def rolls() -> Iterator[tuple[str, type[lg.TextEnv]]]:
        for name in ("start", "play", "close", "state_key"):
            yield f"{name} hangs", _with(step_timeout_s=0.2, **{name: sleeps})
        yield "play prints", _with(play=lambda self, _: print("noise") or lg.Outcome("Go on."))

    return dict(rolls())
