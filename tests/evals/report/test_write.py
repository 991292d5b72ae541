"""Reports on disk: all files that were asked for, or those that were there."""

from __future__ import annotations

from pathlib import Path

import pytest

from layergym.evals.report.build import build
from layergym.evals.report.write import write_report
from tests.full_disk import largest_file


def test_a_report_that_finds_no_room_leaves_the_old_one(sweep_folder: Path, tmp_path: Path) -> None:
    report, out = build([sweep_folder]), tmp_path / "out"
    for file in write_report(report, out, ["txt", "html"]):
        file.write_text("old\n")
    before = sorted(out.iterdir())
    with largest_file(20_000), pytest.raises(OSError, match="too large"):  # The text fits.
        write_report(report, out, ["txt", "html"])
    assert sorted(out.iterdir()) == before
    assert {file.read_text() for file in before} == {"old\n"}
    new = write_report(report, out, ["txt", "html"])
    assert all(file.stat().st_size > 100 for file in new)
