"""The arms of a sweep: an arm is a name and what it changes in the sweep's `RunSpec`.

What can be written::

    base                     the untrained model
    full                     every parameter
    3 | 0+14 | middle:5      only these layers: the `layers=` grammar
    boost-<layers>[*2]       every parameter, these layers at a multiple of the learning rate
    random | random:2        control: single entries, scattered, as many as so many layers have
    lora | lora-<layers>     control: LoRA on all or these layers, as large as one layer

The boost is the layer-adaptive learning rate of arXiv 2607.01232, which doubles it; random masks
and LoRA are the baselines of its scripts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from layergym.agents.names import num_layers
from layergym.envs import InputError
from layergym.evals.results import arm_of
from layergym.evals.sweep.run_arm import EvalSpec
from layergym.evals.sweep.search import Search
from layergym.trainer.layers.lora import lora_rank
from layergym.trainer.run import RunSpec, check_run

BOOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """Everything that determines a sweep."""

    run: RunSpec
    """What all arms share; its `layers`, `learning_rate` and `seed` are set per arm."""
    eval: EvalSpec = field(default_factory=EvalSpec)
    layers: tuple[int, ...] = ()
    """The layers that are trained alone."""
    extra: tuple[str, ...] = ()
    """Further arms, as expressions."""
    num_layers: int = 0
    seeds: tuple[int, ...] = (0,)
    lr_full: float | None = None
    lr_layer: float | None = None
    search: Search = field(default_factory=Search)

    def __post_init__(self) -> None:
        """Refuse a sweep without runs, and the same run twice.

        Raises:
            InputError: a seed, layer or arm is named twice, none is, or an arm cannot be read.
        """
        if not self.seeds or not (self.layers or self.extra):
            raise InputError("a sweep needs at least one seed and one layer or further arm")
        names = [arm_name(expression) for expression in self.expressions]
        for what, values in (("seed", list(map(str, self.seeds))), ("arm", names)):
            if twice := [value for value in values if values.count(value) > 1]:
                raise InputError(f"a sweep runs each {what} once; {twice[0]} is named twice")
        rates = [rate for rate in (self.lr_full, self.lr_layer) if rate is not None]
        if wrong := [rate for rate in rates if not 0 < rate < math.inf]:
            raise InputError(f"a learning rate lies above 0, unlike {wrong[0]:g}")
        if self.search.lr_grid and rates:
            raise InputError("learning rates are either given or chosen from a grid, not both")
        self.search.check(self.run.steps, self.eval)

    @property
    def expressions(self) -> tuple[str, ...]:
        """All arms in the order in which they start: base and full first."""
        return ("base", "full", *map(str, self.layers), *self.extra)

    @property
    def runs(self) -> list[tuple[str, int]]:
        """All runs, as expression and seed, in the order in which they start."""
        trained = [(one, seed) for one in self.expressions[1:] for seed in self.seeds]
        return [("base", self.run.seed), *trained]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes one arm differ from the others."""

    name: str
    changes: Mapping[str, Any]
    """Fields of `RunSpec` and their values."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One run of a sweep."""

    name: str
    run: RunSpec
    folder: Path


def recipe(expression: str, spec: SweepSpec) -> Recipe:
    """What the arm of this expression changes.

    Raises:
        InputError: the expression cannot be read.
    """
    text = expression.strip()
    name = arm_name(text)
    if text in ("base", "full"):
        return Recipe(name, {"layers": "all", "learning_rate": spec.lr_full})
    if text.startswith("boost-"):
        layers, _, factor = text.removeprefix("boost-").partition("*")
        boost = f"{layers}*{factor or BOOST}"
        return Recipe(name, {"layers": "all", "boost": boost, "learning_rate": spec.lr_full})
    if text == "lora" or text.startswith("lora-"):
        layers = text.removeprefix("lora").removeprefix("-") or "all"
        rank = lora_rank(spec.run.model, layers)
        return Recipe(name, {"layers": layers, "lora": rank, "learning_rate": None})
    return Recipe(name, {"layers": text, "learning_rate": spec.lr_layer})


def check_arms(spec: SweepSpec) -> None:
    """Refuse a sweep one of whose arms could not be trained, before anything is written.

    Raises:
        InputError: an arm cannot be read or does not fit the model, or a setting is wrong.
    """
    check_run(spec.run, spec.num_layers or num_layers(spec.run.model))
    for expression in spec.expressions:
        check_arm(expression, spec)


def check_arm(expression: str, spec: SweepSpec) -> None:
    """Refuse an arm that could not be trained in this sweep; nothing is loaded or written.

    Raises:
        InputError: it cannot be read or does not fit the model, or a setting is wrong.
    """
    depth = spec.num_layers or num_layers(spec.run.model)
    try:
        check_run(replace(spec.run, **recipe(expression, spec).changes), depth)
    except InputError as error:
        raise InputError(f'arm "{expression}": {error}') from None


def arms(spec: SweepSpec, folder: Path) -> list[Arm]:
    """All runs, in the order in which they start; the base has one seed."""
    made = {expression: recipe(expression, spec) for expression in spec.expressions}
    return [arm_run(spec, folder, made[expression], seed) for expression, seed in spec.runs]


def arm_run(spec: SweepSpec, folder: Path, made: Recipe, seed: int) -> Arm:
    """One run of an arm, with its place in the sweep's folder."""
    run = replace(spec.run, seed=seed, **made.changes)
    return Arm(made.name, run, run_folder(folder, made.name, seed))


def run_folder(folder: Path, arm: str, seed: int) -> Path:
    """Where a run of a sweep lies in the sweep's folder."""
    return folder / "arms" / arm / f"seed-{seed}"


def arm_name(expression: str) -> str:
    """Its folder's name: "layer-03" for "3", "top-5" for "top:5@runs/a/profile.json".

    Raises:
        InputError: nothing is left of it.
    """
    if re.fullmatch(r"\d+", expression):
        return arm_of(int(expression))
    short = re.sub(r"@[^*]*", "", expression)
    name = re.sub(r"[^a-z0-9-]+", "-", short.lower()).strip("-")
    if not name:
        raise InputError(f'"{expression}" names no arm; try "middle:5" or "boost-middle:5"')
    return name
