"""Which goals are for training, validation and test.

By product (default): every goal of a product, or of a family of near-identical ones, is in one
split, and no product has more than `MOST_GOALS`. By WebShop's order: its first 500 goals are test,
the next 1,000 validation, the rest training; there, 87 % of the test products recur in training.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
from numpy.typing import NDArray

from layergym.envs.webshop.products import Product

SPLITS = ("train", "valid", "test")
MOST_GOALS = 8
"""Goals that one product may have when the split is by product."""
_TENTHS = {0: "test", 1: "valid"}
_ORIGINAL = {"test": (0, 500), "valid": (500, 1500), "train": (1500, None)}
_UNUSED = -1


def split_of(family: str) -> str:
    """The split of a family of products: a tenth is test, a tenth validation."""
    digest = hashlib.blake2b(f"split of {family}".encode("utf-8", "surrogatepass"), digest_size=8)
    return _TENTHS.get(int.from_bytes(digest.digest(), "big") % 10, "train")


def split_codes(product: Product, count: int) -> list[int]:
    """For each of a product's `count` goals the index of its split in `SPLITS`, or -1: unused."""
    code = SPLITS.index(split_of(product.family or product.asin))
    if count <= MOST_GOALS:
        return [code] * count
    used = set(random.Random(f"goals of {product.asin}").sample(range(count), MOST_GOALS))
    return [code if index in used else _UNUSED for index in range(count)]


def by_order(count: int, split: str) -> NDArray[np.int64]:
    """Numbers of the goals of `split` among `count` goals in WebShop's order."""
    start, end = _ORIGINAL[split]
    return np.arange(count)[start:end]
