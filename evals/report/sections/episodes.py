"""A few episodes to read, from the trajectories that a folder keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from layergym.agents.trajectories import NAME, Record, read_records
from layergym.base.texts import shell_line
from layergym.evals.arms import BASE, FULL
from layergym.evals.contribution.profile import main_temperature
from layergym.evals.report.model import Section, Story, Text
from layergym.evals.report.study import Finished
from layergym.evals.results import score_name

SOURCES = 3
"""Files of trajectories of which examples are shown, the first of each agent or arm."""
TURNS = 12
CHARACTERS = 1500
"""What one observation or reply may take of a page."""


def episode_sections(folder: Path) -> tuple[Section, ...]:
    """A solved and an unsolved episode of each of a few runs, the last that were recorded."""
    files = {path.parent.parent: path for path in sorted(folder.rglob(NAME), reverse=True)}
    chosen = sorted(files.values())[:SOURCES]
    return _section([record for path in chosen for record in _examples(path)], folder)


def compared_episodes(finished: Finished) -> tuple[Section, ...]:
    """One task of the panel as base, full and the best layer played it, where that was kept.

    It is the first that the best layer solved and the base did not, if there is one.
    """
    sweep, main = finished.sweep, finished.profile.measures[0]
    best = max(main.layers or main.arms, key=lambda arm: arm.score.value, default=None)
    arms = list(dict.fromkeys([BASE, best.arm if best else FULL, FULL]))
    place = Path("evals", score_name(main_temperature(sweep)), NAME)
    kept = []
    for arm in arms:
        run = next((run for run in sweep.runs if run.arm == arm), None)
        records = read_records(run.path / place) if run else ()
        kept.append({record.trajectory.task: record for record in records})
    shared = [task for task in kept[0] if all(task in records for records in kept)]
    if not shared:
        return episode_sections(sweep.path)
    solved = [[records[task].trajectory.success for records in kept] for task in shared]
    chosen = next((i for i, (first, other, *_) in enumerate(solved) if other and not first), 0)
    return _section([records[shared[chosen]] for records in kept], sweep.path)


def _section(records: Sequence[Record], folder: Path) -> tuple[Section, ...]:
    if not records:
        return ()
    brief = (
        f"{shell_line('trajectories', folder)} shows all that were kept, "
        f"{shell_line('view', folder)} also what the model was fed "
        "and what each turn was credited with."
    )
    return (Section("Episodes", (Text(brief), *map(story, records)), brief),)


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
    parts = [record.agent, *step, played.task, end]
    return " · ".join(part for part in parts if part) + f" · reward {played.total_reward:g}"


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
