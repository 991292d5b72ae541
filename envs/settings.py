"""What can be set when an environment is made, read from its constructor."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from layergym.envs.registry import find, load_entry


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an environment."""

    name: str
    kind: str
    """Its type, as the constructor says it."""
    default: str
    """The default as Python writes it; empty when it must be given."""
    about: str


def settings(name: str) -> list[Setting]:
    """The settings of the environment of this name, in the order of its constructor.

    Without `split` and `render_mode`, which every environment has and commands have options for.

    Raises:
        InputError: there is no such environment, or it cannot be imported.
    """
    made = load_entry(find(name))
    by_name = {each.name: each for each in _all(made)}
    for name in ("split", "render_mode"):
        by_name.pop(name, None)
    return list(by_name.values())


def _all(made: Any) -> Iterator[Setting]:
    """The settings of a class, and of its bases as far as it hands further ones on to them."""
    bases = made.__mro__ if isinstance(made, type) else ()
    constructors = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    texts: dict[str, str] = {}
    for constructor in reversed(constructors):
        texts |= _texts(constructor)
    for constructor in constructors:
        parameters = inspect.signature(constructor).parameters.values()
        for each in list(parameters)[1:]:
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
                default = "" if each.default is each.empty else repr(each.default)
                kind = "" if each.annotation is each.empty else _kind(each.annotation)
                yield Setting(each.name, kind, default, texts.get(each.name, ""))
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break


def _kind(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _texts(constructor: Any) -> dict[str, str]:
    """What a docstring says below `Args:`, by name."""
    text = inspect.getdoc(constructor) or ""
    args = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE)
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", args[1] if args else "", re.MULTILINE)
    return {name: " ".join(about.split()) for name, about in entries}
