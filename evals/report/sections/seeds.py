"""The section about single runs: their scores, errors, and runs that stand apart."""

from __future__ import annotations

from layergym.evals.arms import ArmName
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.runs import RunScore, apart, fewest_runs
from layergym.evals.report.model import Block, Number, Section, Table, Text
from layergym.evals.report.words import score_of
from layergym.evals.results import cut_short
from layergym.evals.stats import Estimate
from layergym.evals.stats.seeds import ENOUGH, max_apart

_RULE = (
    "Episodes that ended in errors count as lost, and those whose context was full as they stood:"
)


def runs_section(profile: LayerProfile) -> Section | None:
    """Scores by arm and seed; None where every arm has one run and no episode was cut short."""
    runs = profile.runs
    arms = dict.fromkeys(one.arm for one in runs)
    seeds = sorted({one.seed for one in runs if one.arm.trained})
    cut = [text for text in map(_cut, runs) if text]
    if len(seeds) < 2 and not cut:
        return None
    cells = {(one.arm, one.seed): one for one in runs}
    base = next((one for one in runs if not one.arm.trained), None)
    rows = [
        (arm.label, *(_cell(cells.get((arm, s)) if arm.trained else base) for s in seeds))
        for arm in arms
    ]
    caption = f"{score_of(profile.scored)} of every run at {profile.measures[0].name}, in percent"
    blocks: list[Block] = [Table(caption, ("arm", *(f"seed {s}" for s in seeds)), tuple(rows))]
    blocks += [Text(sentence, "warning") for sentence in stand_apart(profile)]
    blocks += [Text(f"{_RULE} {'; '.join(cut)}.", "warning")] if cut else []
    return Section("Runs", tuple(blocks))


def stand_apart(profile: LayerProfile) -> tuple[str, ...]:
    """One text for each arm with a run that stands apart."""
    return tuple(_apart(profile, arm) for arm in apart(profile.runs))


def _apart(profile: LayerProfile, arm: ArmName) -> str:
    own = [one for one in profile.runs if one.arm == arm]
    [odd] = [one for one in own if one.apart]
    others = " and ".join(f"{100 * one.score:.1f} %" for one in own if not one.apart)
    others_as_before = (
        "the other arms' scores widen by what such runs may cost them, their contributions do not"
    )
    if fewest_runs(profile.runs) < ENOUGH:
        others_as_before = (
            "all intervals widen with it, since two runs cannot show which arms such a run may "
            "befall; a third seed of every arm (--seeds 0 1 2) would"
        )
    elif len(apart(profile.runs)) > max_apart(
        len({one.arm for one in profile.runs if one.arm.trained})
    ):
        others_as_before = "all intervals widen, since it is not the only arm with such a run"
    so = (
        "contributions compare everything with full training, so train it with further seeds first"
        if arm == "full"
        else others_as_before
    )
    return (
        f"{arm.label}, seed {odd.seed} stands apart: {100 * odd.score:.1f} % against {others} "
        f"of the arm's other seeds. All of them count in the arm's score, whose interval is wide "
        f"for that; {so}. Look at that run's learning curve: it may have diverged."
    )


def _cut(run: RunScore) -> str:
    """How many of a run's episodes were cut short; "" for none."""
    losses = cut_short(run.errors, run.out_of_context, run.shortened)
    return f"{run.arm.label}, seed {run.seed}: {losses}" if losses else ""


def _cell(run: RunScore | None) -> str:
    if run is None:
        return "-"
    mark = " (apart)" if run.apart else ""
    cut = cut_short(run.errors, run.out_of_context, run.shortened)
    text = f"{100 * run.score:.1f}{mark}" + (f", {cut}" if cut else "")
    return Number(text, Estimate(run.score))
