"""The demo: settings of the main job on the embedded policy, chosen on the `valid` split."""

from __future__ import annotations

from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.spec import RunSpec

GAMES = {"max_receptacles": 8, "num_objects": 8, "max_turns": 9}
"""Small rooms, and few turns: a search without common sense seldom ends in time."""
LAYERS = 8


def demo_sweep(seeds: tuple[int, ...], *, fast: bool = False) -> SweepSpec:
    """Base, full, and each of the eight layers alone; `fast` shows only that everything runs."""
    return SweepSpec(
        run=RunSpec(
            env="layergym/ALFWorld-v0",
            env_args={"size": 2000, **GAMES},
            steps=3 if fast else 24,
            tasks_per_step=4 if fast else 16,
        ),
        eval=EvalSpec(split="test", size=32 if fast else 200),
        layers=(0, LAYERS - 1) if fast else tuple(range(LAYERS)),
        num_layers=LAYERS,
        seeds=seeds,
    )
