"""Names of environments: register one, list them, make one.

Ids are Gymnasium's: `namespace/Name-v0`. The version rises when text, reward or dynamics change.
Everything registered here also resolves through `gymnasium.make`. Other packages register through
the entry-point group `layergym.envs` (entry name = id, value = `module:Class`); nothing of theirs
is imported before one of their environments is made.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import entry_points
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import EnvCreator, load_env_creator
from gymnasium.error import Error

from layergym.base.errors import InputError, unknown
from layergym.envs.core import TextEnv

GROUP = "layergym.envs"
_ids: set[str] = set()


def register(id: str, entry_point: str | type[TextEnv], **kwargs: Any) -> None:
    """Register an environment under `id`, here and with Gymnasium.

    Args:
        id: `[namespace/]Name-v0`.
        entry_point: a `TextEnv` subclass, or `"module:Class"`, imported when first made.
        **kwargs: constructor arguments, which `make` can override.

    Raises:
        InputError: the id is malformed or already taken by something else.
    """
    taken = gymnasium.registry.get(id)
    if taken is not None:
        if (taken.entry_point, taken.kwargs) == (entry_point, kwargs):
            return
        raise InputError(f'the id "{id}" is taken by {taken.entry_point}; choose another name')
    try:
        creator = cast(EnvCreator | str, entry_point)
        gymnasium.register(id, creator, kwargs=kwargs, disable_env_checker=True)
    except Error as error:
        raise InputError(f'"{id}" is not an environment id: {error}') from error
    _ids.add(id)


@cache
def load_plugins() -> None:
    """Register every environment that installed packages announce; looked up once a process."""
    for point in entry_points(group=GROUP):
        if point.name not in gymnasium.registry:
            register(point.name, point.value)


def ids() -> list[str]:
    """All registered ids, sorted."""
    load_plugins()
    return sorted(_ids)


def find(name: str) -> str:
    """The full id for `name`, whose namespace may be left out and whose case does not matter.

    Raises:
        InputError: there is none, or more than one.
    """
    load_plugins()
    if name in _ids:
        return name
    known = sorted(_ids)
    wanted = name.lower()
    loose = [i for i in known if wanted in (i.lower(), i.lower().rpartition("/")[2])]
    if len(loose) == 1:
        return loose[0]
    if loose:
        raise InputError(f'"{name}" could be {" or ".join(loose)}; give the namespace')
    short = {i.lower().rpartition("/")[2] if "/" not in wanted else i.lower() for i in known}
    raise unknown("environment", name, short)


def make(name: str, *, step_timeout_s: float | None = None, **kwargs: Any) -> TextEnv:
    """Make an environment without Gymnasium's wrappers.

    Args:
        name: its id; the namespace may be left out.
        step_timeout_s: replaces `TextEnv.step_timeout_s`, where given.
        **kwargs: settings of the environment.

    Raises:
        InputError: the name is unknown, a setting is missing or does not fit, or it is not a
            `TextEnv`.
    """
    id = find(name)
    try:
        env = gymnasium.make(id, disable_env_checker=True, **kwargs).unwrapped
    except TypeError as error:
        raise _misfit(id, error) from error
    if not isinstance(env, TextEnv):
        raise InputError(f"{id} is a {type(env).__name__}, not a layergym.TextEnv; wrap it in one")
    if step_timeout_s is not None:
        if not step_timeout_s > 0:
            raise InputError(f"step_timeout_s must be above 0 seconds, not {step_timeout_s}")
        env.step_timeout_s = step_timeout_s
    return env


def about(id: str) -> str:
    """The first line of the docstring of the environment `id`, which need not be made for it."""
    point = gymnasium.spec(id).entry_point
    made = load_env_creator(point) if isinstance(point, str) else point
    return (made.__doc__ or "").strip().partition("\n")[0]


def _misfit(id: str, error: TypeError) -> Exception:
    """What to tell whoever gave settings that the constructor refused."""
    text = str(error)
    if "unexpected keyword" in text:
        return InputError(f"{id} does not take these settings: {text}")
    missing = re.search(r"missing \d+ required keyword-only .*?: (.*?)(?: was raised|$)", text)
    if missing:
        return InputError(f"{id} needs these settings: {missing[1]}")
    return error
