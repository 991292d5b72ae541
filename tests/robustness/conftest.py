"""The tables of benchmarks/robustness, in small."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def table() -> Callable[[str], ModuleType]:
    """A module of benchmarks/robustness by name."""

    def load(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [str(ROOT), *sys.path])
            return importlib.import_module(f"benchmarks.robustness.{name}")

    return load
