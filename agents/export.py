"""Trajectories for other programs: as a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from layergym.agents.trajectories import Record, as_row


def write_dataset(folder: Path, records: Iterable[Record]) -> int:
    """Write records as a dataset that `datasets.load_dataset(folder)` reads; how many there were.

    One row per trajectory; `turns` is a list of objects.
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
    }
    rows = [as_row(record) for record in records]
    for row in rows:
        row["masked"] = row.get("masked", False)
        row["turns"] = [dict.fromkeys(turn) | played for played in row["turns"]]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    path = folder / "data" / "train-00000-of-00001.parquet"
    Dataset.from_list(rows, features=Features(columns)).to_parquet(path)
    return len(rows)
