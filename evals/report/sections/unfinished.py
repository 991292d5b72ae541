"""The section about runs that a reader would miss."""

from __future__ import annotations

from layergym.base.errors import InputError
from layergym.evals.arms import ArmName
from layergym.evals.report.model import Section, Text
from layergym.evals.report.words import listed
from layergym.evals.results import Sweep
from layergym.evals.sweep.next_jobs import missing_runs
from layergym.evals.sweep.spec import read_spec


def unfinished_section(sweep: Sweep) -> Section | None:
    """What a sweep still owes, to be said before anything is concluded; None when nothing."""
    missing = _missing(sweep)
    if not missing:
        return None
    runs = [
        f"{arm.label} (seed{'s' * (len(seeds) > 1)} {listed(seeds)})"
        for arm, seeds in missing.items()
    ]
    sentence = (
        f"Without a final score so far, and left out: {', '.join(runs)}. Contributions, ranks, the "
        f"best layer and means over layers may still change. Go on with: layergym sweep --resume "
        f"{sweep.path}"
    )
    return Section("This sweep is not finished", (Text(sentence, "warning"),))


def stopped_section(sweep: Sweep) -> Section | None:
    """Runs that a racing sweep stopped early, and why."""
    texts = [
        Text(
            f"{run.arm.label}, seed {run.seed} was stopped early: {reason}. It has no "
            "comparable score and no rank.",
            "warning",
        )
        for run in sweep.runs
        if (reason := run.manifest.get("stopped"))
    ]
    return Section("Stopped runs", tuple(texts)) if texts else None


def _missing(sweep: Sweep) -> dict[ArmName, list[int]]:
    """Seeds without a final score, by arm: what the settings ask for, and what was begun."""
    try:
        asked = missing_runs(read_spec(sweep.path), sweep.path)
    except InputError:  # Settings by hand or of another version: what is there is all we know.
        asked = []
    unscored = [
        (run.arm, run.seed)
        for run in sweep.runs
        if not run.evals and not run.manifest.get("stopped")
    ]
    missing: dict[ArmName, list[int]] = {}
    for arm, seed in dict.fromkeys([*asked, *unscored]):
        missing.setdefault(arm, []).append(seed)
    return missing
