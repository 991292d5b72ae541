"""A renderer is one file of `render/`: the formats and the command line find it there."""

import sys
from importlib import reload
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.evals.report import render, write

SHOUT = """
from layergym.evals.report.model import Renderer

RENDERER = Renderer("shout", "report.shout", lambda report: report.title.upper())
"""


def test_a_new_file_is_a_format_and_an_option(
    tmp_path: Path, sweep_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shout.py").write_text(SHOUT)
    with monkeypatch.context() as here:
        here.setattr(render, "__path__", [*render.__path__, str(tmp_path)])
        reload(write)
        assert main(["report", str(sweep_folder), "--shout", "--quiet"]) == 0
    assert (sweep_folder / "report" / "report.shout").read_text() == "LAYER CONTRIBUTION"
    del sys.modules[f"{render.__name__}.shout"]
    reload(write)
    assert "shout" not in write.FORMATS
