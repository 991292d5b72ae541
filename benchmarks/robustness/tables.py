"""What was tried, how it ended, and how that is counted and printed."""

from __future__ import annotations

import argparse
import collections
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeVar

Verdict = Literal[
    "clear", "fine", "traceback", "hang", "wrote", "accepted", "killed", "long", "lost", "leaked",
    "contained", "escaped", "forged", "carried", "raised",
]  # fmt: skip
"""Of a command: exit code 2 with one sentence and nothing written; what was to be done was done; a
traceback; no end in time; a refusal that left something behind; done although it was wrong; ended
by a signal; a refusal of more than a sentence; good work undone; the key, or a character that
steers a terminal, shown. Of a program: `sandbox.py` says."""
GOOD: tuple[Verdict, ...] = ("clear", "fine", "contained")
T = TypeVar("T")


class Case(NamedTuple):
    """What was tried, and what became of it."""

    what: str
    verdict: Verdict
    said: str


class Table(NamedTuple):
    """Cases of one kind, tried while they are counted."""

    title: str
    cases: Iterable[Case]


class Counted(NamedTuple):
    """What came of a table."""

    title: str
    verdicts: collections.Counter[Verdict]
    bad: list[Case]


def counted(table: Table) -> Counted:
    """Try every case of a table; print those that are badly met as they are found, then counts."""
    verdicts: collections.Counter[Verdict] = collections.Counter()
    bad = []
    for case in table.cases:
        verdicts[case.verdict] += 1
        if case.verdict not in GOOD:
            bad.append(case)
            print(
                f"  {case.verdict:9} {case.what[:150]}\n            {last_words(case)}", flush=True
            )
    told = ", ".join(f"{verdict} {count}" for verdict, count in sorted(verdicts.items()))
    print(f"{table.title}: {verdicts.total()}; {told}", flush=True)
    return Counted(table.title, verdicts, bad)


def last_words(case: Case) -> str:
    """The end of what was said."""
    return (case.said.strip().splitlines() or [""])[-1][:200]


def summary(found: Sequence[Counted], examples: int = 3) -> str:
    """All tables in one: what, how many were tried, how many badly met, and some of those."""
    rows = [("what", "tried", "badly met")]
    rows += [(one.title, str(one.verdicts.total()), str(len(one.bad))) for one in found]
    width = max(len(title) for title, _, _ in rows)
    lines = []
    for number, (title, tried, bad) in enumerate(rows):
        lines.append(f"{title:<{width}}  {tried:>6}  {bad:>9}")
        for case in found[number - 1].bad[:examples] if number else ():
            lines.append(f"    {case.verdict}: {case.what[:100]}")
    return "\n".join(lines)


def add_part(parser: argparse.ArgumentParser) -> None:
    """Declare which cases are tried."""
    parser.add_argument("--every", type=int, default=1, help="every n-th case only")
    parser.add_argument("--first", type=int, default=0, help="begin with this case")


def part(cases: Iterable[T], options: argparse.Namespace) -> list[T]:
    """The cases that the options of `add_part` choose."""
    return list(cases)[options.first :: options.every]
