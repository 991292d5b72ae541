"""What `layergym dissect` keeps on disk, and what a report reads of it.

FOLDER/dissect/<panel>/dissect.json                       what was asked for
weights.json                       how weights moved
seed-<s>/<variant>/evals/t1.0.json
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.base.numbers import Bounds
from layergym.evals.contribution.cuts import layers_named
from layergym.evals.result_files import on_one_panel, read_eval, write_eval
from layergym.evals.results import EvalResult, Floats
from layergym.evals.stats.shapley import (
    Coalition,
    Shares,
    coalitions_of,
    every_coalition,
    exact,
    order_pairs,
    sampled,
)

FOLDER = "dissect"


@dataclass(frozen=True, slots=True)
class Store:
    """The variants of one panel."""

    path: Path

    def _folder(self, seed: int, name: str) -> Path:
        return self.path / f"seed-{seed}" / name

    def has(self, seed: int, name: str) -> bool:
        """Whether this variant was scored."""
        return any((self._folder(seed, name) / "evals").glob("*.json"))

    def keep(self, seed: int, result: EvalResult) -> None:
        """Write a variant's scores; they are its `arm`'s."""
        write_eval(self._folder(seed, result.arm), result)

    def ask(self, *, layers: int, pairs: Mapping[int, int], episodes: int) -> None:
        """Write down what the scores are about.

        Args:
            layers: of the model.
            pairs: by seed, pairs of orders for Shapley values; 0 where all coalitions are scored.
            episodes: that all single-layer runs of one seed have trained on; 0 if there are none.
        """
        about = {"layers": layers, "pairs": {str(s): n for s, n in pairs.items()}}
        write_json(self.path / "dissect.json", about | {"trained_episodes": episodes})

    def keep_weights(self, found: Mapping[str, Any]) -> None:
        """Write how weights moved."""
        write_json(self.path / "weights.json", found)


@dataclass(frozen=True)
class Dissected:
    """All that was scored on one panel."""

    path: Path
    layers: int
    pairs: Mapping[int, int]
    trained_episodes: int
    results: Mapping[int, Mapping[str, EvalResult]]
    """By seed and variant."""
    weights: Mapping[str, Any]

    @property
    def first(self) -> EvalResult:
        """Any of the results."""
        return next(iter(next(iter(self.results.values())).values()))

    @property
    def episodes(self) -> int:
        """How many were played for all variants."""
        each = len(self.first.tasks) * self.first.repeats
        return each * sum(map(len, self.results.values()))

    @property
    def tables(self) -> dict[str, Floats]:
        """Success rates (S, T) of the variants that were scored for every seed; one row of base.

        Coalitions that are there for Shapley values alone are not among them.
        """
        by_seed = list(self.results.values())
        names = [name for name in by_seed[0] if all(name in one for one in by_seed)]
        tables = {
            name: np.array([one[name].rates for one in by_seed])
            for name in names
            if self._of_interest(name)
        }
        return {**tables, "base": tables["base"][:1]}

    def _of_interest(self, name: str) -> bool:
        """Whether a variant is one layer, a prefix or suffix of the stack, or not a coalition."""
        layers = sorted(coalition_of(name) or ())
        ends = (0, self.layers - 1)
        joined = bool(layers) and layers[-1] - layers[0] == len(layers) - 1
        return len(layers) < 2 or (joined and (layers[0] in ends or layers[-1] in ends))

    @property
    def unfinished(self) -> int:
        """Variants that are not yet scored for every seed."""
        names = {name for one in self.results.values() for name in one}
        return len(set(filter(self._of_interest, names)) - self.tables.keys())

    @property
    def coalitions(self) -> int:
        """Coalitions of layers that were scored for a seed, the most."""
        found = [[n for n in one if coalition_of(n) is not None] for one in self.results.values()]
        return max(map(len, found), default=0)

    def shapley(self) -> list[Shares]:
        """Shapley values of the layers, one for each seed; none where too few orders are scored."""
        found = [self._shares(seed) for seed in self.results if seed in self.pairs]
        whole = [shares for shares in found if shares]
        return whole if len(whole) == len(self.results) else []

    def _shares(self, seed: int) -> Shares | None:
        """From all coalitions, or the first pairs of orders whose coalitions are all scored."""
        results = self.results[seed]

        def game(coalition: Coalition) -> Floats:
            return results[coalition_name(coalition)].rates

        def scored(coalitions: Iterable[Coalition]) -> bool:
            return all(coalition_name(one) in results for one in coalitions)

        if not self.pairs[seed] and scored(every_coalition(self.layers)):
            return exact(game, self.layers)
        orders = wanted_orders(self.layers, self.pairs[seed], seed)
        pairs = zip(orders[::2], orders[1::2], strict=True)
        whole = sum(1 for _ in takewhile(lambda pair: scored(coalitions_of(pair)), pairs))
        return sampled(game, orders[: 2 * whole]) if whole >= FEWEST_PAIRS else None


FEWEST_PAIRS = 2
"""Pairs of orders from which a variance can be estimated."""


def wanted_orders(layers: int, pairs: int, seed: int) -> list[tuple[int, ...]]:
    """The orders of one seed; 0 pairs: those in which to score all coalitions."""
    return order_pairs(layers, pairs or 2 * layers, seed=seed)


def wanted_coalitions(layers: int, pairs: int, seed: int) -> list[Coalition]:
    """What is to be scored for Shapley values, so that a first part of it is of use."""
    found = coalitions_of(wanted_orders(layers, pairs, seed))
    return found if pairs else list(dict.fromkeys([*found, *every_coalition(layers)]))


def coalition_name(coalition: Coalition) -> str:
    """The variant in which these layers are moved into the base."""
    return f"moved-{layers_named(coalition)}" if coalition else "base"


def coalition_of(name: str) -> Coalition | None:
    """The coalition that a variant is; None for all others."""
    if name == "base":
        return frozenset()
    if not re.fullmatch(r"moved-\d{1,3}(-\d{1,3})?(\+\d{1,3}(-\d{1,3})?)*", name):
        return None
    runs = [run.partition("-") for run in name.removeprefix("moved-").split("+")]
    return frozenset(
        layer for first, _, last in runs for layer in range(int(first), int(last or first) + 1)
    )


def read_dissected(folder: Path) -> tuple[Dissected, ...]:
    """What was kept in the folder of a sweep or run, panel by panel; only what has base and full.

    Raises:
        InputError: a file is damaged.
    """
    found = [_read(path.parent) for path in sorted((folder / FOLDER).glob("*/dissect.json"))]
    return tuple(one for one in found if one.results)


def _read(path: Path) -> Dissected:
    about = read_json(path / "dissect.json")
    try:
        results: dict[int, dict[str, EvalResult]] = {}
        for file in sorted(path.glob("seed-*/*/evals/*.json")):
            seed, name = int(file.parents[2].name[5:]), file.parents[1].name
            results.setdefault(seed, {})[name] = read_eval(file)
        whole = {s: one for s, one in sorted(results.items()) if {"base", "full"} <= one.keys()}
        if not on_one_panel([result for one in whole.values() for result in one.values()]):
            raise ValueError("its scores are of several panels")
        layers, trained = _LAYERS.read(about, "layers"), _COUNT.read(about, "trained_episodes")
        pairs = {int(seed): _PAIRS.read(about["pairs"], seed) for seed in about["pairs"]}
        return Dissected(path, layers, pairs, trained, whole, _weights(path, layers))
    except InputError:
        raise
    except (*_DAMAGED, AttributeError) as error:
        raise InputError(f"{path} was not dissected ({briefly(error)}); delete it") from None


_DAMAGED = (KeyError, TypeError, ValueError, OverflowError)
_LAYERS, _PAIRS = Bounds(1, 1000, whole=True), Bounds(0, 1_000_000, whole=True)
_COUNT = Bounds(0, 1e15, whole=True)
_FINITE, _MAYBE = Bounds(), Bounds(optional=True)
_MOVED = {"change": _FINITE, "changed": _FINITE, "changed_bf16": _FINITE, "rank": _MAYBE}
_ALIKE = {"cosine": _MAYBE, "overlap": _MAYBE, "by_chance": _MAYBE}


def _weights(path: Path, layers: int) -> Mapping[str, Any]:
    """How weights moved; nothing where that was not measured.

    Raises:
        InputError: the file is damaged.
    """
    file = path / "weights.json"
    if not file.is_file():
        return {}
    value = read_json(file)
    try:
        for kind, bounds in (("moved", _MOVED), ("alike", _ALIKE)):
            for one in (one for ones in value.get(kind, {}).values() for one in ones.values()):
                for name, allowed in bounds.items():
                    allowed.read(one, name)
        for parts in value.get("moved", {}).values():
            told = {part for part in parts if part.isdigit()}
            if told and told != {*map(str, range(layers))}:
                raise ValueError(f"it is not about {layers} layers")
    except (*_DAMAGED, AttributeError) as error:
        raise InputError(
            f"{file} does not say how weights moved ({briefly(error)}); delete it"
        ) from None
    return value
