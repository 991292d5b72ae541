"""A report as files: JSON, Markdown, HTML, its plot as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from layergym.base.errors import unknown
from layergym.base.files import replacing
from layergym.evals.contribution.profile_file import write_profile
from layergym.evals.report import render
from layergym.evals.report.model import Renderer, Report


def by_format(files: Sequence[Path]) -> dict[str, Path]:
    """Files of `write_report` by what they hold: "html", "json", "md", "png", "txt", "profile"."""
    return {f.stem if f.stem == "profile" else f.suffix[1:]: f for f in files}


def _renderers() -> Iterator[Renderer]:
    for module in iter_modules(render.__path__, f"{render.__name__}."):
        renderer = getattr(import_module(module.name), "RENDERER", None)
        if isinstance(renderer, Renderer):
            yield renderer


FORMATS: Mapping[str, Renderer] = {one.name: one for one in _renderers()}
"""How a report can be written, by name: the files of `render/` that have a `RENDERER`."""


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
        OSError: there is no room; the files are as they were.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("report format", name, FORMATS)
    rendered = {out_dir / FORMATS[name].file: FORMATS[name].render(report) for name in formats}
    with ExitStack() as files:  # No file is new before all of them could be written.
        for path, content in rendered.items():
            scratch = files.enter_context(replacing(path))
            # Texts from run folders may hold lone surrogates, which no file can.
            data = content.encode("utf-8", "replace") if isinstance(content, str) else content
            scratch.write_bytes(data)
        if len(report.profiles) != 1:
            return tuple(rendered)
        profile = out_dir / "profile.json"
        write_profile(files.enter_context(replacing(profile)), report.profiles[0])
    return (*rendered, profile)
