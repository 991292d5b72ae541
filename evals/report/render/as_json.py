"""A report as JSON: all its values, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from layergym.evals.report.model import Renderer, Report


def as_values(report: Report) -> dict[str, Any]:
    """A report as JSON takes it: what report.json holds."""
    return {"format": 1, **asdict(report)}


def render(report: Report) -> str:
    """The text of report.json."""
    return json.dumps(as_values(report), indent=1, allow_nan=False) + "\n"


RENDERER = Renderer("json", "report.json", render)
