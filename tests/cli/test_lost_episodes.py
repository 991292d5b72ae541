"""Where every episode ends in an error there is no score, and so no report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.evals.sweep import demo

PLUGIN = '''
import layergym as lg


class Broken(lg.TextEnv):
    """Nothing can be done here."""

    def start(self) -> str:
        return "A door."

    def play(self, action: str) -> lg.Outcome:
        raise RuntimeError("the world is gone")
'''


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of an installed environment in which every action fails."""
    package = tmp_path / "installed"
    about = package / "broken_world-1.0.dist-info"
    about.mkdir(parents=True)
    (package / "broken_world.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-world\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[layergym.envs]\nbroken/Broken-v0 = broken_world:Broken\n"
    )
    monkeypatch.syspath_prepend(str(package))
    return "broken/Broken-v0"


def test_a_demo_of_errors_alone_fails_with_the_cause_and_writes_no_report(
    broken: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def of_errors(seeds: tuple[int, ...], *, fast: bool) -> object:
        spec = usual(seeds, fast=fast)
        return replace(spec, run=replace(spec.run, env=broken, env_args={}))

    usual = demo.demo_sweep
    monkeypatch.setattr(demo, "demo_sweep", of_errors)
    out = tmp_path / "demo"
    assert main(["demo", "--fast", "--jobs", "1", "--out", str(out)]) == 2
    shown = capsys.readouterr()
    failed = [line for line in shown.err.splitlines() if "failed: " in line]
    assert len(failed) == 4 and all("the world is gone" in line for line in failed)
    assert "score" not in shown.out and not (out / "report").exists()
    assert not list(out.glob("arms/*/*/evals/*.json")) + list(out.glob("arms/*/*/cost.json"))


def test_an_evaluation_of_errors_alone_has_no_score(
    broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", broken, "--agent", "tiny", "--tasks", "2"]) == 1
    assert "2 of 2 episodes ended in errors, which is no score" in capsys.readouterr().err
