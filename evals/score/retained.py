"""What trained models score elsewhere: on sources that no run was trained on, kept in its folder.

    RUN/retention/<source>.json   one score per question, or per window of a text

Scores of all arms are about the same items, so their differences are paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.evals.arms import BASE, FULL, ArmName
from layergym.evals.results import Run, Sweep
from layergym.evals.stats import Estimate, Floats
from layergym.evals.stats.board import Board

if TYPE_CHECKING:
    from layergym.evals.score.sources import Source

NLL = "nll"
"""The measure that is a loss in nats per token; all others are shares that are right."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How one run scored on one source."""

    source: str
    digest: str
    arm: ArmName
    seed: int
    scores: Mapping[str, tuple[float, ...]]


def retain(
    sweep: Sweep,
    arms: Sequence[ArmName],
    sources: Sequence[Source],
    on_run: Callable[[Run, Source], None] = lambda run, source: None,
    *,
    dtype: str | None = None,
    device: str = "auto",
) -> None:
    """Score the runs of `arms` on `sources`; what was scored on the same items already is kept.

    Args:
        sweep: whose runs.
        arms: which of them.
        sources: what to score on.
        on_run: told what is scored next.
        dtype: as `open_policy`.
        device: as `open_policy`.

    Raises:
        InputError: an arm is not in the sweep, a run is not finished, or two sources share a name.
    """
    from layergym.evals.score.policies import open_policy

    names = [source.name for source in sources]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f'two sources are called "{twice[0]}"; rename one file')
    if missing := [arm for arm in arms if arm not in sweep.arms]:
        raise InputError(f'{sweep.path} has no arm "{missing[0]}"; it has {", ".join(sweep.arms)}')
    for run in (run for run in sweep.runs if run.arm in arms):
        todo = [source for source in sources if not _scored(run, source)]
        if not todo:
            continue
        model, tokenizer = open_policy(run, dtype=dtype, device=device)
        for source in todo:
            on_run(run, source)
            kept = Kept(
                source.name, source.digest, run.arm, run.seed, source.score(model, tokenizer)
            )
            write_json(_file(run, source.name), asdict(kept))


def read_kept(runs: Sequence[Run]) -> tuple[Kept, ...]:
    """Everything that `retain` found.

    Raises:
        InputError: a file is damaged.
    """
    files = (file for run in runs for file in sorted((run.path / "retention").glob("*.json")))
    return tuple(map(_read, files))


@dataclass(frozen=True, slots=True)
class Retained:
    """One arm on one measure of a source."""

    arm: ArmName
    score: Estimate
    less_base: Estimate | None
    less_full: Estimate | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All arms on one measure of a source, paired over items."""

    source: str
    measure: str
    items: int
    arms: tuple[Retained, ...]
    left_out: tuple[Kept, ...]
    """Runs that were scored on other items of the source, so they cannot be paired."""


def comparisons(kept: Sequence[Kept]) -> Iterator[Comparison]:
    """Compare on every measure of every source.

    Where runs were scored on different items of a source, those of the base count; without a
    base, those that most runs were scored on.
    """
    for source in dict.fromkeys(one.source for one in kept):
        every = [one for one in kept if one.source == source]
        base = [one for one in every if not one.arm.trained]
        [(chosen, _)] = Counter(one.digest for one in base or every).most_common(1)
        own = [one for one in every if one.digest == chosen]
        left_out = tuple(one for one in every if one.digest != chosen)
        for measure in own[0].scores:
            tables = {
                arm: np.array([one.scores[measure] for one in own if one.arm == arm])
                for arm in dict.fromkeys(one.arm for one in own)
            }
            items = tables[own[0].arm].shape[1]
            yield Comparison(source, measure, items, _compare(tables, measure), left_out)


def _compare(tables: Mapping[ArmName, Floats], measure: str) -> tuple[Retained, ...]:
    board = Board.of(tables, shares=measure != NLL)

    def minus(arm: ArmName, other: ArmName) -> Estimate | None:
        if other not in tables or arm == other or not arm.trained:
            return None
        return board.difference(arm, other)

    return tuple(
        Retained(arm, board.score(arm), minus(arm, BASE), minus(arm, FULL)) for arm in tables
    )


def _scored(run: Run, source: Source) -> bool:
    file = _file(run, source.name)
    return file.is_file() and _read(file).digest == source.digest


def _file(run: Run, source: str) -> Path:
    return run.path / "retention" / f"{source}.json"


def _read(file: Path) -> Kept:
    value = read_json(file)
    try:
        scores = {str(k): tuple(map(float, v)) for k, v in value["scores"].items()}
        return Kept(
            source=str(value["source"]),
            digest=str(value["digest"]),
            arm=ArmName(value["arm"]),
            seed=int(value["seed"]),
            scores=scores,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} holds no scores ({briefly(error)}); delete it") from None
