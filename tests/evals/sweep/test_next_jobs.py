"""What a sweep runs next: decisions from what is on disk, the same after any interruption."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from layergym.base.files import write_json
from layergym.envs import InputError
from layergym.evals.arms import ArmName
from layergym.evals.report.build import build
from layergym.evals.result_files import read_sweep
from layergym.evals.results import Cost, EvalResult
from layergym.evals.sweep.jobs import SweepJob
from layergym.evals.sweep.next_jobs import next_jobs
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.run_folder import file_look, file_scores, finished, stopped
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import SweepSpec
from layergym.evals.sweep.tuning import read_tuning
from layergym.trainer.spec import RunSpec

Score = Callable[[SweepJob], float]
PEAK = 5


def spec_of(layers: int = 12, seeds: tuple[int, ...] = (0,), **search: object) -> SweepSpec:
    return SweepSpec(
        run=RunSpec(env="layergym/ALFWorld-v0", steps=24),
        layers=tuple(range(layers)),
        num_layers=layers,
        seeds=seeds,
        search=Search(**search),  # type: ignore[arg-type]
    )


def by_depth(job: SweepJob) -> float:
    """A success rate that falls with the distance from layer 5, and is best at rate 1e-3."""
    layer = job.arm.name.layer
    best = {"base": 0.1, "full": 0.8}.get(job.arm.name, 0.7)
    off = 0.0 if layer is None else 0.09 * abs(layer - PEAK)
    rate = job.arm.run.learning_rate
    return max(0.02, best - off - (0.1 if rate not in (None, 1e-3) else 0.0))


def pretend(job: SweepJob, score: Score) -> None:
    """Leave what the job leaves, with a score of its own."""
    chance = score(job)
    tasks = 64
    noise = np.random.default_rng([job.arm.name.layer or 99, job.arm.run.seed])
    success = noise.permuted(np.arange(tasks) < chance * tasks)
    result = EvalResult(
        env_id="layergym/ALFWorld-v0",
        split=job.eval.split,
        panel_hash=job.eval.split * 8,
        arm=job.arm.name,
        seed=job.arm.run.seed,
        temperature=1.0,
        tasks=tuple(f"{job.eval.split}-{i}" for i in range(tasks)),
        kinds=("",) * tasks,
        success=tuple((bool(v),) for v in success),
        reward=tuple((float(v),) for v in success),
        turns=((1,),) * tasks,
    )
    if not (job.folder / "config.json").is_file():
        write_json(job.folder / "config.json", {"steps": job.arm.run.steps})
        write_json(job.folder / "manifest.json", {})
    if job.look is None:
        file_scores(job.folder, [result], Cost())
    else:
        file_look(job.folder, job.look, result)


def play(
    spec: SweepSpec, folder: Path, *, at_once: int = 100, score: Score = by_depth
) -> list[str]:
    """Do all jobs, a few at a time, each chosen from what is on disk; their names in order."""
    write_json(folder / "sweep.json", {"search": {"scan": spec.search.scan, "race": [8]}})
    done = []
    while jobs := next_jobs(resolve(spec, folder)):
        for job in jobs[:at_once]:
            pretend(job, by_depth)
            done.append(f"{job.arm.name}@{job.look or 'end'}")
    return done


def ran(folder: Path) -> set[int]:
    found = (folder / "arms").glob("layer-*/seed-*")
    return {ArmName(p.parent.name).layer or 0 for p in found if finished(p)}


def test_without_a_search_every_arm_is_run_to_the_end_base_and_full_first(tmp_path: Path) -> None:
    names = play(spec_of(3, seeds=(0, 1)), tmp_path)
    assert names[:3] == ["base@end", "full@end", "full@end"]
    assert names[3:] == [f"{ArmName.of_layer(layer)}@end" for layer in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_race_stops_what_is_far_behind_in_all_its_seeds(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    names = play(spec_of(seeds=seeds, race=(8, 16)), tmp_path)
    assert PEAK in ran(tmp_path) and not ran(tmp_path) & {0, 10, 11}
    reasons = {stopped(tmp_path / "arms" / "layer-11" / f"seed-{seed}") for seed in seeds}
    assert len(reasons) == 1
    [reason] = reasons
    assert reason is not None and "at step 8 of 24 it scored" in reason
    assert "64 tasks of the valid split" in reason and "layer 5" in reason
    assert names.count("layer-11@8") == len(seeds) and "layer-11@16" not in names
    assert "layer-11@end" not in names


def test_a_scan_runs_few_layers_and_finds_the_best(tmp_path: Path) -> None:
    play(spec_of(scan=4), tmp_path)
    assert {PEAK - 1, PEAK, PEAK + 1} <= ran(tmp_path)
    assert len(ran(tmp_path)) < 12 and {0, 4, 8, 11} <= ran(tmp_path)


def test_a_scan_and_a_race_go_together(tmp_path: Path) -> None:
    names = play(spec_of(scan=4, race=(8,)), tmp_path)
    assert PEAK in ran(tmp_path) and 11 not in ran(tmp_path)
    assert stopped(tmp_path / "arms" / "layer-11" / "seed-0")
    assert "layer-11@24" not in names and "layer-05@24" in names


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_decisions_do_not_depend_on_interruptions(tmp_path: Path, at_once: int) -> None:
    spec = spec_of(scan=3, race=(8, 16), lr_grid=(3e-4, 1e-3))
    whole = play(spec, tmp_path / "whole")
    parts = play(spec, tmp_path / "parts", at_once=at_once)
    assert sorted(whole) == sorted(parts)
    assert ran(tmp_path / "whole") == ran(tmp_path / "parts")
    for folder in (tmp_path / "whole" / "arms").glob("*/seed-*"):
        other = tmp_path / "parts" / folder.relative_to(tmp_path / "whole")
        assert stopped(folder) == stopped(other)


def test_a_failed_layer_holds_up_no_race(tmp_path: Path) -> None:
    spec = spec_of(race=(8,))
    broken = tmp_path / "arms" / "layer-04" / "seed-0"
    write_json(tmp_path / "sweep.json", {})
    for _ in range(9):
        for job in next_jobs(resolve(spec, tmp_path), [broken]):
            pretend(job, by_depth)
    assert next_jobs(resolve(spec, tmp_path), [broken]) == []
    assert PEAK in ran(tmp_path)
    assert [job.folder for job in next_jobs(resolve(spec, tmp_path))] == [broken]


def test_rates_are_tuned_first_on_other_tasks_with_another_seed(tmp_path: Path) -> None:
    spec = spec_of(4, seeds=(0, 3), lr_grid=(1e-4, 1e-3, 1e-2))
    first = next_jobs(resolve(spec, tmp_path))
    tried = [(job.arm.name, job.arm.run.learning_rate) for job in first[:6]]
    assert tried == [(arm, r) for arm in ("full", "layer-02") for r in (1e-4, 1e-3, 1e-2)]
    assert {job.arm.run.seed for job in first[:6]} == {4}
    assert {job.eval.split for job in first[:6]} == {"valid"}
    assert [job.arm.name for job in first[6:]] == ["base"]
    play(spec, tmp_path)
    tuning = read_tuning(tmp_path)
    assert tuning is not None and (tuning.full, tuning.layer) == (1e-3, 1e-3)
    assert len(tuning.grid) == 6 and "64 tasks of the valid split" in tuning.panel
    assert next_jobs(resolve(spec, tmp_path)) == []


def test_the_rates_that_were_chosen_are_used(tmp_path: Path) -> None:
    spec = spec_of(2, lr_grid=(1e-4, 1e-3))
    rates: dict[str, set[float | None]] = {}
    while jobs := next_jobs(resolve(spec, tmp_path)):
        for job in jobs:
            pretend(job, by_depth)
            if "arms" in job.folder.parts:
                rates.setdefault(job.arm.name, set()).add(job.arm.run.learning_rate)
    assert rates["full"] == rates["layer-00"] == rates["layer-01"] == {1e-3}


def test_the_report_says_what_was_decided_and_ranks_only_what_was_scored(tmp_path: Path) -> None:
    spec = spec_of(scan=4, race=(8,), lr_grid=(1e-4, 1e-3))
    play(spec, tmp_path)
    report = build([tmp_path])
    said = str(report)
    assert "A coarse-to-fine scan (one layer in 4 first" in said
    assert "layer 11, seed 0 was stopped early: at step 8" in said
    assert "no comparable score and no rank" in said
    assert "Learning rates tried" in said and "the end of the grid" in said
    assert "the middle of the stack is not compared with its ends" in said
    main = report.profiles[0].measures[0]
    assert 11 not in [arm.layer for arm in main.layers]
    assert main.middle_less_first is None and main.middle_less_last is None
    assert read_sweep(tmp_path).selective


def test_rates_are_given_or_tuned_not_both() -> None:
    changes: Mapping[str, object] = {"lr_grid": (1e-4, 1e-3)}
    with pytest.raises(InputError, match="not both"):
        SweepSpec(
            run=RunSpec(env="x", steps=9),
            eval=EvalSpec(),
            layers=(0,),
            num_layers=1,
            lr_full=1e-3,
            search=Search(**changes),  # type: ignore[arg-type]
        )
