"""Sections about an evaluation of several agents on one panel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from layergym.base.files import read_json
from layergym.evals.report.model import Block, Section, Table, Text
from layergym.evals.report.sections.run import settings_section
from layergym.evals.report.words import amount, figure, percent_with_interval, points
from layergym.evals.result_files import read_run
from layergym.evals.score.contest import FILE, Contest
from layergym.evals.score.standings import Standing, Standings, standings


def eval_sections(folder: Path) -> tuple[Section, ...]:
    """Who solves how much, what it took, and what is missing.

    Raises:
        InputError: a file is damaged.
    """
    contest = Contest.read(folder)
    table = standings(contest)
    begun = sorted(folder.glob("agents/*/seed-*/config.json"))
    runs = [read_run(path.parent) for path in begun]
    settings = {k: v for k, v in read_json(folder / FILE).items() if k != "panel"}
    sections = [
        Section("Agents", tuple(_blocks(contest, table))),
        settings_section(settings, read_json(folder / "manifest.json"), runs),
    ]
    return tuple(section for section in sections if section is not None)


def _blocks(contest: Contest, table: Standings) -> Iterator[Block]:
    panel, rows = contest.panel, table.rows
    head = f"{panel.env_id} {panel.split}: {len(panel)} tasks, panel {panel.hash[:12]}"
    yield Text(f"{head}; {contest.episodes} episodes per agent")
    yield _table(rows, contest.spec.agents[0])
    if any(row.kinds for row in rows):
        yield _kinds(rows)
    for row in rows:
        if row.errors:
            yield Text(_failed(row), "warning")
        if row.out_of_context:
            yield Text(_ran_out(row), "warning")
        if row.shortened:
            yield Text(
                f"{row.agent}: {row.shortened} episodes went on without their oldest turns, for "
                "which its context had no more room",
                "warning",
            )
        if row.missing:
            yield Text(f"{row.agent}: {row.missing} episodes were not played yet", "warning")
    if len(table.tasks) < len(panel) and not all(row.refused for row in rows):
        yield Text(
            f"Scores are on the {len(table.tasks)} tasks that every agent with a score has played",
            "warning",
        )


def _table(rows: tuple[Standing, ...], first: str) -> Table:
    columns = {
        "success (%)": [percent_with_interval(row.score) if row.score else "-" for row in rows],
        "minus the first": [points(row.difference) if row.difference else "" for row in rows],
        "turns": [figure(row.turns, "{:.1f}") for row in rows],
        "invalid (%)": [figure(row.invalid, "{:.1f}", 100) for row in rows],
        "tokens read": [amount(row.prompt_tokens) for row in rows],
        "tokens written": [amount(row.completion_tokens) for row in rows],
        "cost": [figure(row.cost, "{:.4f}") for row in rows],
        "errors": [figure(row.errors) for row in rows],
        "out of context": [figure(row.out_of_context) for row in rows],
    }
    if not any(row.out_of_context for row in rows):
        del columns["out of context"]
    if len(rows) < 2:
        del columns["minus the first"]
    for name in ("tokens read", "tokens written", "cost"):
        if set(columns[name]) == {"-"}:
            del columns[name]
    paired = f", and differences to {first} in points, paired over tasks," if len(rows) > 1 else ""
    return Table(
        f"Success{paired} with 95 % bootstrap intervals over tasks",
        ("agent", *columns),
        tuple(zip((row.agent for row in rows), *columns.values(), strict=True)),
    )


def _kinds(rows: tuple[Standing, ...]) -> Table:
    kinds = sorted({kind for row in rows for kind in row.kinds})
    return Table(
        "Success by type of task (%)",
        ("type", *(row.agent for row in rows)),
        tuple(
            (k.replace("_", " "), *(percent_with_interval(row.kinds.get(k)) for row in rows))
            for k in kinds
        ),
    )


def _failed(row: Standing) -> str:
    return (
        f"{row.agent}: {row.errors} episodes ended in errors and count in no score; the same "
        f"command plays them again. The last: {row.error}"
    )


def _ran_out(row: Standing) -> str:
    sentence = f"{row.agent}: {row.out_of_context} episodes ended because its context was full"
    return sentence + (" and make no score" if row.refused else " and count as they stood")
