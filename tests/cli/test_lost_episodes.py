"""Where every episode ends in an error there is no score, and so no report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = '''
import layergym as lg


class Broken(lg.TextEnv):
    """Nothing can be done here."""

    def start(self) -> str:
        return "A door."

    def play(self, action: str) -> lg.Outcome:
        raise RuntimeError("the world is gone")
'''
DEMO = """
import sys
from dataclasses import replace
from layergym.__main__ import main
from layergym.evals.sweep import demo

usual = demo.demo_sweep

def of_errors(seeds, *, fast):
    spec = usual(seeds, fast=fast)
    return replace(spec, run=replace(spec.run, env="broken/Broken-v0", env_args={}))

if __name__ == "__main__":
    demo.demo_sweep = of_errors
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of packages with an environment in which every action fails."""
    packages = tmp_path / "installed"
    about = packages / "broken_world-1.0.dist-info"
    about.mkdir(parents=True)
    (packages / "broken_world.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-world\nVersion: 1.0\n")
    line = "broken/Broken-v0 = broken_world:Broken"
    (about / "entry_points.txt").write_text(f"[layergym.envs]\n{line}\n")
    return packages


def run(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    ours = Path(__file__).parents[2] / "src"
    paths = {"PYTHONPATH": os.pathsep.join([str(installed), str(ours)])}
    return subprocess.run(
        [sys.executable, *command], env=os.environ | paths, capture_output=True, text=True
    )


def test_a_demo_of_errors_alone_fails_with_the_cause_and_writes_no_report(
    installed: Path, tmp_path: Path
) -> None:
    script, out = tmp_path / "demo.py", tmp_path / "demo"
    script.write_text(DEMO)
    done = run(installed, str(script), "demo", "--fast", "--jobs", "1", "--out", str(out))
    assert done.returncode == 2, done.stderr
    failed = [line for line in done.stderr.splitlines() if "failed: " in line]
    assert len(failed) == 4 and all("the world is gone" in line for line in failed)
    assert done.stdout == "" and not (out / "report").exists()
    assert [*out.glob("arms/*/*/evals/*.json"), *out.glob("arms/*/*/cost.json")] == []


def test_an_evaluation_of_errors_alone_has_no_score(installed: Path) -> None:
    command = ["eval", "broken/Broken-v0", "--agent", "tiny", "--eval-tasks", "2"]
    done = run(installed, "-m", "layergym", *command)
    assert done.returncode == 1, done.stderr
    assert "2 of 2 episodes ended in errors, so there is no score" in done.stderr
    assert "the world is gone" in done.stderr
