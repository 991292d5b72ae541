"""What of a sweep is to be run now: a function of its settings and of what is on disk.

Decisions that are due (learning rates, who leaves the race) are taken here, from the scores on the
development panel, and written down. A sweep that was killed at any moment takes the same ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from layergym.evals.arms import ArmName
from layergym.evals.stats import Floats
from layergym.evals.sweep.jobs import SweepJob
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.racing import Behind, behind
from layergym.evals.sweep.run_folder import finished, look_at_step, stop, stopped
from layergym.evals.sweep.scan import waves
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import ArmRun, ResolvedSweep, SweepSpec
from layergym.evals.sweep.tuning import settle_rates, tuning_runs


def next_jobs(sweep: ResolvedSweep, failed: Collection[Path] = ()) -> list[SweepJob]:
    """The jobs that may start, or are under way, in the order in which they should start.

    Args:
        sweep: in its folder.
        failed: folders of runs that failed and are left alone for now.
    """
    jobs = []
    if tuning := settle_rates(sweep):
        sweep = sweep.at(tuning.rates)
    elif sweep.spec.search.lr_grid:
        tried = replace(sweep.spec.search.dev, temperatures=(1.0,))
        jobs = [SweepJob(run, tried) for run in tuning_runs(sweep)]
    runs = [run for run in sweep.runs if not run.name.trained or not jobs]
    jobs += [SweepJob(run, sweep.spec.eval) for run in runs if run.name.layer is None]
    if single := _by_layer(runs):
        jobs += _Layers(sweep.spec.search, sweep.spec.run.steps, single, failed).jobs(
            sweep.spec.eval
        )
    return [job for job in jobs if not finished(job.folder) and job.folder not in failed]


def all_runs(sweep: ResolvedSweep) -> list[ArmRun]:
    """Every run that the sweep may need: those of the grid, then those of its arms."""
    return [*(tuning_runs(sweep) if sweep.spec.search.lr_grid else ()), *sweep.runs]


def missing_runs(spec: SweepSpec, folder: Path) -> list[tuple[ArmName, int]]:
    """Runs (arm, seed) that the sweep still owes; nothing is decided or written.

    Layers that the scan has not taken so far, and those that left the race, are none of them.
    """
    # What is missing depends on folders alone, so the sweep need not be resolved.
    runs = ResolvedSweep(spec, folder, tuple((arm, spec.run) for arm in spec.arms)).runs
    single = _by_layer(runs)
    taken = {
        layer for wave in _Layers(spec.search, spec.run.steps, single).waves() for layer in wave
    }
    return [
        (run.name, run.run.seed)
        for run in runs
        if (run.name.layer is None or run.name.layer in taken)
        and not finished(run.folder)
        and not stopped(run.folder)
    ]


def _by_layer(listed: Sequence[ArmRun]) -> dict[int, list[ArmRun]]:
    runs: dict[int, list[ArmRun]] = {}
    for arm in listed:
        layer = arm.name.layer
        if layer is not None:
            runs.setdefault(layer, []).append(arm)
    return runs


@dataclass(frozen=True)
class _Layers:
    """The single-layer arms; all seeds of a layer go on or stop together."""

    search: Search
    steps: int
    """Optimiser steps of every run."""
    runs: Mapping[int, Sequence[ArmRun]]
    failed: Collection[Path] = ()

    @property
    def looks(self) -> tuple[int, ...]:
        return self.search.looks(self.steps)

    def jobs(self, final: EvalSpec) -> list[SweepJob]:
        """What is to be done now for the layers that were taken so far."""
        jobs, known = list[SweepJob](), list[int]()
        for wave in self.waves():
            known += wave
            jobs += self._wave(wave, known, final)
        return jobs

    def waves(self) -> list[tuple[int, ...]]:
        """The layers that are in it so far, in the order in which they were taken."""
        layers = tuple(self.runs)
        if not self.search.scan:
            return [layers]
        out = [layer for layer in layers if self._out(layer)]
        tables = {layer: self._table(layer, self.looks[-1]) for layer in layers}
        scores = {k: float(t.mean()) for k, t in tables.items() if t is not None}
        return waves(layers, self.search.scan, scores, out)

    def _wave(self, wave: Sequence[int], known: Sequence[int], final: EvalSpec) -> list[SweepJob]:
        """The jobs of one wave; it races against what ran before it, never against what follows."""
        going = [layer for layer in wave if not self._out(layer)]
        for step in self.looks:
            going_arms = [arm for layer in going for arm in self.runs[layer]]
            if lacking := [arm for arm in going_arms if look_at_step(arm.folder, step) is None]:
                return [SweepJob(arm, self.search.dev, step) for arm in lacking]
            if step in self.search.race:
                self._judge(step, going, known)
                going = [layer for layer in going if not self._out(layer)]
        return [SweepJob(arm, final) for layer in going for arm in self.runs[layer]]

    def _judge(self, step: int, going: Sequence[int], known: Sequence[int]) -> None:
        """Stop those of `going` that are behind any of the `known` layers at `step`."""
        tables = {layer: self._table(layer, step) for layer in known}
        seen = {ArmName.of_layer(layer): t for layer, t in tables.items() if t is not None}
        for one in behind(seen, looks=len(self.search.race)):
            layer = one.arm.layer
            for arm in self.runs[layer] if layer is not None and layer in going else ():
                stop(arm.folder, self._reason(one, step, arm))

    def _reason(self, one: Behind, step: int, arm: ArmRun) -> str:
        result = look_at_step(arm.folder, step)
        assert result is not None
        return (
            f"at step {step} of {arm.run.steps} it scored {100 * one.score:.1f} % on "
            f"{len(result.tasks)} tasks of the {result.split} split, "
            f"{one.leader.label} {100 * one.best:.1f} %: at least "
            f"{100 * one.at_least:.1f} points more (bound for all layers and looks together)"
        )

    def _table(self, layer: int, step: int) -> Floats | None:
        """Success rates (S, T) of a layer on the development panel."""
        looks = [look_at_step(arm.folder, step) for arm in self.runs[layer]]
        results = [result for result in looks if result is not None]
        return np.array([r.rates for r in results]) if len(results) == len(looks) else None

    def _out(self, layer: int) -> bool:
        """Whether looks go on without this layer: it was stopped, or one of its runs failed."""
        if not self.looks:
            return False
        return any(arm.folder in self.failed or stopped(arm.folder) for arm in self.runs[layer])
