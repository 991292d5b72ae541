"""The section about cost: what a run of each arm took."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.report.model import Number, Section, Table
from layergym.evals.report.words import amount, figure
from layergym.evals.results import Run
from layergym.evals.stats.means import mean_cost

_UNITS = {
    "train_s": ("train (s)", "s"),
    "rollout_s": ("rollout (s)", "s"),
    "update_s": ("update (s)", "s"),
    "eval_s": ("eval (s)", "s"),
    "tokens": ("tokens", ""),
    "peak_memory_bytes": ("peak memory", "B"),
    "trainable_parameters": ("trained weights", ""),
    "checkpoint_bytes": ("delta file", "B"),
}


def cost_section(runs: Sequence[Run]) -> Section | None:
    """Mean cost of a run by arm; None where nothing was measured."""
    arms = {arm: [run for run in runs if run.arm == arm] for arm in (run.arm for run in runs)}
    costs = {arm: mean_cost(own) for arm, own in arms.items()}
    known = [n for n in _UNITS if any(getattr(cost, n) is not None for cost in costs.values())]
    if not known:
        return None
    rows = (
        (arm.label, figure(len(arms[arm])), *(_cell(getattr(cost, n), n) for n in known))
        for arm, cost in costs.items()
    )
    columns = ("arm", "runs", *(_UNITS[name][0] for name in known))
    return Section("Cost", (Table("Mean per run", columns, tuple(rows)),))


def _cell(value: float | None, name: str) -> str:
    shown = amount(value, _UNITS[name][1])
    # Seconds stand in the heading.
    return Number(shown.removesuffix(" s"), shown.value) if isinstance(shown, Number) else shown
