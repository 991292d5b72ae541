"""`tables.json` is what the alfworld package says."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "alfworld_tables.py"


def test_the_tables_are_those_of_the_alfworld_package() -> None:
    pytest.importorskip("alfworld", reason="needs layergym[alfworld]")
    made = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, check=True).stdout
    shipped = resources.files("layergym.envs.alfworld").joinpath("tables.json").read_bytes()
    assert made == shipped
