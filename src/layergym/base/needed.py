"""Which packages layergym's own metadata asks for, and what to say where one is not there."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

_DISTRIBUTIONS = {"yaml": "pyyaml"}
"""Packages that are imported by another name than they are installed by."""


def needed() -> list[str]:
    """All requirements but those of extras, such as "torch<2.16,>=2.11"; none from a bare tree."""
    try:
        return [text for text in requires("layergym") or () if "extra ==" not in text]
    except PackageNotFoundError:
        return []


def lacking(error: BaseException) -> str | None:
    """Which package of ours is not installed, in a sentence, where `error` says so; else None."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    name = error.name.partition(".")[0]
    name = _DISTRIBUTIONS.get(name, name)
    if name not in {re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in needed()}:
        return None
    return f"{name} is not installed, and this needs it; for all commands: pip install layergym"
