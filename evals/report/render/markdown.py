"""A report as Markdown (GitHub's dialect)."""

from __future__ import annotations

import re

from layergym.base.texts import printable
from layergym.evals.report.model import Block, Plot, Renderer, Report, Story, Table, Text


def render(report: Report) -> str:
    """The report as Markdown; plots become tables."""
    parts = [f"# {_escape(report.title)}", _escape(report.subtitle)]
    for section in report.sections:
        parts += [f"## {_escape(section.heading)}", *map(_block, section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        text = _escape(block.text)
        return {"plain": text, "finding": f"**{text}**", "warning": f"> {text}"}[block.tone]
    if isinstance(block, Story):
        turns = (
            f"1. {_escape(seen)}\n   > {_escape(said)}\n\n   {_escape(note)}"
            for seen, said, note in block.turns
        )
        return f"**{_escape(block.title)}**\n\n" + "\n".join(turns)
    return _table(block.table() if isinstance(block, Plot) else block)


def _table(table: Table) -> str:
    right = ":---" if table.wordy else "---:"
    lines = [
        _row(table.columns),
        _row((":---", *[right] * (len(table.columns) - 1)), escape=False),
        *map(_row, table.rows),
    ]
    return f"_{_escape(table.caption)}_\n\n" + "\n".join(lines)


def _row(cells: tuple[str, ...], *, escape: bool = True) -> str:
    return "| " + " | ".join(_escape(cell) if escape else cell for cell in cells) + " |"


def _escape(text: str) -> str:
    flat = re.sub(r"[\n\t]+", " ", printable(text))
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", flat)


RENDERER = Renderer("md", "report.md", render)
