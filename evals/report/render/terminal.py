"""A report on the terminal, by rich. No number is ever folded: wide tables are split instead."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from io import TextIOWrapper

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text as RichText

from layergym.base.texts import printable
from layergym.command.safe_console import SafeConsole
from layergym.evals.report.model import Block, Plot, Renderer, Report, Section, Story, Table, Text
from layergym.evals.report.render.strip import strip

_STYLES = {"plain": "", "finding": "bold", "warning": "yellow"}
_HEADING_LINES = 6
_GAP = 2
"""Columns between two columns: one of padding, one of the box."""


def render(report: Report, width: int) -> RenderableType:
    """The report as something rich prints on `width` columns."""
    parts: list[RenderableType] = [_text(report.title, "bold"), _text(report.subtitle, "dim")]
    for section in report.sections:
        parts += [RichText(), Rule(_text(section.heading, "bold"), align="left", style="dim")]
        for place, block in enumerate(_blocks(section)):
            parts += [RichText(), _block(block, width)] if place else [_block(block, width)]
    return Group(*parts)


def show(report: Report, console: Console | None = None) -> None:
    """Print the report; where the terminal lacks a character it shows "?"."""
    console = console or SafeConsole()
    if isinstance(console.file, TextIOWrapper):
        console.file.reconfigure(errors="replace")
    console.print(render(report, console.width))


def as_text(report: Report, width: int = 100) -> str:
    """The report as plain text, `width` columns wide."""
    console = SafeConsole(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(report, width))
    return capture.get()


def _blocks(section: Section) -> tuple[Block, ...]:
    return (Text(section.brief),) if section.brief else section.blocks


def _block(block: Block, width: int) -> RenderableType:
    if isinstance(block, Text):
        return _text(block.text, _STYLES[block.tone])
    if isinstance(block, Table):
        return _table(block, width)
    if isinstance(block, Story):
        return draw_story(block)
    if block.joined:
        return _curves(block, width)
    return Group(_text(f"{block.caption}; {block.y_label}", "italic"), strip(block, width))


def draw_story(block: Story) -> RenderableType:
    """An episode, turn by turn."""
    parts = [_text(block.title, "bold")]
    for number, (seen, said, note) in enumerate(block.turns, start=1):
        parts += [*_lines(seen, ""), *_lines(f"{number}> {said}", "cyan"), _text(note, "dim")]
    return Group(*parts)


def _lines(text: str, style: str) -> list[RichText]:
    return [_text(line, style) for line in text.splitlines()]


def _table(table: Table, width: int) -> RenderableType:
    if not table.rows:
        return _text(f"{table.caption}: nothing.", "dim")
    parts: list[RenderableType] = [_text(table.caption, "italic")]
    columns = zip(table.columns, *table.rows, strict=True)
    for group in _groups([tuple(map(clean, column)) for column in columns], width):
        grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for place, (column, wide) in enumerate(group):
            grid.add_column(
                RichText(column[0]),
                width=wide,
                justify="right" if place else "left",
                overflow="fold",
            )
        for row in zip(*(column[1:] for column, _ in group), strict=True):
            grid.add_row(*map(RichText, row))
        parts += [RichText(), grid] if len(parts) > 1 else [grid]
    return Group(*parts)


_Column = tuple[tuple[str, ...], int]
"""A heading with its cells, and how wide they are shown."""


def _groups(columns: list[tuple[str, ...]], width: int) -> Iterator[list[_Column]]:
    """All columns side by side if some height of the headings allows it, else several tables.

    Each of several tables begins with the first column again.
    """
    for lines in range(1, _HEADING_LINES + 1):
        sized = [(column, min(_wide(column, lines), width // 2)) for column in columns]
        if _total(sized) <= width:
            yield sized
            return
    group = sized[:1]
    for column in sized[1:]:
        if len(group) > 1 and _total([*group, column]) > width:
            yield group
            group = sized[:1]
        group.append(column)
    yield group


def _total(columns: list[_Column]) -> int:
    return sum(wide + _GAP for _, wide in columns) - _GAP


def _wide(column: tuple[str, ...], lines: int) -> int:
    """The width that holds every cell unfolded and the heading on `lines` lines of whole words."""
    heading = column[0]
    least = max(map(cell_len, (*column[1:], *heading.split())), default=0)
    for wide in range(max(least, 1), len(heading)):
        if len(textwrap.wrap(heading, wide, break_on_hyphens=False)) <= lines:
            return wide
    return max(least, cell_len(heading))


def _curves(plot: Plot, width: int) -> RenderableType:
    """The curves that stand out, as a table; a terminal has no room for all of them."""
    shown = tuple(series for series in plot.series if series.role != "muted")
    return _table(replace(plot, series=shown or plot.series[:4]).table(), width)


def _text(text: str, style: str = "") -> RichText:
    # A line would else end between a number and its percent sign.
    return RichText(clean(text).replace(" %", "%"), style=style)


def clean(text: str) -> str:
    """`text` in one line, without what steers a terminal, which run folders may hold."""
    return re.sub(r"[\n\t]", " ", printable(text))


RENDERER = Renderer("txt", "report.txt", as_text)
