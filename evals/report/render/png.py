"""The report's first plot as a picture: its SVG, drawn by resvg (the extra `png`).

Letters are those of Source Sans Pro, which the extra brings along, so that a picture needs no font
of the machine's and is the same everywhere. What that font lacks, such as Chinese in a name, is
taken from the machine's fonts where there are any.
"""

from __future__ import annotations

import re
import textwrap
from importlib.resources import as_file, files
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from layergym.base.errors import InputError
from layergym.evals.report.model import Plot, Renderer, Report
from layergym.evals.report.render.svg import draw_plot
from layergym.evals.report.render.terminal import clean

_WIDTH = 720
_MARGIN, _BESIDE = 16, 60
"""Pixels around the plot, and beside it for names that reach over its edge."""
_LINE, _LETTERS = 18, 110
"""Height of a line of the caption, and letters on one."""
_ZOOM = 2
_LETTERS_OF = '\nsvg text { font-family: "Source Sans Pro"; }'
_WEIGHTS = ("Regular", "Semibold")


def render(report: Report) -> bytes:
    """The report's first plot with its caption as PNG, in the light colours of the page.

    Raises:
        InputError: resvg or its font is not installed, or there is no plot.
    """
    try:
        import font_source_sans_pro
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise InputError(
            "pictures need resvg and a font; install them with: pip install 'layergym[png]'"
        ) from error
    blocks = (block for section in report.sections for block in section.blocks)
    plot = next((block for block in blocks if isinstance(block, Plot)), None)
    if plot is None:
        raise InputError("this report has no plot to write as PNG; write --html or --md")
    css, paper = _light()
    with as_file(files(font_source_sans_pro) / "files") as folder:
        return svg_to_bytes(
            _captioned(plot),
            style_sheet=css + _LETTERS_OF,
            background=paper,
            zoom=_ZOOM,
            font_files=[str(folder / f"SourceSansPro-{weight}.ttf") for weight in _WEIGHTS],
        )


def _light() -> tuple[str, str]:
    """The page's style sheet, its variables filled in, and the colour of its paper."""
    css = (files("layergym.evals.report") / "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): ([^;]+);", css.partition("@media")[0]))
    return re.sub(r"var\(--(\w+)\)", lambda match: colours[match[1]], css), colours["paper"]


def _captioned(plot: Plot) -> str:
    lines = textwrap.wrap(clean(plot.caption), _LETTERS)
    inner = fromstring(clean(draw_plot(plot, _WIDTH)))
    height = int(inner.attrib["viewBox"].split()[3])
    top = _MARGIN + _LINE * len(lines)
    inner.attrib |= {"x": str(_MARGIN), "y": str(top), "height": str(height), "overflow": "visible"}
    size = {"width": str(_WIDTH + _MARGIN + _BESIDE), "height": str(top + height + _MARGIN)}
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size})
    for place, line in enumerate(lines, start=1):
        SubElement(root, "text", {"x": str(_MARGIN), "y": str(_LINE * place + 4)}).text = line
    root.append(inner)
    return tostring(root, encoding="unicode")


RENDERER = Renderer("png", "report.png", render)
