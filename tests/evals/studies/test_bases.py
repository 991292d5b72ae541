"""Pooling over base checkpoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from layergym.base.files import read_json, write_json
from layergym.evals.report.build import build
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.report.study import Finished
from layergym.evals.result_files import read_sweep
from layergym.evals.stats.simulate import Design
from layergym.evals.studies.bases import _draws, pool, same_but_base, spread

MakeSweep = Callable[..., Path]
RUN = {"model": "a", "algorithm": "gigpo", "steps": 24, "seed": 0}


def base(make_sweep: MakeSweep, name: str, seed: int, **run: object) -> Path:
    arms = {"base": 0.3, "full": 0.7, "layer-00": 0.5, "layer-01": 0.6}
    settings = {"run": {**RUN, "model": name, **run}, "num_layers": 2}
    folder = make_sweep(name, arms=arms, greedy=arms, seed=seed, settings=settings)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"model_hash": name})
    return folder


def found(folder: Path) -> Finished:
    sweep = read_sweep(folder)
    return Finished.of(sweep)


def pooled_section(folders: list[Path]) -> Section:
    return next(s for s in build(folders).sections if s.heading == "Over base checkpoints")


def test_bases_are_the_outer_level(make_sweep: MakeSweep) -> None:
    folders = [base(make_sweep, f"base-{i}", seed=i) for i in range(3)]
    [group] = same_but_base([found(folder) for folder in folders])
    start, full, first, _ = pool([finished.sweep for finished in group], 1.0)
    assert (start.arm, full.arm) == ("base", "full")
    assert start.contribution is None and full.contribution is None
    mains = [finished.profile.measures[0] for finished in group]
    assert start.values == pytest.approx([main.base.value for main in mains])
    assert first.values == pytest.approx([main.layers[0].gain.value for main in mains])
    assert first.mean.value == pytest.approx(np.mean(first.values))
    assert first.contribution is not None
    assert first.contribution.value == pytest.approx(np.mean(first.values) / full.mean.value)


def test_the_report_pools_what_differs_in_the_base_alone(make_sweep: MakeSweep) -> None:
    one, two = (base(make_sweep, f"base-{i}", seed=i) for i in range(2))
    blocks = pooled_section([one, two]).blocks
    main, greedy = (block for block in blocks if isinstance(block, Table))
    *_, told, _ = (block for block in blocks if isinstance(block, Text))
    rows = [row[0] for row in main.rows]
    assert rows == ["base", "full - base", "layer 0 - base", "layer 1 - base"]
    assert main.columns[-2:] == ("base-0", "base-1")
    assert main.caption.startswith("At temperature 1") and greedy.caption.startswith("At greedy")
    assert "1 degree of freedom" in told.text and "Between seeds" in told.text
    assert not any(s.heading == "Over base checkpoints" for s in build([one]).sections)
    assert same_but_base([found(one)] * 2) == []


def test_sweeps_of_other_settings_are_not_pooled(make_sweep: MakeSweep) -> None:
    one = base(make_sweep, "base-0", seed=0)
    longer = base(make_sweep, "longer", seed=1, steps=48)
    assert same_but_base([found(one), found(longer)]) == []
    alike = base(make_sweep, "alike", seed=2, rows_per_pass=8, patience=None, lora=0)
    assert len(same_but_base([found(one), found(alike)])) == 1


def test_bases_spread_is_told_from_seeds(make_sweep: MakeSweep) -> None:
    calm = Design(seed_sd=0.0)
    folders = []
    for place, level in enumerate((0.2, 0.4, 0.6)):
        arms = {"base": level, "full": level + 0.2, "layer-00": level}
        folders.append(make_sweep(f"base-{place}", arms=arms, greedy={}, seed=place, design=calm))
    apart = spread([read_sweep(folder) for folder in folders], 1.0)
    assert apart.base == pytest.approx(0.2, abs=0.05)
    assert apart.gain < 0.06
    assert apart.seeds is not None and apart.seeds < 0.03


def test_bases_that_disagree_leave_contributions_undefined(make_sweep: MakeSweep) -> None:
    folders = []
    for place, (level, full) in enumerate(((0.1, 0.2), (0.6, 0.95))):
        arms = {"base": level, "full": full, "layer-00": level}
        folders.append(make_sweep(f"base-{place}", arms=arms, greedy={}, seed=place))
        manifest = read_json(folders[-1] / "manifest.json")
        write_json(folders[-1] / "manifest.json", manifest | {"model_hash": str(place)})
    start, full_arm, first = pool([read_sweep(folder) for folder in folders], 1.0)
    assert first.contribution is None and full_arm.mean.low is not None and full_arm.mean.low < 0
    assert (start.mean.low, start.mean.high) == (0, 1)
    warnings = [b for b in pooled_section(folders).blocks if isinstance(b, Text)]
    assert warnings[0].tone == "warning" and "contributions are undefined" in warnings[0].text


def test_equal_tasks_leave_student_s_interval_between_bases() -> None:
    gains = np.array([0.1, 0.25, 0.2])
    drawn = _draws(np.repeat(gains[:, None, None], 40, axis=1))[:, 0]
    low, high = stats.t.interval(0.95, 2, gains.mean(), stats.sem(gains))
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx([low, high], abs=0.1 * (high - low))


@pytest.mark.parametrize("task_sd", [0.0, 0.4])
def test_intervals_over_bases_and_tasks_cover_the_truth(task_sd: float) -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        between = generator.normal(0.2, 0.03, (3, 1))
        tasks = generator.normal(0, task_sd, (1, 60))
        cells = between + tasks + generator.normal(0, 0.3, (3, 60))
        low, high = np.percentile(_draws(cells[:, :, None])[:, 0], [2.5, 97.5])
        covered += low <= 0.2 <= high
    assert 0.92 <= covered / 400 <= 0.985
