"""A report as one value: sections of texts, tables and plots, which every renderer walks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from layergym.evals.contribution import LayerProfile

Role = Literal["accent", "ink", "muted"]
TABLE_ROWS = 12
"""At most so many points of a curve are listed in its table."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; a finding stands out, a warning more so."""

    text: str
    tone: Literal["plain", "finding", "warning"] = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of ready texts; the first column names the row, the others are aligned right."""

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
    span: float | None = None
    """Where the x axis ends, to show relative depth; None for no such axis."""

    def table(self) -> Table:
        """The same numbers as a table; long curves are thinned out."""
        columns: list[str] = [self.x_label]
        for series in self.series:
            columns += [series.name, "low", "high"] if series.low else [series.name]
        points = sorted({x for series in self.series for x in series.x})
        step = -(-len(points) // TABLE_ROWS) if self.joined else 1
        kept = points[::-1][::step][::-1]
        return Table(
            f"{self.caption} ({self.y_label})",
            tuple(columns),
            tuple(
                (f"{round(x, 2):g}", *(c for s in self.series for c in _cells(s, x))) for x in kept
            ),
        )


Block = Text | Table | Plot


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
    """Cost of every run, as measured: arm, seed and the fields of `Cost`."""


def _cells(series: Series, x: float) -> list[str]:
    if x not in series.x:
        return ["", "", ""] if series.low else [""]
    place = series.x.index(x)
    values = [series.y[place]]
    if series.low:
        values += [series.low[place], series.high[place]]
    return [f"{value:.3f}" for value in values]
