"""The section about single runs: scores, errors, how alike seeds rank, runs that stand apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from layergym.evals.arms import ArmName
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.runs import RunScore, apart, fewest_runs
from layergym.evals.report.model import Block, Number, Section, Table, Text
from layergym.evals.report.sections.stability import CORRELATIONS, correlations
from layergym.evals.report.words import figure, score_of
from layergym.evals.results import cut_short
from layergym.evals.stats import Estimate
from layergym.evals.stats.agreement import agreement, detrend
from layergym.evals.stats.seeds import ENOUGH, max_apart

_RULE = (
    "Episodes that ended in errors count as lost, and those whose context was full as they stood:"
)
_NAMED = 5
"""Runs with episodes that were cut short that a sentence names; the table shows all."""
_COMPARED = 4
"""Seeds that are compared two by two; more would make a long table."""


def runs_section(profile: LayerProfile) -> Section | None:
    """Scores by arm and seed; None where every arm has one run and no episode was cut short."""
    runs = profile.runs
    arms = dict.fromkeys(one.arm for one in runs)
    seeds = sorted({one.seed for one in runs if one.arm.trained})
    cut = [_cut(one) for one in sorted(runs, key=_lost, reverse=True) if _lost(one)]
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
    blocks += _alike(runs, seeds)
    blocks += [Text(sentence, "warning") for sentence in stand_apart(profile)]
    more = [f"and {len(cut) - _NAMED} further runs, as the table says"] if cut[_NAMED:] else []
    blocks += [Text(f"{_RULE} {'; '.join(cut[:_NAMED] + more)}.", "warning")] if cut else []
    return Section("Runs", tuple(blocks))


def _alike(runs: Sequence[RunScore], seeds: Sequence[int]) -> list[Block]:
    """How alike every two seeds, each as a profile of its own, rank the single layers."""
    scores = {(one.arm.layer, one.seed): one.score for one in runs if one.arm.layer is not None}
    rows = []
    for pair in itertools.combinations(seeds[:_COMPARED], 2):
        layers = sorted(
            layer
            for layer, seed in scores
            if layer is not None and seed == pair[0] and (layer, pair[1]) in scores
        )
        first, second = (np.array([scores[layer, seed] for layer in layers]) for seed in pair)
        raw = agreement(first, second)
        if raw is None:
            continue
        depth = np.array(layers, dtype=np.float64)
        rest = agreement(detrend(first, depth), detrend(second, depth), removed=2)
        names = f"{pair[0]} and {pair[1]}"
        rows.append((names, figure(len(layers)), *correlations(raw), *correlations(rest)))
    if not rows:
        return []
    caption = (
        "How alike two seeds rank the single layers, with 95 % intervals over layers (Fisher's z); "
        "both are scored on the same tasks"
    )
    return [Table(caption, ("seeds", "layers", *CORRELATIONS), tuple(rows))]


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


def _lost(run: RunScore) -> int:
    return run.errors + run.out_of_context + run.shortened


def _cut(run: RunScore) -> str:
    """How many of a run's episodes were cut short."""
    losses = cut_short(run.errors, run.out_of_context, run.shortened)
    return f"{run.arm.label}, seed {run.seed}: {losses}"


def _cell(run: RunScore | None) -> str:
    if run is None:
        return "-"
    mark = " (apart)" if run.apart else ""
    cut = cut_short(run.errors, run.out_of_context, run.shortened)
    text = f"{100 * run.score:.1f}{mark}" + (f", {cut}" if cut else "")
    return Number(text, Estimate(run.score))
