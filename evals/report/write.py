"""A report as files: JSON, Markdown, HTML, its plot as PNG."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from layergym.base.errors import unknown
from layergym.base.files import write_bytes
from layergym.evals.contribution.profile_file import write_profile
from layergym.evals.report.model import Report
from layergym.evals.report.render import markdown, page, png, terminal


def as_values(report: Report) -> dict[str, Any]:
    """A report as JSON takes it: what report.json holds."""
    return {"format": 1, **asdict(report)}


def by_format(files: Sequence[Path]) -> dict[str, Path]:
    """Files of `write_report` by what they hold: "html", "json", "md", "png", "txt", "profile"."""
    return {f.stem if f.stem == "profile" else f.suffix[1:]: f for f in files}


def _json(report: Report) -> str:
    return json.dumps(as_values(report), indent=1, allow_nan=False) + "\n"


FORMATS: Mapping[str, tuple[str, Callable[[Report], str | bytes]]] = {
    "html": ("report.html", page.render),
    "json": ("report.json", _json),
    "md": ("report.md", markdown.render),
    "png": ("report.png", png.render),
    "txt": ("report.txt", terminal.as_text),
}


def write_report(
    report: Report, out_dir: Path, formats: Sequence[str] = ("html", "json", "md")
) -> tuple[Path, ...]:
    """Write a report in several formats, and `profile.json` when it is about one.

    Args:
        report: what `build` made.
        out_dir: where the files go; it is created.
        formats: among "html", "json", "md", "png", "txt".

    Returns:
        The files that were written.

    Raises:
        InputError: a format is unknown or cannot be written; nothing is written then.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("report format", name, FORMATS)
    rendered = {out_dir / FORMATS[name][0]: FORMATS[name][1](report) for name in formats}
    for path, content in rendered.items():
        # Texts from run folders may hold lone surrogates, which no file can.
        write_bytes(
            path, content.encode("utf-8", "replace") if isinstance(content, str) else content
        )
    if len(report.profiles) != 1:
        return tuple(rendered)
    write_profile(out_dir / "profile.json", report.profiles[0])
    return (*rendered, out_dir / "profile.json")
