"""How tests read a report: its parts by kind, and its page as a browser would."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeVar

from layergym.evals.report.model import Plot, Report, Table, Text

MakeSweep = Callable[..., Path]


Kind = TypeVar("Kind", Plot, Table, Text)


VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks that tags are balanced and collects what a browser would act on."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def texts(report: Report) -> str:
    return " ".join(b.text for s in report.sections for b in s.blocks if isinstance(b, Text))


def headings(report: Report) -> list[str]:
    return [section.heading for section in report.sections]


CELL = re.compile(r"[-+]?\d+\.\d+ \[[-+]?\d+\.\d+, [-+]?\d+\.\d+\]")


def blocks(report: Report, kind: type[Kind]) -> list[Kind]:
    return [b for s in report.sections for b in s.blocks if isinstance(b, kind)]


def lose(run: Path) -> None:
    path = run / "evals" / "t1.0.json"
    value = json.loads(path.read_text())
    value["success"] = [[False] * len(row) for row in value["success"]]
    path.write_text(json.dumps(value))
