"""Every file of examples/ runs, as somebody would run it, and prints what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOK = EXAMPLES / "first_steps.ipynb"
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


@pytest.mark.slow
def test_the_notebook_runs_cell_by_cell(tmp_path: Path) -> None:
    """Its code cells in order, in one process, as a kernel runs them."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for printed in ("Your task is to:", "random: 0%", "step 3: success", "(episode "):
        assert printed in done.stdout


def test_the_notebook_is_kept_without_output() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_every_example_is_listed_and_run() -> None:
    files = {path.stem for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert files == PRINTED.keys()
    assert all(f"{name}.py" in listed for name in files)
    assert NOTEBOOK.name in listed
