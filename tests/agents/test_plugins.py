"""Parts that other packages announce: what is broken costs nobody else anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from layergym.agents.formats import ReplyFormat, open_format
from layergym.agents.plugins import Plugins, alone
from layergym.base.errors import InputError

GROUP = "layergym.test_parts"
ANNOUNCED = {
    "good": "loud = loud_parts:make",
    "replaces": "plain = loud_parts:make",
    "one": "shared = loud_parts:make",
    "two": "shared = loud_parts:make",
    "absent": "absent = no_such_module_anywhere:make",
    "lacks": "lacks = loud_parts:nothing",
    "leaves": "leaves = leaving_parts:make",
    "bad-place": "bad = not a place",
    "bad-line": "no equals sign",
}
MODULE = """
from layergym.agents.formats import open_format
def make(argument):
    if argument == "break":
        raise SystemExit("bye")
    return open_format("think")
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins[ReplyFormat]:
    for package, line in ANNOUNCED.items():
        folder = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{line}\n")
    (tmp_path / "loud_parts.py").write_text(MODULE)
    (tmp_path / "leaving_parts.py").write_text("import sys; sys.exit('bye')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Plugins("form", GROUP, {"plain": alone(lambda: open_format("plain"))})


def test_what_works_is_used_and_ours_is_not_replaced(parts: Plugins[ReplyFormat]) -> None:
    assert parts.open("loud") == open_format("think")
    assert parts.open("plain") == open_format("plain")
    assert "shared" not in parts.names()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("shared", "same name"),
        ("bad", "not a place"),
        ("absent", "ModuleNotFoundError"),
        ("lacks", "AttributeError"),
        ("leaves", "SystemExit"),
        ("loud:break", "SystemExit"),
        ("loud:", "behind the colon"),
        ("plain:", "behind the colon"),
        ("loud" + "x" * 9000, "no form"),
    ],
)
def test_what_does_not_work_says_why(parts: Plugins[ReplyFormat], text: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        parts.open(text)
    assert len(str(caught.value)) < 300


def test_everything_that_cannot_be_used_is_told_with_its_package(
    parts: Plugins[ReplyFormat],
) -> None:
    told = {trouble.package for trouble in parts.troubles()}
    assert told == {"replaces", "one", "two", "bad-place", "bad-line"}
