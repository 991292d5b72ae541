"""The section about a published table: contributions as printed, and how far benchmarks agree."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.contribution.published import PublishedTable, Split
from layergym.evals.report.model import Block, Section, Table, Text
from layergym.evals.report.words import figure
from layergym.evals.stats.agreement import spearman_brown


def published_section(table: PublishedTable) -> Section | None:
    """How printed contributions compare with ours, and split halves; None without either."""
    blocks = (*_printed(table), *(_agreement(table.splits) if table.splits else ()))
    return Section("The published table", blocks) if blocks else None


def _printed(table: PublishedTable) -> tuple[Block, ...]:
    if table.largest_difference is None:
        return ()
    cause = (
        "rounding of the printed scores explains every difference"
        if table.within_rounding
        else "rounding of the printed scores does not explain this"
    )
    rows = [
        (
            str(arm.layer),
            figure(at.value, "{:.3f}") if (at := arm.contribution) else "-",
            _two(p),
        )
        for arm, p in zip(table.profile.measures[0].layers, table.printed, strict=True)
    ]
    return (
        Text(
            f"Contributions computed from the benchmark columns differ from the printed ones "
            f"by at most {table.largest_difference:.3f}; {cause}.",
            "plain" if table.within_rounding else "warning",
            {"largest difference": table.largest_difference},
        ),
        Table(
            "Contribution, computed from the benchmarks and as printed",
            ("layer", "computed", "printed"),
            tuple(rows),
        ),
    )


def _agreement(splits: Sequence[Split]) -> tuple[Block, ...]:
    names = [f"{' + '.join(split.first)} / {' + '.join(split.second)}" for split in splits]
    ends = [last for last, _ in splits[0].up_to]
    blocks: list[Block] = [
        Table(
            "Split-half reliability over benchmarks: Spearman's correlation over layers between "
            "the means of two groups, and stepped up to the whole table (Spearman-Brown)",
            ("benchmarks", "all layers", "whole table"),
            tuple(
                (name, _two(split.all_layers), _two(spearman_brown(split.all_layers)))
                for name, split in zip(names, splits, strict=True)
            ),
        )
    ]
    rest = [value for split in splits for value in split.without_last_third]
    if rest:
        blocks += [
            Table(
                "The same correlation without the last third of the stack, and with its beginning "
                "shifted by a layer or two",
                ("benchmarks", *(f"layers 0-{last}" for last in ends)),
                tuple(
                    (name, *(_two(value) for _, value in split.up_to))
                    for name, split in zip(names, splits, strict=True)
                ),
            ),
            Text(
                f"Over all layers these groups agree at {_span([s.all_layers for s in splits])}, "
                f"without the last third (layers 0-{splits[0].cut}) at {_span(rest)}. Where the "
                "second is much lower, the table separates the last third of the stack from the "
                "rest but hardly orders the rest; how little depends on where one cuts."
            ),
        ]
    return tuple(blocks)


def _two(value: float | None) -> str:
    return figure(value, "{:.2f}")


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
