"""Every file of examples/ runs, as somebody would run it, and prints what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PRINTED = {
    "your_environment": "expert: 100%",
    "train_one_layer": "merged into a model",
    "score_agents": "random: 0%",
    "which_layer": "layer-03: gain",
    "trl_trainer": "reward",
    "episodes_for_sft": "conversations",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_it_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert PRINTED[name] in done.stdout
    assert "Traceback" not in done.stderr


def test_every_example_is_listed_and_run() -> None:
    files = {path.stem for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert files == PRINTED.keys()
    assert all(f"{name}.py" in listed for name in files)
