"""Trajectories on disk: one JSON object a line, appended as episodes finish.

A line holds the episode's facts and, per turn, `observation`, `reply`, `action`, `reward` and
`valid`, with `tokens` (read and written), `advantage`, `forgotten` and what `TurnDetails` says,
where they are known. Token ids and state keys are left out; what is read back lacks them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar, get_args

from layergym.agents.turn_details import TurnDetails, details_as_values, details_of_values
from layergym.agents.types import EpisodeEnd, Reply, Trajectory, Turn, Usage
from layergym.base.errors import InputError, briefly
from layergym.base.files import write_text
from layergym.base.hub import fetched
from layergym.base.numbers import Bounds

T = TypeVar("T")
NAME = "trajectories.jsonl"
SYNC_S = 2.0
"""Lines reach the disk at least this often while any are written, and when the file is closed."""
_BLOCK = 1 << 16
_DAMAGE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""What reading a record of another shape raises."""


@dataclass(frozen=True, slots=True)
class Record:
    """One trajectory as it is kept."""

    trajectory: Trajectory
    agent: str = ""
    step: int | None = None
    """The optimiser step it was played for; None in an evaluation."""
    advantages: tuple[float, ...] = ()
    """One per turn, where it was trained on."""
    details: tuple[TurnDetails, ...] = ()
    """One per turn, where more is known of it than the trajectory says."""
    masked: bool = False
    """Whether it was compared with others, but no token of it carried loss."""


class Recorder:
    """Appends records to a file; a line that a killed process left unfinished is taken off."""

    def __init__(self, path: Path) -> None:
        """Open `path`, which is made if need be.

        Raises:
            InputError: another process is writing to it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            _lock(self._file)
        except BlockingIOError:
            self._file.close()
            raise InputError(
                f"{path} is being written by another process; wait for it, or take another folder"
            ) from None
        _mend(self._file)
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Bring everything to the disk and close."""
        self._sync()
        self._file.close()

    def write(self, record: Record) -> None:
        """Append one record; after this a killed process does not lose it."""
        self._file.write(_line(record))
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_S:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def _lock(file: BinaryIO) -> None:
    """Keep other writers out, and readers not; Windows has no such lock, and none is taken there.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_records(path: Path) -> Iterator[Record]:
    """Records of one file, in order, one at a time; none when there is no file.

    A last line without its end is left out, as `Recorder` will.

    Raises:
        InputError: a whole line is not a record.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield read_line(line, f"{path}, line {number},")


def read_line(line: bytes, where: str) -> Record:
    """One record.

    Raises:
        InputError: the line is something else; `where` it stands is told.
    """
    try:
        return _record(json.loads(line))
    except _DAMAGE as error:
        raise InputError(
            f"{where} is not a trajectory: {briefly(error)}; remove the line, or play again"
        ) from None


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write a file of records at once; how many there were."""
    lines = [_line(record) for record in records]
    write_text(path, b"".join(lines).decode())
    return len(lines)


def record_files(path: Path) -> list[Path]:
    """Files with trajectories: `path` itself, or all in the folder of a run, sweep or evaluation.

    What is on the hub (hf://datasets/owner/name) is fetched.

    Raises:
        InputError: there are none.
    """
    path = fetched(path)
    if path.is_file():
        return [path]
    files = sorted(path.rglob(NAME)) if path.is_dir() else []
    if not files:
        raise InputError(f"{path} holds no trajectories; give the folder of a run or evaluation")
    return files


def as_row(record: Record) -> dict[str, Any]:
    """A record as plain values."""
    trajectory = record.trajectory
    return {
        "agent": record.agent,
        "step": record.step,
        "env_id": trajectory.env_id,
        "task": trajectory.task,
        "seed": trajectory.seed,
        "kind": trajectory.kind,
        "ended": trajectory.ended,
        "success": trajectory.success,
        "reward": trajectory.total_reward,
        "error": trajectory.error,
        **({"masked": True} if record.masked else {}),
        "turns": list(_turns(record)),
    }


def usages(trajectory: Trajectory) -> list[Usage | None]:
    """Tokens per turn: as a server counted, else from the sampled tokens, else None."""
    reported: list[Usage | None] = []
    context = 0
    for reply in (turn.reply for turn in trajectory.turns):
        if reply.usage is None and reply.ids:
            context = len(reply.prompt_ids) + (context if reply.extends else 0)
            reported.append(Usage(context, len(reply.ids)))
            context += len(reply.ids)
        else:
            reported.append(reply.usage)
    return reported


def _turns(record: Record) -> Iterator[dict[str, Any]]:
    played = record.trajectory
    for number, (turn, used) in enumerate(zip(played.turns, usages(played), strict=True)):
        row = {
            "observation": turn.observation,
            "reply": turn.reply.text,
            "action": turn.action,
            "reward": turn.reward,
            "valid": turn.valid,
        }
        if used is not None:
            row["tokens"] = [used.prompt, used.completion]
        if turn.reply.forgotten:
            row["forgotten"] = turn.reply.forgotten
        if record.advantages:
            row["advantage"] = record.advantages[number]
        if record.details:
            row |= details_as_values(record.details[number])
        yield row


def _line(record: Record) -> bytes:
    return json.dumps(as_row(record), separators=(",", ":")).encode() + b"\n"


def _record(row: dict[str, Any]) -> Record:
    if row["ended"] not in get_args(EpisodeEnd):
        raise ValueError(f"no episode ends as {row['ended']!r}")
    played = Trajectory(
        env_id=_read(row, "env_id", str),
        task=_read(row, "task", str),
        seed=_read(row, "seed", int),
        turns=tuple(map(_turn, row["turns"])),
        ended=row["ended"],
        success=_read(row, "success", bool),
        kind=_read(row, "kind", str),
        error=_read(row, "error", str),
    )
    step = row["step"]
    return Record(
        played,
        _read(row, "agent", str),
        None if step is None else int(step),
        tuple(float(t["advantage"]) for t in row["turns"] if "advantage" in t),
        tuple(map(details_of_values, row["turns"]))
        if any("prompt" in t for t in row["turns"])
        else (),
        _read({"masked": False, **row}, "masked", bool),
    )


def _read(row: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A value of this very kind: a damaged success must not count as a failure."""
    value = row[name]
    if type(value) is not kind:
        raise ValueError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _turn(row: dict[str, Any]) -> Turn:
    tokens = row.get("tokens")
    usage = Usage.counted(*tokens[:2]) if tokens else None
    return Turn(
        observation=_read(row, "observation", str),
        state_key=None,
        reply=Reply(
            _read(row, "reply", str), usage=usage, forgotten=int(row.get("forgotten") or 0)
        ),
        action=_read(row, "action", str),
        reward=float(Bounds().read(row, "reward")),
        valid=_read(row, "valid", bool),
    )


def _mend(file: BinaryIO) -> None:
    """Cut the file after its last line end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        cut = file.read(end - start).rfind(b"\n")
        if cut >= 0:
            end = start + cut + 1
            break
        end = start
    file.truncate(end)
