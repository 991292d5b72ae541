"""Writing a catalogue to disk, once, for `layergym.envs.webshop.catalogue` to read."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Iterable
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layergym.base.errors import InputError
from layergym.envs.webshop.analyzer import terms
from layergym.envs.webshop.bm25 import IndexWriter
from layergym.envs.webshop.goals import SOURCES, goal_count, goal_kind
from layergym.envs.webshop.products import Product
from layergym.envs.webshop.splits import split_codes

_SHUFFLE_SEED = 233  # the original's
_FIELDS = [field.name for field in fields(Product)]


def build_catalogue(
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
    writer, goals = IndexWriter(folder), _GoalTables()
    asins: dict[bytes, None] = {}
    ends = array("q", [0])
    with open(folder / "products.jsonl", "wb") as file:
        for product in products:
            asin = product.asin.encode("utf-8", "surrogatepass")
            if asin in asins:
                skipped["repeated asin"] = skipped.get("repeated asin", 0) + 1
                continue
            goals.add(product, len(asins))
            asins[asin] = None
            writer.add(terms(product.search_text()))
            file.write(json.dumps(_record(product)).encode() + b"\n")
            ends.append(file.tell())
    if not asins:
        raise InputError("the catalogue has no usable product; check its files")
    names = np.array(list(asins))
    order = np.argsort(names, kind="stable")
    rows = np.empty(len(order), dtype=np.int32)
    rows[order] = np.arange(len(order))
    writer.finish(rows)
    goals.save(folder, rows)
    offsets = np.frombuffer(ends, dtype=np.int64)
    np.save(folder / "asins.npy", names[order])
    np.save(folder / "spans.npy", np.stack([offsets[:-1], offsets[1:]], axis=1)[order])
    about = {"nouns": nouns, "skipped": skipped, "kinds": list(goals.kinds)}
    (folder / "about.json").write_text(json.dumps(about), "utf-8")


class _GoalTables:
    """Goals by source as columns: product, which of its goals, split, kind."""

    def __init__(self) -> None:
        self._tables = {source: [array("i") for _ in range(4)] for source in SOURCES}
        self.kinds: dict[str, int] = {}

    def add(self, product: Product, place: int) -> None:
        """Append the goals of the product that was added as number `place`."""
        for source, columns in self._tables.items():
            count = goal_count(product, source)
            kinds = (goal_kind(product, source, index) for index in range(count))
            columns[0].extend([place] * count)
            columns[1].extend(range(count))
            columns[2].extend(split_codes(product, count))
            columns[3].extend(self.kinds.setdefault(kind, len(self.kinds)) for kind in kinds)

    def save(self, folder: Path, rows: NDArray[np.int32]) -> None:
        """Write the tables in WebShop's order; `rows` (N,) are the catalogue's, by place."""
        for source, columns in self._tables.items():
            order = list(range(len(columns[0])))
            random.Random(_SHUFFLE_SEED).shuffle(order)
            table = np.array(columns, dtype=np.int32)[:, np.array(order, dtype=np.int64)]
            table[0] = rows[table[0]]
            np.save(folder / f"goals_{source}.npy", table)


def _record(product: Product) -> list[Any]:
    """The fields of a product; its requests as lists of their fields."""
    requests = [astuple(request) for request in product.requests]
    return [requests if name == "requests" else getattr(product, name) for name in _FIELDS]
