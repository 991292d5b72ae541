"""The section about retention: what training cost on tasks that it was not about."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layergym.evals.report.model import Block, Section, Table, Text
from layergym.evals.report.words import percent_with_interval, points, with_interval
from layergym.evals.results import Run, arm_label
from layergym.evals.stats import Estimate
from layergym.evals.studies.retention import NLL, Comparison, compared, read_kept


def retention_section(runs: Sequence[Run]) -> Section | None:
    """Scores of all arms on retention sources; None when there are none."""
    blocks: list[Block] = []
    left_out: dict[str, str] = {}
    for found in compared(read_kept(runs)):
        blocks.append(_table(found))
        blocks += [Text(told)] if (told := _verdict(found)) else []
        if found.left_out:
            left_out[found.source] = _left_out(found)
    blocks += [Text(told, "warning") for told in left_out.values()]
    return Section("Retention", tuple(blocks)) if blocks else None


def _table(found: Comparison) -> Table:
    arms, measure = found.arms, found.measure
    if measure == NLL:
        what = f"Perplexity on {found.source} ({found.items} windows)"
        rows = [
            (arm_label(a.arm), perplexity(a.score), change(a.less_base), change(a.less_full))
            for a in arms
        ]
        columns = ("arm", "perplexity", "against base, percent", "against full, percent")
    else:
        what = f"{found.source}, {measure} ({found.items} questions), percent"
        rows = [
            (
                arm_label(a.arm),
                percent_with_interval(a.score),
                _points(a.less_base),
                _points(a.less_full),
            )
            for a in arms
        ]
        columns = ("arm", measure, "less base, points", "less full, points")
    return Table(f"{what}, with 95 % intervals paired over items", columns, tuple(rows))


def perplexity(loss: Estimate) -> str:
    """The perplexity of a loss in nats per token, with its interval."""
    ends = (None if end is None else math.exp(end) for end in (loss.low, loss.high))
    return with_interval(Estimate(math.exp(loss.value), *ends), 1, "{:z.2f}")


def change(loss: Estimate | None) -> str:
    """A difference of losses as the change of perplexity in percent."""
    if loss is None:
        return ""
    ends = (None if end is None else math.expm1(end) for end in (loss.low, loss.high))
    return with_interval(Estimate(math.expm1(loss.value), *ends), 100, "{:+z.1f}")


def _points(gap: Estimate | None) -> str:
    return "" if gap is None else points(gap)


def _left_out(found: Comparison) -> str:
    """Who was scored on other items, and how to mend that."""
    runs = [
        f"{arm_label(one.arm)}, seed {one.seed} ({len(one.scores.get(found.measure, ()))} items)"
        for one in found.left_out
    ]
    return (
        f"Scored on another version of {found.source} and left out: {'; '.join(runs)}. To compare "
        "them too, run layergym retention again for these arms with the same file and --limit."
    )


def _verdict(on: Comparison) -> str:
    """Which arms forgot something, in one sentence."""
    lower, higher = ("better", "worse") if on.measure == NLL else ("worse", "better")
    found: dict[str, list[str]] = {}
    for arm in on.arms:
        gap = arm.less_base
        if gap is None or gap.low is None or gap.high is None:
            continue
        verdict = lower if gap.high < 0 else higher if gap.low > 0 else "not distinguishable"
        found.setdefault(verdict, []).append(arm_label(arm.arm))
    told = (f"{verdict}: {', '.join(names)}" for verdict, names in found.items())
    return f"On {on.source}, against the base, {'; '.join(told)}." if found else ""
