"""Names of environments: register one, list them, make one.

Ids are Gymnasium's: `namespace/Name-v0`. The version rises when text, reward or dynamics change.
Everything registered here also resolves through `gymnasium.make`. Other packages register through
the entry-point group `layergym.envs` (entry name = id, value = `module:Class`); nothing of theirs
is imported before one of their environments is made, and none of their mistakes reaches others.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import EnvCreator, load_env_creator
from gymnasium.error import Error

from layergym.base.announced import Trouble, announced
from layergym.base.errors import InputError, error_line, faults, unknown
from layergym.envs.border import safe_text
from layergym.envs.core import TextEnv

GROUP = "layergym.envs"
OURS = "layergym"
"""The package whose environments nobody can replace."""
_ids: set[str] = set()
_packages: dict[str, str] = {}
"""Which package announced an id."""


class BrokenError(InputError):
    """An environment whose own code, or whose package's announcement, is at fault."""


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
        raise InputError(
            f'"{id}" is not an environment id: {error}; write it as in alfworld-v0'
        ) from error
    _ids.add(id)


@cache
def load_plugins() -> tuple[Trouble, ...]:
    """Register every environment that installed packages announce; looked up once a process.

    Nothing of theirs is imported. Ours come first, so that nobody takes the place of one; an id
    that two other packages announce is registered for neither.

    Returns:
        What cannot be registered, and why.
    """
    plugins, troubles = announced(GROUP)
    taken = {each.id.lower(): each for each in plugins if each.package == OURS}
    others = [each for each in plugins if each.package != OURS]
    for each in plugins:
        rivals = {other.package for other in others if other.id.lower() == each.id.lower()}
        built_in = taken.get(each.id.lower())
        if each.package != OURS and built_in:
            troubles.append(each.trouble(f"the id belongs to {OURS} ({built_in.place})"))
        elif each.package != OURS and len(rivals) > 1:
            names = " and ".join(sorted(rivals))
            troubles.append(each.trouble(f"{names} announce the same id; uninstall all but one"))
        else:
            try:
                register(each.id, each.place)
                _packages[each.id] = each.package
            except InputError as error:
                troubles.append(each.trouble(str(error)))
    return tuple(troubles)


def ids() -> list[str]:
    """All registered ids, sorted."""
    load_plugins()
    return sorted(_known())


def _known() -> set[str]:
    """Ids that Gymnasium still has: what is taken out of its registry is gone here too."""
    return _ids & gymnasium.registry.keys()


def find(name: str) -> str:
    """The full id for `name`, whose namespace may be left out and whose case does not matter.

    Raises:
        InputError: there is none, or more than one.
    """
    load_plugins()
    known = sorted(_known())
    if name in known:
        return name
    wanted = name.lower()
    loose = [i for i in known if wanted in _names(i)]
    ours = [i for i in loose if _packages.get(i) == OURS]
    if len(ours or loose) == 1:
        return (ours or loose)[0]
    if loose:
        raise InputError(f'"{name}" could be {" or ".join(loose)}; give the namespace')
    for trouble in load_plugins():
        if wanted in _names(trouble.id):
            raise BrokenError(str(trouble))
    short = {i.lower().rpartition("/")[2] if "/" not in wanted else i.lower() for i in known}
    raise unknown("environment", name, short)


def _names(id: str) -> tuple[str, str]:
    """What an environment may be called: its id, with and without the namespace."""
    return id.lower(), id.lower().rpartition("/")[2]


def make(name: str, /, *, step_timeout_s: float | None = None, **kwargs: Any) -> TextEnv:
    """Make an environment without Gymnasium's wrappers.

    Args:
        name: its id; the namespace may be left out.
        step_timeout_s: replaces `TextEnv.step_timeout_s`, where given.
        **kwargs: settings of the environment.

    Raises:
        InputError: the name is unknown, a setting is missing or does not fit, or it is not a
            `TextEnv`.
        BrokenError: its own code fails.
    """
    id = find(name)
    try:
        env = gymnasium.make(id, disable_env_checker=True, **kwargs).unwrapped
    except InputError:
        raise
    except faults() as error:
        raise _misfit(id, error) from error
    if not isinstance(env, TextEnv):
        raise InputError(f"{id} is a {type(env).__name__}, not a layergym.TextEnv; wrap it in one")
    if not isinstance(env.instructions, str):
        raise BrokenError(
            f"the instructions of {_whose(id)} are {env.instructions!r}; they must be a text, and "
            "empty if there are none"
        )
    if type(env.instructions) is not str:  # A kind of text with methods of its own.
        env.instructions = safe_text(env.instructions, "instructions")
    if step_timeout_s is not None:
        if not isinstance(step_timeout_s, int | float) or not 0 < step_timeout_s < math.inf:
            raise InputError(f"step_timeout_s must be above 0 seconds, not {step_timeout_s}")
        env.step_timeout_s = step_timeout_s
    return env


def load_entry(id: str) -> Any:
    """What makes the environment of this full id: mostly its class, imported for that.

    Raises:
        BrokenError: it cannot be imported.
    """
    point = gymnasium.spec(id).entry_point
    try:
        return load_env_creator(point) if isinstance(point, str) else point
    except faults() as error:
        raise BrokenError(f"{_whose(id)} cannot be imported: {error_line(error)}") from error


def about(id: str) -> str:
    """The first line of the docstring of the environment `id`, which need not be made for it.

    Raises:
        BrokenError: it cannot be imported.
    """
    return (load_entry(id).__doc__ or "").strip().partition("\n")[0]


def _whose(id: str) -> str:
    """The id, and the package that announced it unless that is ours."""
    package = _packages.get(id, OURS)
    return id if package == OURS else f"{id} (package {package})"


def _misfit(id: str, error: BaseException) -> InputError:
    """What to tell whoever asked for an environment that could not be made."""
    text = error_line(error)
    if isinstance(error, TypeError) and "unexpected keyword" in text:
        return InputError(f"{_whose(id)} does not take these settings: {text}")
    missing = re.search(r"missing \d+ required keyword-only .*?: (.*?)(?: was raised|$)", text)
    if isinstance(error, TypeError) and missing:
        return InputError(f"{_whose(id)} needs these settings: {missing[1]}")
    return BrokenError(f"{_whose(id)} cannot be made like this: {text}; mend its settings")
