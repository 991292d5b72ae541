"""Rows of a dataset, from a local file or folder, or from the Hugging Face hub."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from layergym.base.errors import InputError, briefly
from layergym.base.texts import lines

T = TypeVar("T")
TableRow = dict[str, Any]
_HUB = "hub:"
_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")


def read_rows(source: str | Path, split: str) -> list[TableRow]:
    """Read the rows of one split.

    Args:
        source: a file, which is taken to be that split; a folder with one file a split, named
            after it (`train.jsonl`); or `hub:owner/name` or `hub:owner/name:config`.
        split: name of the split.

    Raises:
        InputError: there is nothing there, or it cannot be read.
    """
    path = _file(source, split)
    if path is None:
        return _from_hub(str(source).removeprefix(_HUB), split)
    try:
        return _from_file(path)
    except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {briefly(error)}; check the file") from error


def read_once(
    build: Callable[[list[TableRow], str, str], Sequence[T]], source: str | Path, split: str
) -> tuple[T, ...]:
    """What `build(rows, source, split)` makes of a split; made once while its file stays the same.

    Every episode makes an environment of its own, and most of that time would go into reading.

    Raises:
        InputError: as `read_rows`, and what `build` raises.
    """
    path = _file(source, split)
    seen = path.stat() if path else None
    return cast(
        tuple[T, ...],
        _built(build, str(source), split, seen and (str(path), seen.st_mtime_ns, seen.st_size)),
    )


@lru_cache(maxsize=16)
def _built(
    build: Callable[..., Sequence[Any]], source: str, split: str, _: object
) -> tuple[Any, ...]:
    return tuple(build(read_rows(source, split), source, split))


def _file(source: str | Path, split: str) -> Path | None:
    """The file that holds a split; None where the hub does.

    Raises:
        InputError: there is none.
    """
    if isinstance(source, str) and source.startswith(_HUB):
        return None
    path = Path(source).expanduser()
    if path.is_dir():
        path = _in_folder(path, split)
    if not path.is_file():
        raise InputError(
            f"there is no data at {path}; give a {', '.join(_ENDINGS)} file, a folder of them, or "
            "hub:owner/name"
        )
    if not path.name.lower().endswith(_ENDINGS):
        raise InputError(
            f"{path} is in no form that is read here; make it a {', '.join(_ENDINGS)} file"
        )
    return path


def _in_folder(folder: Path, split: str) -> Path:
    files = [folder / f"{split}{ending}" for ending in _ENDINGS]
    present = [path for path in files if path.is_file()]
    if not present:
        raise InputError(
            f"{folder} has no file {split}.jsonl, {split}.json or {split}.parquet; "
            "add one, or take another split"
        )
    return present[0]


def _from_file(path: Path) -> list[TableRow]:
    name = path.name.lower()
    if name.endswith(".parquet"):
        from pyarrow.parquet import read_table

        rows: list[TableRow] = read_table(path).to_pylist()
        return rows
    data = path.read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8")
    text = text.removeprefix("\ufeff")
    if ".jsonl" not in name and text.lstrip().startswith("["):
        return _objects(json.loads(text))
    return _objects(json.loads(line) for line in lines(text) if line.strip())


def _objects(values: Iterable[Any]) -> list[TableRow]:
    rows = list(values)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is a {type(row).__name__}, not an object with columns")
    return rows


def _from_hub(name: str, split: str) -> list[TableRow]:
    from datasets import load_dataset

    name, _, config = name.partition(":")
    try:
        return [dict(row) for row in load_dataset(name, config or None, split=split)]
    except Exception as error:  # the library raises many kinds, all of them about the request
        raise InputError(
            f"{name} ({split}) cannot be loaded from the hub: {error}; "
            "check the name and the network, or give a folder"
        ) from error


def same_text(text: str) -> str:
    """`text` without what may differ between two copies: case, spacing, punctuation, markup."""
    return re.sub(r"[^\w+*/^=<>-]+|_", "", text).lower()


_LONG = 40  # characters from which one text inside another is no accident


def leaked(training: Iterable[str], held_out: Iterable[str]) -> list[str]:
    """Which held-out texts equal a training text, or, if long, lie inside one, by `same_text`."""
    seen = {same_text(text) for text in training}
    joined = "\n".join(sorted(seen))

    def known(key: str) -> bool:
        return key in seen or (len(key) >= _LONG and key in joined)

    return [text for text in held_out if known(same_text(text))]
