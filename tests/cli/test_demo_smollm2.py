"""The demo on a real LLM."""

import json
from pathlib import Path

import pytest

from layergym.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_the_demo_on_smollm2_ends_with_a_report_and_is_done_once(
    smollm2: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["demo", "--model", smollm2, "--fast", "--jobs", "1"]
    assert main(call) == 0
    assert "runs/demo-smollm2/report/report.html" in capsys.readouterr().out
    report = json.loads(Path("runs/demo-smollm2/report/report.json").read_text())
    assert [profile["num_layers"] for profile in report["profiles"]] == [30]
    start = Path("runs/demo-smollm2-start/model.safetensors")
    made = start.stat().st_mtime_ns
    assert main(call) == 0
    assert start.stat().st_mtime_ns == made
    assert main(["demo", "--model", smollm2]) == 2
    assert "other settings" in capsys.readouterr().err
