"""From WebShop's files, or from nothing, to a catalogue on disk that is built once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.webshop.building import build_catalogue
from layergym.envs.webshop.catalogue import FORMAT, Catalogue
from layergym.envs.webshop.products import BadRow, Product, parse_product

_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")


@lru_cache(8)
def open_files(data: str) -> Catalogue:
    """The catalogue of WebShop's files, indexed on first use.

    Args:
        data: `items_shuffle*.json`, or the folder that holds it. Beside it are looked for
            `items_ins_v2*.json` (required), `items_human_ins.json` and `title_nouns*.json`
            (asin -> lower-case nouns of the title), preferably with the same ending.

    Raises:
        InputError: a file is missing, ambiguous or malformed, or holds no usable product.
    """
    items = _items(Path(data))
    ending = items.stem.removeprefix("items_shuffle")
    attributes = _beside(items, "items_ins_v2", ending)
    if attributes is None:
        raise InputError(f"{items.parent} has no items_ins_v2{ending}.json; WebShop needs both")
    human, nouns = (_beside(items, stem, ending) for stem in ("items_human_ins", "title_nouns"))
    sources = [path for path in (items, attributes, human, nouns) if path is not None]
    key = "".join(f"{p.resolve()}\0{p.stat().st_size}\0{p.stat().st_mtime_ns}\n" for p in sources)

    def write(folder: Path) -> None:
        skipped: dict[str, int] = {}
        products = _products(items, attributes, human, nouns, skipped)
        build_catalogue(folder, products, nouns.name if nouns else "approximate", skipped)

    return Catalogue(cached(f"files-{hashlib.sha256(key.encode()).hexdigest()[:16]}", write))


def cached(name: str, write: Callable[[Path], None]) -> Path:
    """The cache folder `name`, filled by `write` if it is not there yet.

    It lies in `$LAYERGYM_CACHE`, else in `layergym` in the user's cache folder. A folder appears
    only when it is complete, so any number of processes may ask for it at once.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "layergym"
    root = Path(os.environ.get("LAYERGYM_CACHE") or default) / "webshop"
    folder = root / f"v{FORMAT}-{name}"
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="building-", dir=root))
    try:
        write(fresh)
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _items(data: Path) -> Path:
    if data.is_file():
        return data
    files = sorted(data.glob("items_shuffle*.json"))
    if len(files) != 1:
        listed = ", ".join(path.name for path in files) or "none"
        raise InputError(f"expected one items_shuffle*.json in {data}, found {listed}; name a file")
    return files[0]


def _beside(items: Path, stem: str, ending: str) -> Path | None:
    for path in (items.parent / f"{stem}{ending}.json", items.parent / f"{stem}.json"):
        if path.is_file():
            return path
    files = sorted(items.parent.glob(f"{stem}*.json"))
    return files[0] if len(files) == 1 else None


def _products(
    items: Path, attributes: Path, human: Path | None, nouns: Path | None, skipped: dict[str, int]
) -> Iterator[Product]:
    about, instructions = _object(attributes), _object(human) if human else {}
    titles = _object(nouns) if nouns else None
    for row in read_array(items):
        try:
            yield parse_product(row, about, instructions, titles)
        except BadRow as error:
            reason = f"bad {error}"
            skipped[reason] = skipped.get(reason, 0) + 1


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}; fetch it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not an object keyed by asin")
    return content


def _skip(text: str, place: int) -> int:
    gap = _BETWEEN.match(text, place)
    return gap.end() if gap else place


def read_array(path: Path) -> Iterator[object]:
    """The items of a JSON array, read piece by piece (the full catalogue has 5 GB).

    Raises:
        InputError: the file does not hold an array, or it is cut off or malformed.
    """
    decode = json.JSONDecoder().raw_decode
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        text, place, size = file.read(_CHUNK).lstrip(), 1, _CHUNK
        if not text.startswith("["):
            raise InputError(f"{path} does not hold a JSON array; fetch it again")
        while True:
            place = _skip(text, place)
            if text.startswith("]", place):
                return
            try:
                item, end = decode(text, place)
            except ValueError:
                item, end = None, len(text)
            if end < len(text):  # at the very end, an item may go on in the next piece
                yield item
                place = end
                continue
            more = file.read(size)
            if not more:
                near = text[place : place + 40]
                raise InputError(f"{path} is cut off or malformed near {near!r}; fetch it again")
            size = _CHUNK if place else 2 * size
            text, place = text[place:] + more, 0
