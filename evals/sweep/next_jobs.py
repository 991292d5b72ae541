"""What of a sweep is to be run now: a function of its settings and of what is on disk.

Decisions that are due (learning rates, who leaves the race) are taken here, from the scores on the
development panel, and written down. A sweep that was killed at any moment takes the same ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from layergym.base.files import read_json, write_json
from layergym.evals.results import arm_label, arm_of, layer_of
from layergym.evals.stats import Floats
from layergym.evals.sweep.executors.job import SweepJob
from layergym.evals.sweep.racing import Behind, behind
from layergym.evals.sweep.run_arm import drop_checkpoints, finished, looked
from layergym.evals.sweep.scan import waves
from layergym.evals.sweep.spec import Arm, SweepSpec, arm_name, arm_run, arms, recipe, run_folder
from layergym.evals.sweep.tuning import settle_rates, tuning_arms


def next_jobs(spec: SweepSpec, folder: Path, failed: Collection[Path] = ()) -> list[SweepJob]:
    """The jobs that may start, or are under way, in the order in which they should start.

    Args:
        spec: the sweep's settings.
        folder: its folder.
        failed: folders of runs that failed and are left alone for now.
    """
    jobs = []
    tuning = settle_rates(spec, folder)
    if tuning:
        search = replace(spec.search, lr_grid=())
        spec = replace(spec, lr_full=tuning.full, lr_layer=tuning.layer, search=search)
    elif spec.search.lr_grid:
        tried = replace(spec.search.dev, temperatures=(1.0,))
        jobs = [SweepJob(arm, tried) for arm in tuning_arms(spec, folder)]
    listed = [arm for arm in arms(spec, folder) if arm.name == "base" or not jobs]
    jobs += [SweepJob(arm, spec.eval) for arm in listed if layer_of(arm.name) is None]
    if runs := _by_layer(listed):
        jobs += _Layers(spec, runs, failed).jobs()
    return [job for job in jobs if not finished(job.folder) and job.folder not in failed]


def all_arms(spec: SweepSpec, folder: Path) -> list[Arm]:
    """Every run that the sweep may need: those of the grid, then its arms."""
    return [*(tuning_arms(spec, folder) if spec.search.lr_grid else ()), *arms(spec, folder)]


def owed(spec: SweepSpec, folder: Path) -> list[tuple[str, int]]:
    """Runs (arm, seed) that the sweep still owes; nothing is decided or written.

    Layers that the scan has not taken so far, and those that left the race, are none of them.
    """
    alone = [recipe(e, spec) for e in spec.expressions if layer_of(arm_name(e)) is not None]
    runs = _by_layer([arm_run(spec, folder, one, seed) for one in alone for seed in spec.seeds])
    taken = {layer for wave in _Layers(spec, runs, ()).waves() for layer in wave}
    return [
        (name, seed)
        for expression, seed in spec.runs
        if (layer_of(name := arm_name(expression)) is None or layer_of(name) in taken)
        and not finished(place := run_folder(folder, name, seed))
        and not stopped(place)
    ]


def stopped(folder: Path) -> str | None:
    """Why the run in `folder` left the race; None when it did not."""
    path = folder / "manifest.json"
    reason = read_json(path).get("stopped") if path.is_file() else None
    return str(reason) if reason else None


def _by_layer(listed: Sequence[Arm]) -> dict[int, list[Arm]]:
    found: dict[int, list[Arm]] = {}
    for arm in listed:
        layer = layer_of(arm.name)
        if layer is not None:
            found.setdefault(layer, []).append(arm)
    return found


@dataclass(frozen=True)
class _Layers:
    """The single-layer arms; all seeds of a layer go on or stop together."""

    spec: SweepSpec
    runs: Mapping[int, Sequence[Arm]]
    failed: Collection[Path]

    @property
    def looks(self) -> tuple[int, ...]:
        return self.spec.search.looks(self.spec.run.steps)

    def jobs(self) -> list[SweepJob]:
        """What is to be done for the layers that are in it."""
        jobs, known = list[SweepJob](), list[int]()
        for wave in self.waves():
            known += wave
            jobs += self._wave(wave, known)
        return jobs

    def waves(self) -> list[tuple[int, ...]]:
        """The layers that are in it so far, in the order in which they were taken."""
        layers = tuple(self.runs)
        if not self.spec.search.scan:
            return [layers]
        out = [layer for layer in layers if self._out(layer)]
        tables = {layer: self._table(layer, self.looks[-1]) for layer in layers}
        scores = {k: float(t.mean()) for k, t in tables.items() if t is not None}
        return waves(layers, self.spec.search.scan, scores, out)

    def _wave(self, wave: Sequence[int], known: Sequence[int]) -> list[SweepJob]:
        """The jobs of one wave; it races against what ran before it, never against what follows."""
        going = [layer for layer in wave if not self._out(layer)]
        for step in self.looks:
            going_arms = [arm for layer in going for arm in self.runs[layer]]
            if lacking := [arm for arm in going_arms if looked(arm.folder, step) is None]:
                return [SweepJob(arm, self.spec.search.dev, step) for arm in lacking]
            if step in self.spec.search.race:
                self._judge(step, going, known)
                going = [layer for layer in going if not self._out(layer)]
        return [SweepJob(arm, self.spec.eval) for layer in going for arm in self.runs[layer]]

    def _judge(self, step: int, going: Sequence[int], known: Sequence[int]) -> None:
        """Stop those of `going` that are behind any of the `known` layers at `step`."""
        tables = {layer: self._table(layer, step) for layer in known}
        seen = {arm_of(layer): t for layer, t in tables.items() if t is not None}
        for one in behind(seen, looks=len(self.spec.search.race)):
            layer = layer_of(one.arm)
            for arm in self.runs[layer] if layer is not None and layer in going else ():
                _stop(arm, self._reason(one, step, arm))

    def _reason(self, one: Behind, step: int, arm: Arm) -> str:
        result = looked(arm.folder, step)
        assert result is not None
        return (
            f"at step {step} of {arm.run.steps} it scored {100 * one.score:.1f} % on "
            f"{len(result.tasks)} tasks of the {result.split} split, "
            f"{arm_label(one.leader)} {100 * one.best:.1f} %: at least "
            f"{100 * one.at_least:.1f} points more (bound for all layers and looks together)"
        )

    def _table(self, layer: int, step: int) -> Floats | None:
        """Success rates (S, T) of a layer on the development panel."""
        found = [looked(arm.folder, step) for arm in self.runs[layer]]
        results = [result for result in found if result is not None]
        return np.array([r.rates for r in results]) if len(results) == len(found) else None

    def _out(self, layer: int) -> bool:
        """Whether looks go on without this layer: it was stopped, or one of its runs failed."""
        if not self.looks:
            return False
        return any(arm.folder in self.failed or stopped(arm.folder) for arm in self.runs[layer])


def _stop(arm: Arm, reason: str) -> None:
    path = arm.folder / "manifest.json"
    write_json(path, read_json(path) | {"stopped": reason})
    drop_checkpoints(arm.folder)
