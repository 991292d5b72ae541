"""Plots as inline SVG. Colours come from the page's style sheet, by class."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from layergym.evals.report.model import Plot, Series
from layergym.evals.stats import Estimate

_LEFT, _RIGHT, _TOP = 44, 76, 30
_BOTTOM, _DEPTH_AXIS = 42, 40
_INNER = 216
_APART = 13
"""Pixels between two names, at least."""
_LETTERS = 8
"""Letters of a curve's name beside the edge; where one is longer, a legend has all of them."""
_SAMPLE, _LINE, _LETTER = 34, 18, 7
"""Width of a legend's sample, height of its lines, and width that a letter needs at most."""
_DASHES = ("", "7 4", "2 3", "9 3 2 3")


_Legend = tuple[tuple[Series, tuple[str, ...]], ...]
"""Curves and the lines of their names, below the plot."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps data to pixels."""

    width: int
    height: int
    x0: float
    x1: float
    y0: float
    y1: float
    legend: _Legend

    def x(self, value: float) -> float:
        span = max(self.x1 - self.x0, 1e-12)
        return _LEFT + (value - self.x0) / span * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        span = max(self.y1 - self.y0, 1e-12)
        return _TOP + _INNER - (value - self.y0) / span * _INNER


def draw_plot(plot: Plot, width: int) -> str:
    """The plot as one `<svg>` element, `width` pixels wide at its natural size."""
    frame = _frame(plot, width)
    root = Element(
        "svg", {"viewBox": f"0 0 {width} {frame.height}", "role": "img", "width": str(width)}
    )
    SubElement(root, "title").text = f"{plot.caption}. The values are in the table below."
    _axes(root, plot, frame)
    for series in sorted(plot.series, key=lambda s: ("muted", "ink", "accent").index(s.role)):
        (_curve if plot.joined else _points)(root, series, frame)
    _names(root, plot, frame)
    _legend(root, frame)
    return tostring(root, encoding="unicode")


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """About `count` round numbers within [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.8)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _frame(plot: Plot, width: int) -> _Frame:
    xs = [x for s in plot.series for x in s.x] or [0.0]
    # The intervals of curves are in the table only.
    ys = [y for s in plot.series for y in (s.y if plot.joined else (*s.y, *s.low, *s.high))]
    ys += [value for _, value in plot.references]
    ys += [end for _, at in plot.bands for end in (at.value, at.low, at.high) if end is not None]
    low, high = min(ys, default=0.0), max(ys, default=1.0)
    margin = 0.04 * (high - low or 1.0)
    x0, x1 = min(xs), max(xs)
    if plot.span is not None:
        x0, x1 = -0.5, plot.span + 0.5 + 0.02 * plot.span * len(plot.bands)
    legend = _wrapped(plot, width)
    height = _TOP + _INNER + _BOTTOM + (0 if plot.span is None else _DEPTH_AXIS)
    height += _legend_height(legend)
    x1 = x1 if x1 > x0 else x0 + 1
    return _Frame(width, height, x0, x1, low - margin, high + margin, legend)


def _named(plot: Plot) -> list[Series]:
    """Curves that are called by name: those that stand out, or else the first."""
    if not plot.joined:
        return []
    return [s for s in plot.series if s.role != "muted"] or list(plot.series)[:1]


def _legend_height(legend: _Legend) -> int:
    return _LINE * sum(len(lines) for _, lines in legend) + (_LINE // 2 if legend else 0)


def _wrapped(plot: Plot, width: int) -> _Legend:
    """The legend; none where all names are short enough to stand beside their curves."""
    curves = _named(plot)
    if all(len(series.name) <= _LETTERS for series in curves):
        return ()
    letters = (width - _LEFT - _SAMPLE) // _LETTER
    return tuple((s, tuple(textwrap.wrap(s.name, letters)) or ("",)) for s in curves)


def _axes(root: Element, plot: Plot, frame: _Frame) -> None:
    right, bottom = frame.width - _RIGHT, _TOP + _INNER
    for tick in ticks(frame.y0, frame.y1):
        _line(root, "grid", _LEFT, frame.y(tick), right, frame.y(tick))
        _label(root, f"{tick:g}", _LEFT - 7, frame.y(tick) + 4, "end")
    inner = (0.0, plot.span) if plot.span is not None else (frame.x0, frame.x1)
    count = 6 if frame.width < 500 else 12
    whole = all(x == int(x) for series in plot.series for x in series.x)
    for tick in ticks(inner[0], inner[1], count):
        if not whole or tick == int(tick):
            _label(root, f"{tick:g}", frame.x(tick), bottom + 17, "middle")
    _label(root, plot.x_label, (_LEFT + right) / 2, bottom + 32, "middle", "axis")
    _label(root, plot.y_label, _LEFT - 36, 14, "start", "axis")
    if plot.span:
        for part in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = frame.x(part * plot.span)
            _line(root, "tick", x, bottom + 38, x, bottom + 43)
            _label(root, f"{part:g}", x, bottom + 56, "middle", "label")
        _line(root, "tick", frame.x(0), bottom + 38, frame.x(plot.span), bottom + 38)
        _label(root, "relative depth", (_LEFT + right) / 2, bottom + 73, "middle", "axis")
    for place, (_, at) in enumerate(plot.bands):
        _control(root, at, right - 6 - 9 * place, frame)
    level = [(value, "reference") for _, value in plot.references]
    level += [(at.value, "control") for _, at in plot.bands]
    for value, css in level:
        _line(root, css, _LEFT, frame.y(value), right, frame.y(value))


def _control(root: Element, at: Estimate, x: float, frame: _Frame) -> None:
    """A diamond with its interval, beside the last layer: it has no depth of its own."""
    if at.low is not None and at.high is not None:
        _line(root, "control-bar", x, frame.y(at.low), x, frame.y(at.high))
    y = frame.y(at.value)
    corners = f"{x:.1f},{y - 5:.1f} {x + 4:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 4:.1f},{y:.1f}"
    SubElement(root, "polygon", {"class": "control-mark", "points": corners})


def _points(root: Element, series: Series, frame: _Frame) -> None:
    for place, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        group = SubElement(root, "g", {"class": series.role})
        text = f"{series.name}: {x:g}, {y:.2f}"
        if series.low:
            low, high = series.low[place], series.high[place]
            text += f" [{low:.2f}, {high:.2f}]"
            _line(group, "bar", frame.x(x), frame.y(low), frame.x(x), frame.y(high))
        SubElement(group, "title").text = text
        place_at = {"cx": f"{frame.x(x):.1f}", "cy": f"{frame.y(y):.1f}"}
        SubElement(group, "circle", {**place_at, "r": "4"})


def _curve(root: Element, series: Series, frame: _Frame) -> None:
    pairs = zip(series.x, series.y, strict=True)
    group = SubElement(root, "g", {"class": series.role})
    SubElement(group, "title").text = series.name
    _polyline(group, [(frame.x(x), frame.y(y)) for x, y in pairs], series.dash)


def _polyline(root: Element, points: Iterable[tuple[float, float]], dash: int) -> None:
    pattern = {"stroke-dasharray": _DASHES[dash]} if dash else {}
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    SubElement(root, "polyline", {"points": joined, **pattern})


def _names(root: Element, plot: Plot, frame: _Frame) -> None:
    """Names beside the right edge, of levels and of curves that stand out, kept apart."""
    names = [(value, name, "axis") for name, value in plot.references]
    names += [(at.value, name, "axis") for name, at in plot.bands]
    if not frame.legend:
        names += [(s.y[-1], s.name, f"name {s.role}") for s in _named(plot)]
    last = -math.inf
    for value, name, css in sorted(names, key=lambda one: -one[0]):
        last = max(frame.y(value), last + _APART)
        _label(root, name, frame.width - _RIGHT + 6, last + 4, "start", css)


def _legend(root: Element, frame: _Frame) -> None:
    """A sample of every curve and its whole name, one below the other."""
    y = frame.height - _legend_height(frame.legend)
    for series, lines in frame.legend:
        sample = (_LEFT, y + _LINE / 2), (_LEFT + _SAMPLE - 8, y + _LINE / 2)
        _polyline(SubElement(root, "g", {"class": series.role}), sample, series.dash)
        for line in lines:
            _label(root, line, _LEFT + _SAMPLE, y + _LINE / 2 + 4, "start", f"name {series.role}")
            y += _LINE


def _line(root: Element, css: str, *ends: float) -> None:
    places = dict(zip(("x1", "y1", "x2", "y2"), (f"{end:.1f}" for end in ends), strict=True))
    SubElement(root, "line", {"class": css, **places})


def _label(root: Element, text: str, x: float, y: float, anchor: str, css: str = "label") -> None:
    places = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": css}
    SubElement(root, "text", places).text = text
