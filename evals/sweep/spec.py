"""What a sweep is asked to be, and what it is once that has been resolved.

A `SweepSpec` is what a person writes and `sweep.json` holds. `resolve` (`resolve.py`) turns it into
a `ResolvedSweep` once, before anything is run: the environment's full id, the depth of the model,
and each arm with the `RunSpec` that it trains with. All that runs a sweep reads that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from layergym.base.errors import InputError
from layergym.base.files import read_json
from layergym.base.numbers import Bounds, check_numbers
from layergym.evals.arms import Arm, ArmName
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.search import Search
from layergym.trainer.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates of a sweep; None: what suits the model."""

    full: float | None
    """Rate of the arms that train every parameter."""
    layer: float | None
    """Rate of the arms that train some layers, or scattered entries."""

    def of(self, arm: Arm) -> float | None:
        """The rate that `arm` trains with; LoRA has its own."""
        if arm.kind == "lora":
            return None
        return self.full if arm.kind in ("base", "full", "boost") else self.layer


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """Everything that determines a sweep."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "seeds": Bounds(0, 2**32 - 1, whole=True),
        "lr_full": Bounds(0, 100, above=True, optional=True),
        "lr_layer": Bounds(0, 100, above=True, optional=True),
    }
    run: RunSpec
    """What all arms share; its `layers`, `learning_rate` and `seed` are set per arm."""
    eval: EvalSpec = field(default_factory=EvalSpec)
    """What every arm is scored on."""
    layers: tuple[int, ...] = ()
    """The layers that are trained alone."""
    extra: tuple[str, ...] = ()
    """Further arms, as expressions."""
    num_layers: int = 0
    """How many layers the model has; 0: what its configuration says."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of training: one run per arm and seed."""
    lr_full: float | None = None
    """Learning rate of the arms that train every parameter; None: what suits the model."""
    lr_layer: float | None = None
    """Learning rate of single layers; None: what suits the model."""
    search: Search = field(default_factory=Search)
    """What is decided on the way."""

    def __post_init__(self) -> None:
        """Refuse a sweep without runs, and the same run twice.

        Raises:
            InputError: there is no seed or no arm, one is named twice, an arm cannot be read, or
                a number cannot be.
        """
        check_numbers(self, self.BOUNDS)
        if not self.seeds or not (self.layers or self.extra):
            raise InputError("a sweep needs at least one seed and one layer or further arm")
        names = [arm.name for arm in self.arms]
        for what, values in (("seed", list(map(str, self.seeds))), ("arm", list(map(str, names)))):
            if twice := [value for value in values if values.count(value) > 1]:
                raise InputError(f"a sweep runs each {what} once; {twice[0]} is named twice")
        given = self.lr_full is not None or self.lr_layer is not None
        if self.search.lr_grid and given:
            raise InputError("learning rates are either given or chosen from a grid, not both")
        self.search.check(self.run.steps, self.eval)
        if self.run.quantize != "none":
            raise InputError(
                "arms of a sweep must share one base, and full training freezes nothing that could "
                "be quantised; leave out quantize, or train single runs"
            )

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All arms in the order in which they start: base and full first."""
        return tuple(map(Arm.parse, ("base", "full", *map(str, self.layers), *self.extra)))


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One run of an arm: an arm, a seed, and where it lies."""

    arm: Arm
    run: RunSpec
    folder: Path

    @property
    def name(self) -> ArmName:
        """The arm's."""
        return self.arm.name


@dataclass(frozen=True, slots=True)
class ResolvedSweep:
    """A sweep in its folder, with nothing left to look up."""

    spec: SweepSpec
    """The settings with the environment's full id and the model's depth."""
    folder: Path
    variants: tuple[tuple[Arm, RunSpec], ...]
    """Every arm with what it trains; `run_of` sets the seed."""

    @property
    def runs(self) -> list[ArmRun]:
        """All runs, in the order in which they start; the base has one seed."""
        return [
            self.run_of(arm, run, seed)
            for arm, run in self.variants
            for seed in (self.spec.seeds if arm.name.trained else (self.spec.run.seed,))
        ]

    def run_of(self, arm: Arm, run: RunSpec, seed: int) -> ArmRun:
        """The run of an arm with one seed, at its place."""
        return ArmRun(arm, replace(run, seed=seed), run_folder(self.folder, arm.name, seed))

    def at(self, rates: Rates) -> ResolvedSweep:
        """The same sweep with learning rates that were chosen on the way."""
        spec = replace(
            self.spec,
            lr_full=rates.full,
            lr_layer=rates.layer,
            search=replace(self.spec.search, lr_grid=()),
        )
        variants = tuple(
            (arm, replace(run, learning_rate=rates.of(arm))) for arm, run in self.variants
        )
        return ResolvedSweep(spec, self.folder, variants)


def run_folder(folder: Path, arm: ArmName, seed: int) -> Path:
    """Where a run of a sweep lies in the sweep's folder."""
    return folder / "arms" / arm / f"seed-{seed}"


def read_spec(folder: Path) -> SweepSpec:
    """The settings of the sweep in `folder`.

    Raises:
        InputError: it is not a sweep folder, or another version of layergym wrote it.
    """
    values = read_json(folder / "sweep.json")
    try:
        search = dict(values.get("search", {}))
        if "dev" in search:
            search["dev"] = _build(EvalSpec, search["dev"])
        parts = {
            "run": RunSpec.of(values["run"]),
            "eval": _build(EvalSpec, values["eval"]),
            "search": _build(Search, search),
        }
        spec: SweepSpec = _build(SweepSpec, values | parts)
        return spec
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / 'sweep.json'} does not describe a sweep: {error}; "
            "give a folder that layergym sweep wrote"
        ) from error


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    """A frozen value from JSON, whose lists are tuples here."""
    names = {f.name for f in fields(kind)}
    made = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
    return kind(**made)
