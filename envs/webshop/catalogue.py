"""A catalogue on disk: products, their search index and their goals, built once, shared by mapping.

Rows are products in the order of their asins, which is also how equal search scores are ordered.
"""

from __future__ import annotations

import json
import mmap
import random
from array import array
from collections.abc import Iterable
from dataclasses import astuple, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layergym.envs.errors import InputError
from layergym.envs.webshop.analyzer import terms
from layergym.envs.webshop.bm25 import Index, IndexWriter, map_array
from layergym.envs.webshop.goals import SOURCES, goal_count, goal_kind, goal_of
from layergym.envs.webshop.products import Goal, Product, Request
from layergym.envs.webshop.splits import SPLITS, by_order, split_codes

FORMAT = 1
"""Part of every cache folder's name; raise it when what is written there changes."""
MAX_HITS = 50
_SHUFFLE_SEED = 233  # the original's
_FIELDS = [field.name for field in fields(Product)]
_REQUESTS = _FIELDS.index("requests")
_KEPT = 2048
"""Products and searches kept ready per process; bounds memory at any catalogue size."""


class Catalogue:
    """Products, search and goals of one built folder. Read-only; share one per process."""

    def __init__(self, folder: Path) -> None:
        """Map the catalogue in `folder`."""
        self._index = Index(folder)
        self._asins = map_array(folder, "asins")  # (N,) bytes, sorted
        self._spans = map_array(folder, "spans")  # (N, 2) int64
        with open(folder / "products.jsonl", "rb") as file:
            self._records = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._goals = {source: map_array(folder, f"goals_{source}") for source in SOURCES}
        about = json.loads((folder / "about.json").read_text("utf-8"))
        self.nouns: str = about["nouns"]
        """Where the title nouns come from: a file's name, "generated" or "approximate"."""
        self.skipped: dict[str, int] = about["skipped"]
        """Rows left out while building, counted by what was wrong with them."""
        self._kinds: list[str] = about["kinds"]
        self.product = lru_cache(_KEPT)(self._product)
        self.search = lru_cache(_KEPT)(self._search)

    def __len__(self) -> int:
        """Number of products."""
        return len(self._asins)

    def __deepcopy__(self, memo: object) -> Catalogue:
        """Read-only, so every copy is the same object."""
        return self

    def row(self, asin: str) -> int | None:
        """The row of a product, or None when it is not in the catalogue."""
        wanted = asin.encode("utf-8", "surrogatepass")
        row = int(np.searchsorted(self._asins, wanted))
        return row if row < len(self) and self._asins[row] == wanted else None

    def goal(self, source: str, number: int) -> Goal:
        """Goal `number`, in WebShop's order, from `source`: "synthetic" or "requests"."""
        row, index, *_ = self._goals[source][:, number].tolist()
        return goal_of(self.product(row), source, index)

    def goal_kind(self, source: str, number: int) -> str:
        """The kind of goal `number`: a difficulty or a category."""
        return self._kinds[int(self._goals[source][3, number])]

    def goal_numbers(
        self, source: str, split: str, order: str, kind: str = ""
    ) -> NDArray[np.int64]:
        """Numbers of the goals of a split, ascending; `order` and `kind` as in `WebShop`."""
        _, _, codes, kinds = self._goals[source]
        if order == "original":
            return by_order(len(codes), split)
        wanted = codes == SPLITS.index(split)
        if kind:
            wanted &= kinds == (self._kinds.index(kind) if kind in self._kinds else -1)
        return np.flatnonzero(wanted)

    def _product(self, row: int) -> Product:
        start, end = self._spans[row].tolist()
        record = json.loads(self._records[start:end].decode("ascii"))
        record[_REQUESTS] = [Request(*request) for request in record[_REQUESTS]]
        return Product(*record)

    def _search(self, query: str) -> tuple[int, ...]:
        """Rows of the best 50 products, best first."""
        return tuple(self._index.search(terms(query), MAX_HITS))


def build(
    folder: Path, products: Iterable[Product], nouns: str, skipped: dict[str, int] | None = None
) -> None:
    """Write the catalogue of `products` to `folder`; of products with one asin the first counts.

    Args:
        folder: an empty folder.
        products: read once.
        nouns: where their title nouns come from.
        skipped: rows left out so far, by reason; it may fill up while `products` is read.

    Raises:
        InputError: there is no product.
    """
    skipped = {} if skipped is None else skipped
    writer = IndexWriter(folder)
    asins: dict[bytes, None] = {}
    ends = array("q", [0])
    goals = {source: [array("i") for _ in range(4)] for source in SOURCES}
    kinds: dict[str, int] = {}
    with open(folder / "products.jsonl", "wb") as file:
        for product in products:
            asin = product.asin.encode("utf-8", "surrogatepass")
            if asin in asins:
                skipped["repeated asin"] = skipped.get("repeated asin", 0) + 1
                continue
            for source, columns in goals.items():
                _add_goals(columns, kinds, product, source, len(asins))
            asins[asin] = None
            writer.add(terms(product.search_text()))
            file.write(json.dumps(_record(product)).encode() + b"\n")
            ends.append(file.tell())
    if not asins:
        raise InputError("the catalogue has no usable product")
    names = np.array(list(asins))
    order = np.argsort(names, kind="stable")
    numbers = np.empty(len(order), dtype=np.int32)
    numbers[order] = np.arange(len(order))
    writer.finish(numbers)
    offsets = np.frombuffer(ends, dtype=np.int64)
    np.save(folder / "asins.npy", names[order])
    np.save(folder / "spans.npy", np.stack([offsets[:-1], offsets[1:]], axis=1)[order])
    for source, columns in goals.items():
        table = np.array(columns, dtype=np.int32)[:, _shuffled(len(columns[0]))]
        table[0] = numbers[table[0]]
        np.save(folder / f"goals_{source}.npy", table)
    about = {"nouns": nouns, "skipped": skipped, "kinds": list(kinds)}
    (folder / "about.json").write_text(json.dumps(about), "utf-8")


def _add_goals(
    columns: list[array[int]], kinds: dict[str, int], product: Product, source: str, row: int
) -> None:
    """Append a product's goals: row, which of its goals, split, kind."""
    count = goal_count(product, source)
    columns[0].extend([row] * count)
    columns[1].extend(range(count))
    columns[2].extend(split_codes(product, count))
    for index in range(count):
        columns[3].append(kinds.setdefault(goal_kind(product, source, index), len(kinds)))


def _record(product: Product) -> list[Any]:
    """The fields of a product; its requests as lists of their fields."""
    record = [getattr(product, name) for name in _FIELDS]
    record[_REQUESTS] = [astuple(request) for request in product.requests]
    return record


def _shuffled(count: int) -> NDArray[np.int64]:
    """WebShop's order of its goals."""
    order = list(range(count))
    random.Random(_SHUFFLE_SEED).shuffle(order)
    return np.array(order, dtype=np.int64)
