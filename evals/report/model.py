"""A report as one value: sections of texts, tables and plots, which every renderer walks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.stats import Estimate

Role = Literal["accent", "ink", "muted"]
TABLE_ROWS = 12
"""At most this many points of a curve are listed in its table."""


class Number(str):
    """A number as it is shown, which remembers its value. Where it is drawn it is a text."""

    value: Estimate
    """Unrounded, scores as shares of 1; `report.json` has it beside the text."""

    def __new__(cls, text: str, value: Estimate) -> Number:
        """Show `value` as `text`."""
        number = super().__new__(cls, text)
        number.value = value
        return number


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; a finding stands out, a warning more so."""

    text: str
    tone: Literal["plain", "finding", "warning"] = "plain"
    numbers: Mapping[str, float | Estimate | None] = field(default_factory=dict)
    """Values in the text that stand nowhere else in the report, unrounded, by name."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, texts or `Number`; the first column names a row, others are aligned right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wordy: bool = False
    """True when the cells are prose and are aligned left."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of a plot, with intervals where `low` and `high` are given."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    role: Role = "ink"
    dash: int = 0
    """Pattern of a curve, 0 (solid) to 3."""

    def cells(self) -> dict[float, str]:
        """Every value with its interval as text, by x."""
        values = [_value(y) for y in self.y]
        if self.low:
            rows = zip(values, self.low, self.high, strict=True)
            values = [f"{value} [{_value(low)}, {_value(high)}]" for value, low, high in rows]
        return dict(zip(self.x, values, strict=True))


Point = tuple[float, float, float | None, float | None]
"""x, y, and the ends of the interval if there is one."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Points over depth, or (`joined`) curves over steps."""

    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    references: tuple[tuple[str, float], ...] = ()
    """Horizontal lines with their names."""
    joined: bool = False
    bands: tuple[tuple[str, Estimate], ...] = ()
    """Values without a place on the x axis, such as those of control arms, with their names."""
    span: float | None = None
    """Where the x axis ends, to show relative depth; None for no such axis."""

    @property
    def points(self) -> list[Point]:
        """The points of all series, by x."""
        points: list[Point] = [
            (x, y, series.low[place], series.high[place]) if series.low else (x, y, None, None)
            for series in self.series
            for place, (x, y) in enumerate(zip(series.x, series.y, strict=True))
        ]
        return sorted(points, key=lambda point: point[:2])

    def table(self) -> Table:
        """The same numbers as a table; long curves are thinned out."""
        caption = f"{self.caption} ({self.y_label})"
        if not self.joined:
            columns = (self.x_label, "value", "low", "high")
            shown = 4 if any(series.low for series in self.series) else 2
            rows = [(f"{x:g}", *map(_value, rest))[:shown] for x, *rest in self.points]
            for name, at in self.bands:
                rows.append((name, *map(_value, (at.value, at.low, at.high)))[:shown])
            return Table(caption, columns[:shown], tuple(rows))
        curves = [series.cells() for series in self.series]
        places = sorted({x for curve in curves for x in curve})
        kept = places[::-1][:: -(-len(places) // TABLE_ROWS) or 1][::-1]
        return Table(
            caption,
            (self.x_label, *(series.name for series in self.series)),
            tuple((f"{round(x, 2):g}", *(c.get(x, "") for c in curves)) for x in kept),
        )


@dataclass(frozen=True, slots=True)
class Story:
    """An episode, folded away under its title until a reader asks for it."""

    title: str
    turns: tuple[tuple[str, str, str], ...]
    """What was seen, what was said, and a note on the outcome."""


Block = Text | Table | Plot | Story


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under one heading."""

    heading: str
    blocks: tuple[Block, ...]
    brief: str = ""
    """What the terminal shows in place of long blocks; "" to show them."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a reader is told, and the profiles it rests on."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    profiles: tuple[LayerProfile, ...]
    costs: tuple[Mapping[str, Any], ...] = ()
    """The costs of every run: arm, seed, the fields of `Cost`, and "moved": the share of its length
    that each layer moved."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """One form of a report as a file. Each is a file of `render/` and its `RENDERER`."""

    name: str
    """Its option is `layergym report --NAME`."""
    file: str
    render: Callable[[Report], str | bytes]


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
