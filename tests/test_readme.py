"""Every Python block of the README runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[2])
def test_a_block_runs_and_prints_what_is_shown(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shown = README.read_text(encoding="utf-8").split(block)[1].split("```")[1]
    quoted = [line[4:] for line in shown.splitlines() if line.startswith("    ")]
    for line in quoted if quoted and "TextWorld" in quoted[0] else []:
        assert line in [*done.stdout.splitlines(), "..."]
