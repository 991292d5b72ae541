"""What passes from an environment to those who play it: plain texts, numbers and truths.

Authors return what their libraries give (NumPy's booleans and scalars, tensors of one number).
Here it becomes `str`, `float` and `bool`, or a `ContractError` that ends the episode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from layergym.base.errors import ContractError, InputError
from layergym.base.texts import whole_texts

LARGEST_REWARD = 1e15
"""Largest size of a reward: sums over an episode, and their squares, stay finite in 32 bits."""

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def safe_text(value: Any, what: str) -> str:
    """`value` as a plain text that can be encoded; a lone surrogate becomes U+FFFD.

    Raises:
        ContractError: it is not a text; `what` names it in the message.
    """
    if not isinstance(value, str):
        raise ContractError(f"{what} is a {type(value).__name__}; it must be a str")
    return whole_texts(str.__str__(value))


def number(value: Any, what: str) -> float:
    """`value` as a float.

    Raises:
        ContractError: it is not one number, not finite, or beyond `LARGEST_REWARD`.
    """
    if isinstance(value, str | bytes) or _many(value):
        raise ContractError(f"{what} is {_shown(value)}; it must be one number")
    try:
        as_float = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ContractError(f"{what} is {_shown(value)}; it must be one number") from None
    if not abs(as_float) <= LARGEST_REWARD:
        raise ContractError(
            f"{what} is {as_float}; it must be finite, and at most {LARGEST_REWARD:g} in size"
        )
    return as_float


def truth(value: Any, what: str) -> bool:
    """`value` as True or False.

    Raises:
        ContractError: it is neither of them, nor 1 or 0: a text, an array, NaN, None.
    """
    if isinstance(value, str | bytes) or _many(value) or value not in (False, True):
        raise ContractError(f"{what} is {_shown(value)}; it must be True or False")
    return bool(value)


@dataclass(frozen=True, slots=True)
class StepParts:
    """What `step` gave, plain."""

    text: str
    reward: float
    terminated: bool
    truncated: bool
    valid: bool
    success: bool


def stepped(answer: Any) -> StepParts:
    """What `step` gave: `TextEnv`'s is plain already, but a subclass may have replaced it.

    Raises:
        ContractError: it is not five values, one of them is not what it must be, or `info` lacks
            "valid" or "success".
    """
    if not isinstance(answer, tuple) or len(answer) != 5:
        raise ContractError("step() must give five values: do not override it")
    text, reward, terminated, truncated, info = answer
    return StepParts(
        safe_text(text, "the text of a step"),
        number(reward, "the reward of a step"),
        truth(terminated, "terminated"),
        truth(truncated, "truncated"),
        *(truth(_given(info, name), f"info[{name!r}]") for name in ("valid", "success")),
    )


def started(answer: Any) -> tuple[str, str]:
    """The first observation and the kind of task that `reset` gave, as `stepped`.

    Raises:
        ContractError: it is not two values, one of them is no text, or `info` lacks "kind".
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ContractError("reset() must give two values: do not override it")
    text, info = answer
    return safe_text(text, "what reset() gives"), safe_text(_given(info, "kind"), "info['kind']")


def _given(info: Any, name: str) -> Any:
    if not isinstance(info, Mapping) or name not in info:
        raise ContractError(f'info lacks "{name}": do not override step() or reset()')
    return info[name]


def task_id(value: Any) -> str:
    """`value` as the id of a task, which is written into files, tables and hashes.

    Raises:
        InputError: it is not a text, is empty, or holds control characters or lone surrogates.
    """
    if not isinstance(value, str) or not value or _UNFIT.search(value):
        raise InputError(
            f"the task id {value!r} cannot be used; an id is a text without control characters "
            "and lone surrogates"
        )
    return str.__str__(value)


def task_ids(given: Any) -> list[str]:
    """The ids of an environment's tasks, sorted.

    Raises:
        InputError: it is not a sequence of ids, or one is there twice.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"`tasks` is {_shown(given)}; it must be a list of ids")
    tasks = sorted(map(task_id, given))
    twice = next((one for one, other in pairwise(tasks) if one == other), None)
    if twice is not None:
        raise InputError(f'`tasks` names "{twice}" twice; ids must be unique')
    return tasks


def digest(of: Callable[[str], Any], task: str) -> str:
    """What `of`, an environment's `digest`, says about `task`.

    Raises:
        InputError: it raises, or gives no text.
    """
    try:
        return safe_text(of(task), "it")
    except Exception as error:
        raise InputError(
            f'digest("{task}") failed ({type(error).__name__}: {error}); it must give a text for '
            "every task"
        ) from error


def _many(value: Any) -> bool:
    """Whether it is an array with a shape, of one element or more."""
    return getattr(value, "ndim", None) not in (None, 0)


def _shown(value: Any) -> str:
    return f"the {type(value).__name__} {repr(value)[:40]}"
