"""Runs that share a layer bank are one process; all others are processes beside it."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.sweep.executors.processes import Bundle
from layergym.evals.sweep.jobs import SweepJob
from layergym.trainer.bank import groups


def banks(jobs: Sequence[SweepJob], at_once: int = 1) -> list[Bundle]:
    """Bundle the jobs that one bank can do: same model and length, same step, same panel.

    A bundle has the place of its first job, so base and full start first where they come first.

    Args:
        jobs: what waits.
        at_once: how many banks may run side by side, on GPUs of their own: none shall stay idle.
    """
    alike: dict[str, list[int]] = {}
    for place, job in enumerate(jobs):
        alike.setdefault(f"{job.look} {job.eval}", []).append(place)
    bundled = []
    for places in alike.values():
        shared = groups([jobs[place].arm.run for place in places])
        most = -(-sum(map(len, shared)) // at_once)
        parts = [group[i : i + most] for group in shared for i in range(0, len(group), most)]
        bundles = [tuple(places[index] for index in part) for part in parts]
        inside = {place for bundle in bundles for place in bundle}
        bundled += bundles + [(place,) for place in places if place not in inside]
    return [tuple(jobs[place] for place in bundle) for bundle in sorted(bundled)]
