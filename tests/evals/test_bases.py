"""Pooling over base checkpoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from layergym.envs.files import read_json, write_json
from layergym.evals.bases import _draws, pool, same_but_base
from layergym.evals.contribution import profile
from layergym.evals.report import build
from layergym.evals.report.model import Table
from layergym.evals.results import read_sweep

MakeSweep = Callable[..., Path]


def base(make_sweep: MakeSweep, name: str, seed: int, full: float = 0.7) -> Path:
    arms = {"base": 0.3, "full": full, "layer-00": 0.5, "layer-01": 0.6}
    folder = make_sweep(name, arms=arms, greedy={}, seed=seed)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"model_hash": name})
    return folder


def test_bases_are_the_outer_level(make_sweep: MakeSweep) -> None:
    folders = [base(make_sweep, f"base-{i}", seed=i) for i in range(3)]
    profiles = [profile(read_sweep(folder)) for folder in folders]
    [group] = same_but_base(profiles)
    full, first, _ = pool(group)
    assert full.arm == "full" and full.contribution is None
    gains = [p.measures[0].layers[0].gain.value for p in profiles]
    assert first.gains == pytest.approx(gains)
    low, high = stats.t.interval(0.95, 2, np.mean(gains), stats.sem(gains))
    assert first.gain.low == pytest.approx(low, abs=0.1 * (high - low))
    assert first.gain.high == pytest.approx(high, abs=0.1 * (high - low))
    assert first.contribution is not None
    assert first.contribution.value == pytest.approx(np.mean(gains) / full.gain.value)


def test_the_report_pools_what_differs_in_the_base_alone(make_sweep: MakeSweep) -> None:
    one, two = (base(make_sweep, f"base-{i}", seed=i) for i in range(2))
    section = next(s for s in build([one, two]).sections if s.heading == "Over base checkpoints")
    table = next(b for b in section.blocks if isinstance(b, Table))
    assert [row[0] for row in table.rows] == ["full", "layer 0", "layer 1"]
    assert table.columns[-2:] == ("base-0", "base-1")
    assert not any(s.heading == "Over base checkpoints" for s in build([one]).sections)
    same = [profile(read_sweep(one))] * 2
    assert same_but_base(same) == []


def test_intervals_over_bases_cover_the_truth() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        gains = generator.normal(0.2, 0.05, (3, 1))
        low, high = np.percentile(_draws(gains)[:, 0], [2.5, 97.5])
        covered += low <= 0.2 <= high
    assert 0.92 <= covered / 400 <= 0.98
