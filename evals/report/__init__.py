"""Reports made from run folders, sweep folders, profiles and published tables.

One pure `Report` value and four ways to show it: terminal, JSON, Markdown and HTML.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from layergym.envs.errors import unknown
from layergym.envs.files import write_text
from layergym.evals.profiles import write_profile
from layergym.evals.report import markdown, page, terminal
from layergym.evals.report.build import build
from layergym.evals.report.model import Report
from layergym.evals.report.terminal import show

__all__ = ["FORMATS", "Report", "build", "show", "write_report"]


def _json(report: Report) -> str:
    return json.dumps({"format": 1, **asdict(report)}, indent=1, allow_nan=False) + "\n"


FORMATS = {
    "html": ("report.html", page.render),
    "json": ("report.json", _json),
    "md": ("report.md", markdown.render),
    "txt": ("report.txt", terminal.as_text),
}


def write_report(
    paths: Sequence[Path], out_dir: Path, formats: Sequence[str] = ("html", "json", "md")
) -> tuple[Path, ...]:
    """Write one report about `paths` in several formats, and `profile.json` when there is one.

    Args:
        paths: sweep folders, run folders, `profile.json` files, published CSV tables.
        out_dir: where the files go; it is created.
        formats: among "html", "json", "md", "txt".

    Returns:
        The files that were written.

    Raises:
        InputError: a format is unknown, or a path cannot be read; nothing is written then.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("report format", name, FORMATS)
    report = build(paths)
    # Texts from run folders may hold lone surrogates, which no file can.
    texts = {
        out_dir / FORMATS[name][0]: FORMATS[name][1](report).encode("utf-8", "replace").decode()
        for name in formats
    }
    for path, text in texts.items():
        write_text(path, text)
    if len(report.profiles) != 1:
        return tuple(texts)
    write_profile(out_dir / "profile.json", report.profiles[0])
    return (*texts, out_dir / "profile.json")
