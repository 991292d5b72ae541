"""A report on the terminal, by rich."""

from __future__ import annotations

import re
from dataclasses import replace

from rich import box
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text as RichText

from layergym.evals.report.model import Block, Plot, Report, Table, Text

_BARS = "▁▂▃▄▅▆▇█"
_STYLES = {"plain": "", "finding": "bold", "warning": "yellow"}
_SHADES = (236, 23, 24, 30, 31, 37, 38, 44)


def render(report: Report) -> RenderableType:
    """The report as something rich prints."""
    parts: list[RenderableType] = [_text(report.title, "bold"), _text(report.subtitle, "dim")]
    for section in report.sections:
        parts += [RichText(), Rule(_text(section.heading, "bold"), align="left", style="dim")]
        parts += [_block(block) for block in section.blocks]
    return Group(*parts)


def show(report: Report, console: Console | None = None) -> None:
    """Print the report."""
    (console or Console()).print(render(report))


def as_text(report: Report, width: int = 100) -> str:
    """The report as plain text, `width` columns wide."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(report))
    return capture.get()


def _block(block: Block) -> RenderableType:
    if isinstance(block, Text):
        return _text(block.text, _STYLES[block.tone])
    if isinstance(block, Table):
        return _table(block)
    return _curves(block) if block.joined else _strip(block)


def _table(table: Table) -> RenderableType:
    if not table.rows:
        return _text(f"{table.caption}: nothing.", "dim")
    grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(table.columns):
        left = place == 0 or table.wordy
        grid.add_column(_text(column), justify="left" if left else "right", overflow="fold")
    for row in table.rows:
        grid.add_row(*map(_text, row))
    return Group(_text(table.caption, "italic"), grid)


def _curves(plot: Plot) -> RenderableType:
    """The curves that stand out, as a table; a terminal has no room for all of them."""
    shown = tuple(series for series in plot.series if series.role != "muted")
    return _table(replace(plot, series=shown or plot.series[:4]).table())


def _strip(plot: Plot) -> RenderableType:
    """One coloured bar per layer; the tallest bar is the higher of the best layer and full."""
    points = sorted((x, y) for s in plot.series for x, y in zip(s.x, s.y, strict=True))
    top = max([y for _, y in points] + [value for _, value in plot.references] + [1e-9])
    # Deep models get narrow bars, of which every fifth is numbered, to fit 80 columns.
    cell, every = (3, 1) if len(points) <= 24 else (2, 5)
    bars, ticks = RichText("  "), RichText("  ", style="dim")
    for _, y in points:
        level = max(0, min(len(_BARS) - 1, round(y / top * (len(_BARS) - 1))))
        bars.append(_BARS[level] * (cell - 1) + " ", style=f"color({_SHADES[level]})")
    for x, _ in points[::every]:
        ticks.append(f"{x:<{cell * every}.0f}")
    bars.no_wrap = ticks.no_wrap = True
    caption = f"{plot.caption}; full height = {top:.2f} ({plot.y_label})"
    return Group(_text(caption, "italic"), bars, ticks)


def _text(text: str, style: str = "") -> RichText:
    # Texts from run folders may hold terminal control sequences; none of them is passed on.
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text)
    return RichText(clean.encode("utf-8", "replace").decode(), style=style)
