"""A few episodes to read, from the trajectories that a folder keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from layergym.agents.trajectories import NAME, Record, read_records
from layergym.evals.report.model import Section, Story, Text

SOURCES = 3
"""Files of trajectories of which examples are shown, the first of each agent or arm."""
TURNS = 12
CHARACTERS = 1500
"""What one observation or reply may take of a page."""


def episode_sections(folder: Path) -> tuple[Section, ...]:
    """A solved and an unsolved episode of each of a few runs, the last that were recorded."""
    files = {path.parent.parent: path for path in sorted(folder.rglob(NAME), reverse=True)}
    chosen = sorted(files.values())[:SOURCES]
    stories = [story(record) for path in chosen for record in _examples(path)]
    if not stories:
        return ()
    brief = f"layergym trajectories {folder} shows all that were kept."
    return (Section("Episodes", (Text(brief), *stories), brief),)


def story(record: Record, *, whole: bool = False) -> Story:
    """An episode as a reader sees it; long ones, and long texts, are cut unless `whole`."""
    turns = tuple(_turns(record))
    if not whole:
        more = len(turns) - TURNS
        turns = tuple((_cut(a), _cut(b), note) for a, b, note in turns[:TURNS])
        turns += (("", "", f"{more} more turns"),) if more > 0 else ()
    return Story(_title(record), turns)


def _title(record: Record) -> str:
    """Who played what, and how it ended."""
    played = record.trajectory
    step = [] if record.step is None else [f"step {record.step}"]
    end = "solved" if played.success else played.error or f"not solved ({played.ended})"
    told = [record.agent, *step, played.task, end]
    return " · ".join(part for part in told if part) + f" · reward {played.total_reward:g}"


def _examples(path: Path) -> Iterator[Record]:
    last: dict[bool, Record] = {}
    for record in read_records(path):
        if record.trajectory.turns:
            last[record.trajectory.success] = record
    yield from last.values()


def _turns(record: Record) -> Iterator[tuple[str, str, str]]:
    turns = record.trajectory.turns
    for number, turn in enumerate(turns):
        note = [f"reward {turn.reward:g}"] if turn.reward else []
        note += [] if turn.valid else ["invalid"]
        note += [f"advantage {record.advantages[number]:+.2f}"] if record.advantages else []
        note += [f"action: {turn.action}"] if turn.action != turn.reply.text.strip() else []
        yield turn.observation, turn.reply.text, ", ".join(note)


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} ..."
