"""Which variants of a trained model there are, and playing them: the working half of `dissect`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from layergym.agents.llm import LLMAgent
from layergym.agents.models.compute import free_memory
from layergym.agents.names import open_model
from layergym.base.errors import InputError
from layergym.evals.contribution.cuts import Cut
from layergym.evals.results import EvalResult
from layergym.evals.score.evaluate import Label, play_together
from layergym.evals.score.weights import Likeness, Movement, likeness, movement
from layergym.evals.sweep.panels import EvalSpec, scored_panel
from layergym.trainer.bank.routing import Inseparable
from layergym.trainer.bank.together import Together
from layergym.trainer.layers import variants as make
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.grammar import touched
from layergym.trainer.layers.selection import decoder_layers, parameters_named
from layergym.trainer.layers.variants import Variant
from layergym.trainer.run import agent_of
from layergym.trainer.spec import RunSpec, make_env_of

MOST = 32
"""Variants that are scored in common batches: their results are kept when all of them are done."""
TRIED = 2
"""Those of the first batch where time is limited, to see how long one takes."""
SHARE = 0.3
"""The share of free memory that the tensors of these variants may take."""
MODULES = ("attn", "mlp", "norms", "q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Runs:
    """The runs of one base that are taken apart."""

    full: Mapping[int, Path]
    """Deltas of full training by seed."""
    alone: Mapping[tuple[int, int], Path]
    """Deltas of single-layer runs by layer and seed."""
    beside: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    """Deltas of full training of other sweeps, by the sweep's name and seed."""

    def donors(self, seed: int) -> dict[str, Path]:
        """Full runs whose layers are tried in that of a seed, by names that all seeds share.

        "next" is the next seed's; of every other sweep it is the same seed's, or its first.
        """
        later = sorted(self.full, key=lambda other: (other <= seed, other))[0]
        found = {} if later == seed else {"next": self.full[later]}
        return found | {
            name: runs.get(seed, next(iter(runs.values()))) for name, runs in self.beside.items()
        }


class Bench:
    """The base, opened once, with everything that makes and plays its variants."""

    def __init__(self, run: RunSpec, spec: EvalSpec, runs: Runs, temperature: float) -> None:
        """Open the base and check that the first run belongs to it.

        Raises:
            InputError: it does not, or the model, environment or panel is not there.
        """
        self.run, self.spec, self.runs, self.temperature = run, spec, runs, temperature
        self.model, self.tokenizer = open_model(run.model, dtype=run.dtype, device=run.device)
        self.model.requires_grad_(False)
        self.before = make.values_of(self.model, parameters_named(self.model, "all"))
        self.layers = len(decoder_layers(self.model))
        self.panel = scored_panel(run, spec)
        self._read: dict[Path, LayerDelta] = {}
        first = LayerDelta.load(next(iter(runs.full.values())))
        first.apply(self.model).put(self.model)  # Refuses another base.
        for path in (one for others in runs.beside.values() for one in others.values()):
            LayerDelta.load(path).check_base(first.base)

    @property
    def key(self) -> str:
        """The name of the folder for all that is scored on the same episodes in the same way."""
        spec = self.spec
        about = (self.panel.hash, spec.repeats, spec.seed, self.temperature, spec.score)
        return hashlib.sha256(repr((*about, self.run.dtype)).encode()).hexdigest()[:12]

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """Those of `MODULES` that this model has, then what lies outside its layers."""
        inside = tuple(part for part in MODULES if self._has(f"all.{part}"))
        return *inside, *(part for part in ("embed", "head", "norm") if self._has(part))

    def _has(self, spec: str) -> bool:
        try:
            return bool(parameters_named(self.model, spec))
        except InputError:
            return False

    def delta(self, path: Path) -> LayerDelta:
        """A run's delta with whole values; that of the last runs stay in memory."""
        if path not in self._read:
            self._read = dict(list(self._read.items())[-self.layers :])
            self._read[path] = make.dense(LayerDelta.load(path), self.before)
        return self._read[path]

    def alone(self, seed: int, layers: str) -> list[LayerDelta]:
        """The single-layer runs of one seed of these layers."""
        wanted = touched(layers, self.layers)
        return [self.delta(self.runs.alone[layer, seed]) for layer in wanted]

    def variant(self, cut: Cut, seed: int) -> Variant:
        """The model that `cut` makes of the runs of one seed.

        Raises:
            InputError: it names a run, layer or module that is not there.
        """
        full = self.delta(self.runs.full[seed])
        return Variant(cut.name, self._made(cut, seed, full))

    def _made(self, cut: Cut, seed: int, full: LayerDelta) -> LayerDelta:
        what, before = cut.what, self.before
        if cut.kind == "exchanged":
            layer, _, other = what.partition("@")
            donor = self.delta(self.runs.donors(seed)[other])
            return make.exchanged(full, donor, parameters_named(self.model, layer))
        makers: dict[str, Callable[[], LayerDelta]] = {
            "base": lambda: make.part_of(full, ()),
            "full": lambda: full,
            "alone": lambda: self.alone(seed, what)[0],
            "moved": lambda: make.part_of(full, parameters_named(self.model, what)),
            "without": lambda: make.without(full, parameters_named(self.model, what)),
            "scaled": lambda: make.scaled(full, before, float(what)),
            "bfloat16": lambda: make.rounded(full, before),
            "rank": lambda: make.directions(full, before, int(what)),
            "stack": lambda: make.stacked(self.alone(seed, what), before),
            "average": lambda: make.stacked(self.alone(seed, what), before, mean=True),
        }
        return makers[cut.kind]()

    def play_some(self, cuts: Sequence[Cut], seed: int, most: int = MOST) -> list[EvalResult]:
        """Score the first few of these variants of one seed in common batches.

        As many as there is memory for, `most` at most. Every variant plays the same episodes.
        """
        variants = self._first(cuts, seed, most)
        try:
            return self._play_together(variants, seed)
        except Inseparable:
            return [self.play(variants[0], seed)]

    def play(self, variant: Variant, seed: int) -> EvalResult:
        """Score one variant on the panel by itself."""
        undo = variant.delta.put(self.model)
        try:
            agent = agent_of(self.run, self.model, self.tokenizer, self.temperature)
            return self._play(agent, [variant], seed)[0]
        finally:
            undo.put(self.model)

    def _play_together(self, variants: Sequence[Variant], seed: int) -> list[EvalResult]:
        all_in_one = Together(self.model, [variant.delta for variant in variants])
        agent = agent_of(
            self.run, all_in_one.model, self.tokenizer, self.temperature, variants=all_in_one
        )
        return self._play(agent, variants, seed)

    def _play(self, agent: LLMAgent, variants: Sequence[Variant], seed: int) -> list[EvalResult]:
        score = self.spec.score
        return play_together(
            agent,
            make_env_of(self.run, self.spec.split),
            self.panel,
            [Label(one.name, self.temperature, seed, score) for one in variants],
            repeats=self.spec.episodes_at(self.temperature),
            seed=self.spec.seed,
        )

    def _first(self, cuts: Sequence[Cut], seed: int, most: int) -> list[Variant]:
        """The first few variants whose own tensors fit into memory beside the base's."""
        room = SHARE * free_memory(self.model.device)
        found: list[Variant] = []
        held: dict[int, torch.Tensor] = {}
        for cut in cuts[:most]:
            one = self.variant(cut, seed)
            held.update((id(tensor), tensor) for tensor in one.delta.tensors.values())
            if found and sum(tensor.nbytes for tensor in held.values()) > room:
                break
            found.append(one)
        return found

    # ---- weights ------------------------------------------------------------------------------

    def movements(self, seed: int, parts: Sequence[str]) -> dict[str, Movement]:
        """How full training moved these targets of the `layers=` grammar."""
        full = self.delta(self.runs.full[seed])
        found = {
            part: movement(full, self.before, parameters_named(self.model, part)) for part in parts
        }
        return {part: one for part, one in found.items() if one}

    def likenesses(self, layer: int) -> dict[str, Likeness]:
        """How alike updates are: seeds of full training, and full training and the layer alone."""
        names, fulls = parameters_named(self.model, str(layer)), self.runs.full
        first, *others = fulls
        pairs = {f"seed {first} and seed {s}": (fulls[first], fulls[s]) for s in others}
        for seed in fulls:
            pairs |= {
                f"{name} and here, seed {seed}": (path, fulls[seed])
                for name, path in self.runs.donors(seed).items()
                if name in self.runs.beside
            }
            if (layer, seed) in self.runs.alone:
                pairs[f"full and alone, seed {seed}"] = (
                    fulls[seed],
                    self.runs.alone[layer, seed],
                )
        found = {
            name: likeness(self.delta(a), self.delta(b), self.before, names)
            for name, (a, b) in pairs.items()
        }
        return {name: one for name, one in found.items() if one}


class PlayBudget:
    """How many evaluations may begin, so that none of them ends long after time is up."""

    def __init__(self, limit_s: float | None) -> None:
        """Begin now; None: without a limit."""
        self._limit_s = limit_s
        self._began = self._last = time.monotonic()
        self._each_s: float | None = None

    def did(self, count: int) -> None:
        """Take note that this many have ended since the last call."""
        now = time.monotonic()
        self._each_s, self._last = (now - self._last) / count, now

    def most(self) -> int:
        """How many may begin at once; 0: time is up."""
        self._last = time.monotonic()
        if self._limit_s is None:
            return MOST
        left = self._limit_s - (self._last - self._began)
        if left <= 0:
            return 0
        return TRIED if self._each_s is None else min(MOST, max(1, int(left / self._each_s)))
