"""A report as JSON: all its values, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from layergym.evals.report.model import Number, Renderer, Report


def as_values(report: Report) -> dict[str, Any]:
    """What report.json holds: every number that a report shows, unrounded.

    A cell of a table that is a number is `{"text", "value", "low", "high"}`, other cells are texts.
    """
    return {"format": 1, **_plain(report)}


def render(report: Report) -> str:
    """The text of report.json."""
    return json.dumps(as_values(report), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Number):
        return {"text": str(value), **asdict(value.value)}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


RENDERER = Renderer("json", "report.json", render)
