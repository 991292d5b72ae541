"""The report's intervals on synthetic sweeps of known truth: benchmarks/coverage.py in small."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from layergym.evals.simulate import Design


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("layergym_coverage", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_intervals_cover_known_contributions(coverage: ModuleType) -> None:
    found = coverage.simulate(*coverage.PROFILES["layers differ"], Design(tasks=64), 100)
    assert 0.91 <= found.contributions <= 0.985
    assert 0.91 <= found.scores <= 0.985


def test_equal_layers_are_rarely_called_better_than_full(coverage: ModuleType) -> None:
    found = coverage.simulate(*coverage.PROFILES["all equal full"], Design(tasks=64), 100)
    assert found.beats_full <= 0.08


def test_seeds_that_differ_but_were_not_repeated_are_not_covered(coverage: ModuleType) -> None:
    """Why one seed per arm is flagged: this can fail, so the two above mean something."""
    lone = Design(seeds=1, seed_sd=0.4)
    assert coverage.simulate(*coverage.PROFILES["layers differ"], lone, 25).contributions < 0.8
