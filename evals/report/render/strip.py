"""Contribution by depth on a terminal: one bar per layer between the base (0) and full."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from layergym.evals.report.model import Plot, Point

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ROWS, _MORE = 4, 2
"""Lines from the base to full, and at most this many above full for better layers."""
_LABEL = 6
_LINE, _CLEAR, _UNSURE = "▔", "●", "○"


def strip(plot: Plot, width: int) -> RenderableType:
    """Bars of all layers, marked where their interval is above 0; wrapped where they must be."""
    points = plot.points
    full = dict(plot.references).get("full", 1.0)
    top = max([full, *(y for _, y, *_ in points)])
    # Full is `_ROWS` lines high, unless a layer would not fit above it.
    fits = top * _ROWS <= full * (_ROWS + _MORE)
    scale = _ROWS / (full if fits and full > 0 else max(top, 1e-9))
    room = width - _LABEL
    cell = next((c for c in (4, 3, 2) if c * len(points) <= room), 2)
    shown = max(room // cell, 1)
    parts: list[RenderableType] = []
    for start in range(0, len(points), shown):
        parts += _bars(points[start : start + shown], full * scale, scale, cell)
    if plot.bands:
        bands = ", ".join(f"{name} {at.value:.2f}" for name, at in plot.bands)
        parts.append(Text(f"controls of the same size: {bands}", "dim"))
    if any(low is not None for *_, low, _ in points):
        parts.append(Text(f"{_CLEAR} interval is above 0   {_UNSURE} it does not", "dim"))
    return Group(*parts)


def _bars(points: Sequence[Point], full: float, scale: float, cell: int) -> list[Text]:
    heights = [max(0, round(8 * y * scale)) for _, y, *_ in points]
    tallest = -(-max(heights) // 8)
    lines = []
    for row in reversed(range(max(_ROWS, tallest))):
        on_full = row == max(round(full), 1) - 1
        line = Text("full  " if on_full else " " * _LABEL, no_wrap=True)
        for height, point in zip(heights, points, strict=True):
            level = max(0, min(8, height - 8 * row))
            gap = _LINE if on_full else " "
            bar = _EIGHTHS[level] if level else gap
            line.append(bar * (cell - 1), style=_style(point) if level else "dim")
            line.append(gap, style="dim")
        lines.append(line)
    lines.append(Text("base  " + "─" * (cell * len(points)), no_wrap=True))
    every = 1 if cell > 2 else 5
    names = (f"{x:.0f}".ljust(cell * every) for x, *_ in points[::every])
    lines.append(Text("layer " + "".join(names), style="dim", no_wrap=True))
    if any(low is not None for *_, low, _ in points):
        marks = Text(" " * _LABEL, no_wrap=True)
        for point in points:
            mark = _CLEAR if _clear(point) else _UNSURE
            marks.append(mark.ljust(cell), style=_style(point))
        lines.append(marks)
    return lines


def _clear(point: Point) -> bool:
    low = point[2]
    return low is None or low > 0


def _style(point: Point) -> str:
    return "bold cyan" if _clear(point) else "dim"
