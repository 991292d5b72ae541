"""A report as one self-contained HTML page: no script, no request, light and dark."""

from __future__ import annotations

from collections.abc import Callable

import jinja2
from markupsafe import Markup

from layergym.evals.report.model import Block, Plot, Renderer, Report
from layergym.evals.report.render.svg import draw_plot

_WIDE, _NARROW = 720, 360
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("layergym.evals.report", "."),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def render(report: Report) -> str:
    """The report as HTML; every text is escaped."""
    return _ENVIRONMENT.get_template("page.html.jinja").render(
        report=report, kind=_kind, wide=_svg(_WIDE), narrow=_svg(_NARROW)
    )


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _svg(width: int) -> Callable[[Plot], Markup]:
    return lambda plot: Markup(draw_plot(plot, width))


RENDERER = Renderer("html", "report.html", render)
