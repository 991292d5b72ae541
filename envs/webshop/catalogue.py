"""A catalogue on disk: products, their search index and their goals, shared by memory mapping.

Rows are products in the order of their asins, which is also how equal search scores are ordered.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layergym.envs.webshop.analyzer import terms
from layergym.envs.webshop.bm25 import Index, map_array
from layergym.envs.webshop.goals import SOURCES, goal_of
from layergym.envs.webshop.products import Instruction, Product, ShoppingGoal
from layergym.envs.webshop.splits import SPLITS, by_order

FORMAT = 1
"""Part of every cache folder's name; raise it when what is written there changes."""
MAX_HITS = 50
_REQUESTS = [field.name for field in fields(Product)].index("requests")
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

    def goal(self, source: str, number: int) -> ShoppingGoal:
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
        record[_REQUESTS] = [Instruction(*request) for request in record[_REQUESTS]]
        return Product(*record)

    def _search(self, query: str) -> tuple[int, ...]:
        """Rows of the best 50 products, best first."""
        return tuple(self._index.search(terms(query), MAX_HITS))
