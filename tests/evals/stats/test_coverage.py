"""The report's intervals on synthetic sweeps of known truth: benchmarks/coverage.py in small."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from layergym.evals.stats.simulate import Design


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("layergym_coverage", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def simulate(coverage: ModuleType, *setting: object) -> Any:
    """Shares of what was right over the sweeps of a setting."""
    return coverage.counted(coverage.judged(*setting))


def test_intervals_cover_known_contributions(coverage: ModuleType) -> None:
    found = simulate(coverage, *coverage.PROFILES["layers differ"], Design(tasks=64), range(100))
    assert 0.91 <= found.contributions <= 0.985
    assert 0.91 <= found.scores <= 0.985
    assert found.picked >= 0.92 and found.ranks <= 0.08 and found.middle <= 0.05


def test_equal_layers_are_rarely_called_better_than_full(coverage: ModuleType) -> None:
    found = simulate(coverage, *coverage.PROFILES["all equal full"], Design(tasks=64), range(100))
    assert max(found.beats_full, found.ranks, found.idle) <= 0.08 and found.picked >= 0.92


def test_seeds_that_differ_but_were_not_repeated_are_not_covered(coverage: ModuleType) -> None:
    """Why one seed per arm is flagged: this can fail, so the two above mean something."""
    lone = Design(seeds=1, seed_sd=0.4)
    found = simulate(coverage, *coverage.PROFILES["layers differ"], lone, range(25))
    assert found.contributions < 0.8 and found.ranks > 0.5
    assert found.idle == 0  # Then no layer is recommended at all.


def test_the_gain_is_covered_as_well_as_by_one_variance_where_runs_diverge(
    coverage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs of full training rarely show a loss that every tenth run has."""
    world = (*coverage.PROFILES["layers differ"], Design(diverged=0.1), range(40))
    now = simulate(coverage, *world)
    monkeypatch.setattr(coverage.intervals, "seed_spread", coverage.one_variance)
    assert now.gain >= simulate(coverage, *world).gain


def test_a_lost_run_of_a_layer_leaves_contributions_defined_that_hold(
    coverage: ModuleType,
) -> None:
    """Defined in one of three sweeps where all arms share one variance."""
    lost = coverage.ArmName.of_layer(3)
    found = simulate(coverage, *coverage.LOST, Design(), range(40), lost)
    assert found.undefined <= 0.1 and found.contributions >= 0.92 and found.beats_full <= 0.05
