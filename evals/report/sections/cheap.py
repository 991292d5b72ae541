"""Whether a cheap measure of layers stands in for training each alone, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from layergym.evals.contribution.cheap import CheapAgreement, pooled_agreement
from layergym.evals.report.model import Block, Section, Table, Text
from layergym.evals.report.words import figure, ratio
from layergym.evals.stats import Estimate

QUESTION = "Does the cheap profile predict the dear one?"


def cheap_blocks(agreement: CheapAgreement) -> list[Block]:
    """The blocks of one sweep: every measure's correlation and cost, and which may be trusted."""
    if not agreement.measures:
        return []
    rows = [
        (
            one.name,
            ratio(one.agreed.spearman) if one.agreed else "not defined",
            figure(one.episodes, "{:,.0f}"),
            "yes" if one.of_full else "no",
        )
        for one in agreement.measures
    ]
    caption = (
        f"{QUESTION} Rank correlation with the gain of {agreement.layers} layers trained alone, "
        f"which took {agreement.trained_episodes:,} episodes of training for each seed"
    )
    columns = ("measure", "Spearman's correlation", "episodes for each seed", "needs a full run")
    known = {one.name: one.agreed.spearman for one in agreement.measures if one.agreed}
    return [Table(caption, columns, tuple(rows)), Text(_trust(known, f"{agreement.layers} layers"))]


def cheap_section(sweeps: Mapping[str, CheapAgreement]) -> tuple[Section, ...]:
    """Over several sweeps; none with fewer than two that have such measures."""
    names = dict.fromkeys(m.name for one in sweeps.values() for m in one.measures)
    if len(sweeps) < 2 or not names:
        return ()
    rows, pooled = [], {}
    for name in names:
        agreements = [
            next((m for m in one.measures if m.name == name and m.agreed), None)
            for one in sweeps.values()
        ]
        agreed = [one.agreed for one in agreements if one and one.agreed]
        if agreed:
            pooled[name] = pooled_agreement(agreed)
            cells = [
                ratio(one.agreed.spearman) if one and one.agreed else "-" for one in agreements
            ]
            rows.append((name, *cells, ratio(pooled[name])))
    table = Table(
        "Rank correlation with the gain of layers trained alone, sweep by sweep and over all",
        ("measure", *sweeps, "over all"),
        tuple(rows),
    )
    layers = sum(one.layers for one in sweeps.values())
    verdict = _trust(pooled, f"{layers} layers in {len(sweeps)} sweeps")
    return (Section(QUESTION, (table, Text(verdict))),)


def _trust(measures: Mapping[str, Estimate], where: str) -> str:
    """Which measures rank layers as training alone does, or the other way round, if any does."""
    trusted = [name for name, agreed in measures.items() if agreed.above(0)]
    against = [name for name, at in measures.items() if at.high is not None and at.high < 0]
    sentences = [f"{_listed(trusted)}: on {where}, distinguishably in the same order."] * bool(
        trusted
    )
    sentences += [f"{_listed(against)}: distinguishably the other way round."] * bool(against)
    if not trusted:
        sentences.append(
            f"On {where}, no cheap measure is shown to rank layers as training each alone does: "
            "none should be trusted to choose the layer to train."
        )
    return " ".join(sentences)


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(names)
    return text[:1].upper() + text[1:]
