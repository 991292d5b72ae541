"""Libraries that are imported when an environment of theirs is made, and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from layergym.base.errors import InputError


def library(module: str, extra: str) -> Any:
    """Import `module`.

    Raises:
        InputError: it is not installed; the message names layergym's `extra` that brings it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"this needs {module} ({error}): pip install 'layergym[{extra}]'"
        ) from error
