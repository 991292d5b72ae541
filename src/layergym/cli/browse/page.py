"""The page itself: from `assets/`, with its style and script beside it or within it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from layergym.cli.browse.episodes import safe_json

SCRIPTS = ("dom", "data", "plot", "table", "runs", "folder", "episodes", "main")
"""Files of `assets/`, in the order in which the browser reads them."""


@cache
def style() -> str:
    """The style sheet: that of reports, and what this page has besides."""
    report = files("layergym.evals.report").joinpath("page.css").read_text(encoding="utf-8")
    return report + _asset("page.css")


@cache
def script() -> str:
    """The script, strict and out of the way of everything else."""
    parts = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def served_page() -> str:
    """The page that asks a server for everything, its style and script included."""
    return _page(policy="", style="", script="", data="")


def page_in_one_file(answers: dict[str, Any]) -> str:
    """A page that holds its style, its script and all answers, and asks nobody for anything."""
    policy = (
        f"default-src 'none'; style-src '{_digest(style())}'; script-src '{_digest(script())}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _page(policy=policy, style=style(), script=script(), data=safe_json(answers))


def _page(*, policy: str, style: str, script: str, data: str) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_asset("page.html.jinja")).render(
        policy=policy, style=Markup(style), script=Markup(script), data=Markup(data)
    )


def _digest(text: str) -> str:
    """How a content security policy names what it lets through."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return files("layergym.cli.browse").joinpath("assets", name).read_text(encoding="utf-8")
