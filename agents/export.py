"""Trajectories for other programs: as a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layergym.agents.trajectories import Record, as_row
from layergym.base.locks import staged


def write_dataset(folder: Path, records: Iterable[Record]) -> int:
    """Write records as a dataset, `folder`, whole or not at all; how many there were.

    Raises:
        InputError: as `staged`.
    """
    with staged(folder) as scratch:
        return fill_dataset(scratch, records)


def fill_dataset(folder: Path, records: Iterable[Record]) -> int:
    """Write records into a folder as a dataset that `datasets.load_dataset(folder)` reads.

    One row per trajectory; `turns` is a list of objects, `messages` the same as a conversation:
    what was seen as the user, what was said as the assistant.
    """
    from datasets import Dataset, Features, List, Value

    text, number, whole, truth = (Value(t) for t in ("string", "float64", "int64", "bool"))
    turn = {
        "observation": text,
        "reply": text,
        "action": text,
        "reward": number,
        "valid": truth,
        "tokens": List(whole),
        "advantage": number,
        "forgotten": whole,
        "prompt": text,
        "extends": truth,
        "pieces": List(text),
        "logprobs": List(number),
        "episode_part": number,
        "state": whole,
    }
    columns = {
        **dict.fromkeys(("agent", "env_id", "task", "kind", "ended", "error"), text),
        "step": whole,
        "seed": whole,
        "success": truth,
        "reward": number,
        "masked": truth,
        "turns": List(turn),
        "messages": List({"role": text, "content": text}),
    }
    rows = [as_row(record) for record in records]
    for row in rows:
        row["messages"] = list(_messages(row["turns"]))
        row["masked"] = row.get("masked", False)
        row["turns"] = [dict.fromkeys(turn) | played for played in row["turns"]]
    (folder / "data").mkdir()
    path = folder / "data" / "train-00000-of-00001.parquet"
    Dataset.from_list(rows, features=Features(columns)).to_parquet(path)
    return len(rows)


def _messages(turns: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for turn in turns:
        yield {"role": "user", "content": turn["observation"]}
        yield {"role": "assistant", "content": turn["reply"] or turn["action"]}
