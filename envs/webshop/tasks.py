"""The tasks of a split: goal numbers with the ids that name them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from layergym.base.errors import InputError
from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.goals import GoalFile
from layergym.envs.webshop.products import Product, ShoppingGoal
from layergym.envs.webshop.splits import by_order, split_of

_PREFIX, _DIGITS = "goal-", 8
_ID = re.compile(rf"{_PREFIX}\d{{8,12}}", re.ASCII)


class Goals(Hashable, Protocol):
    """Numbered goals and the prices they go with."""

    def goal(self, number: int) -> ShoppingGoal:
        """Goal `number`."""

    def kind(self, number: int) -> str:
        """The kind of goal `number`."""

    def numbers(self, split: str, order: str) -> NDArray[np.int64]:
        """Numbers of the goals of a split, ascending."""

    def priced(self, product: Product) -> Product:
        """The product with the price that belongs to these goals."""


@dataclass(frozen=True)
class CatalogueGoals:
    """The goals that a catalogue has from one source, of one kind or of all."""

    catalogue: Catalogue
    source: str
    only: str = ""

    def goal(self, number: int) -> ShoppingGoal:
        """Goal `number` of WebShop's order."""
        return self.catalogue.goal(self.source, number)

    def kind(self, number: int) -> str:
        """The difficulty of a generated goal, else the category of its product."""
        return self.catalogue.goal_kind(self.source, number)

    def numbers(self, split: str, order: str) -> NDArray[np.int64]:
        """Numbers of the goals of a split, ascending."""
        return self.catalogue.goal_numbers(self.source, split, order, self.only)

    def priced(self, product: Product) -> Product:
        """The product as it is."""
        return product


class GivenGoals:
    """The goals and prices of a `GoalFile`."""

    def __init__(self, catalogue: Catalogue, path: Path) -> None:
        """Read the file.

        Raises:
            InputError: it is not a goal file, or the catalogue lacks one of its products.
        """
        self._catalogue, self._file = catalogue, GoalFile(path)
        rows = [(asin, catalogue.row(asin)) for asin in self._file.asins]
        missing = [asin for asin, row in rows if row is None]
        if missing:
            raise InputError(
                f"{path} has goals for {missing[0]}, which is not in the catalogue; "
                "take the goals of this catalogue"
            )
        self._rows = [row for _, row in rows if row is not None]

    def goal(self, number: int) -> ShoppingGoal:
        """Goal `number` of the file."""
        return self._file.goal(number, self._catalogue.product(self._rows[number]))

    def kind(self, number: int) -> str:
        """The category of the goal's product."""
        return self._catalogue.product(self._rows[number]).category

    def numbers(self, split: str, order: str) -> NDArray[np.int64]:
        """Numbers of the goals of a split, ascending."""
        if order == "original":
            return by_order(len(self._rows), split)
        return np.flatnonzero([split_of(asin) == split for asin in self._file.asins])

    def priced(self, product: Product) -> Product:
        """The product at the file's price."""
        return replace(product, price=self._file.price(product))


class Tasks(Sequence[str]):
    """Ids of goals, sorted; made when asked for, as there may be millions."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        """Name the goals with these ascending numbers."""
        self._numbers = numbers

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        """The id, or the ids, at a place."""
        if isinstance(place, slice):
            return [_id(number) for number in self._numbers[place].tolist()]
        return _id(int(self._numbers[place]))

    def __iter__(self) -> Iterator[str]:
        """The ids in order."""
        return map(_id, self._numbers.tolist())

    def __contains__(self, task: object) -> bool:
        """Whether `task` is the id of one of them."""
        if not isinstance(task, str) or not _ID.fullmatch(task):
            return False
        number = number_of(task)
        place = int(np.searchsorted(self._numbers, number))
        return task == _id(number) and place < len(self) and self._numbers[place] == number


def number_of(task: str) -> int:
    """The number of the goal that a task id names."""
    return int(task.removeprefix(_PREFIX))


def _id(number: int) -> str:
    return f"{_PREFIX}{number:0{_DIGITS}d}"
