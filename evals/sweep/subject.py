"""The sweep or full run that `layergym dissect` takes apart, as it is on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from layergym.base.errors import InputError
from layergym.evals.contribution.dissected import Store
from layergym.evals.result_files import is_sweep, read_run, read_sweep
from layergym.evals.results import Sweep
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.spec import read_spec
from layergym.evals.sweep.variants import Bench, Runs
from layergym.trainer.spec import RunSpec

DELTA = "delta.safetensors"


@dataclass(frozen=True)
class Subject:
    """What is taken apart."""

    path: Path
    run: RunSpec
    spec: EvalSpec
    runs: Runs
    sweep: Sweep | None
    """None for a run that stands alone."""
    temperature: float


def read_subject(folder: Path, beside: Sequence[Path] = ()) -> Subject:
    """The sweep or run in `folder`, with the full runs of other folders.

    Raises:
        InputError: one has no finished full training.
    """
    sweep = read_sweep(folder) if is_sweep(folder) else None
    if sweep:
        settings = read_spec(folder)
        run, spec = settings.run, settings.eval
    else:
        run, spec = RunSpec.read(folder), EvalSpec()
    full = _full_runs(folder, sweep)
    alone = {
        (one.arm.layer, one.seed): one.path / DELTA
        for one in (sweep.runs if sweep else ())
        if one.arm.layer is not None and one.seed in full and (one.path / DELTA).is_file()
    }
    others = {
        re.sub(r"[^A-Za-z0-9_-]", "_", other.resolve().name): _full_runs(
            other, read_sweep(other) if is_sweep(other) else None
        )
        for other in beside
    }
    return Subject(
        path=folder,
        run=run,
        spec=spec,
        runs=Runs(full, dict(sorted(alone.items())), others),
        sweep=sweep,
        temperature=next((t for t in spec.temperatures if t), 1.0),
    )


def _full_runs(folder: Path, sweep: Sweep | None) -> dict[int, Path]:
    """Deltas of full training by seed."""
    runs = [run for run in sweep.runs if run.arm == "full"] if sweep else [read_run(folder)]
    deltas = {run.seed: run.path / DELTA for run in runs if (run.path / DELTA).is_file()}
    if not deltas:
        raise InputError(f"{folder} has no finished full training to take apart")
    return dict(sorted(deltas.items()))


def keep_known(subject: Subject, bench: Bench, store: Store) -> None:
    """Take over from the sweep what it has played itself: the same episodes, the same models."""
    if subject.sweep is None or bench.run.dtype != subject.sweep.settings["run"].get("dtype"):
        return
    bases = subject.sweep.results("base", bench.temperature)
    for seed in subject.runs.full:
        taken = [("base", base) for base in bases[:1]]
        for run in subject.sweep.runs:
            layer = run.arm.layer
            if run.seed == seed and (run.arm == "full" or layer is not None):
                name = run.arm if layer is None else f"alone-{layer}"
                taken += [(name, r) for r in run.evals if r.temperature == bench.temperature]
        for name, result in taken:
            same = result.panel_hash == bench.panel.hash and result.repeats == bench.spec.repeats
            if same and not store.has(seed, name):
                store.keep(seed, replace(result, arm=name, seed=seed))


def trained_episodes(subject: Subject) -> int:
    """Episodes that the single-layer runs of one seed have trained on."""
    layers = len({layer for layer, _ in subject.runs.alone})
    run = subject.run
    return layers * run.steps * run.tasks_per_step * run.group_size
