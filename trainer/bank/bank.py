"""The layer bank: several single-layer runs of one model, trained and scored as one.

    bank = Bank(specs)
    trained = bank.train(folders)
    bank.each(lambda i, agent_at: evaluate(agent_at(1.0), ...))

Every run is the same run that it would have been alone: the same tasks, seeds, losses, clipping,
optimiser and files. Only the model's passes are shared (`trainer.bank.routing`), so results differ
from those of separate runs by the rounding of sums in another order, and by nothing in float64.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from transformers import PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.agents.llm import LLMAgent
from layergym.agents.models.compute import clock
from layergym.agents.models.requests import Variants
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.names import defaults, open_model
from layergym.base.errors import InputError
from layergym.trainer.bank.joint import JointSampler
from layergym.trainer.bank.lockstep import Seat, lockstep
from layergym.trainer.bank.passes import JointPasses
from layergym.trainer.bank.paths import Rows
from layergym.trainer.bank.routing import routed, view
from layergym.trainer.bank.trainer import BankTrainer, Place
from layergym.trainer.callbacks import NOBODY, Watch
from layergym.trainer.layers.frozen import FrozenCheck, FrozenTensorChanged, digests
from layergym.trainer.layers.grammar import inside_layers, touched
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.run import Policy, Trained, prompt_style, train_policy
from layergym.trainer.seals import last_whole
from layergym.trainer.spec import HERE, RunSpec

T = TypeVar("T")
VariantAt = Callable[[float], LLMAgent]
"""A variant's agent at a temperature."""

EPISODES = 1024
"""Episodes that the variants of one bank have in flight at most, unless told otherwise."""
_SHARED = (
    "model",
    "format",
    "admissible",
    "context",
    "prompt",
    "shots",
    "temperature",
    "max_new_tokens",
    "steps",
    "save_every",
    "dtype",
    "device",
)


def groups(specs: Sequence[RunSpec], *, variants: int | None = None) -> list[tuple[int, ...]]:
    """Which runs can share banks: indices into `specs`, bank by bank.

    Runs share a bank when they have the same model, agent and length. Runs that train single
    entries or anything outside the decoder layers, or LoRA adapters, that sample with vLLM, or that
    are scored while they train, are in no bank.

    Args:
        specs: the runs.
        variants: runs in one bank at most, which bounds its memory; None: as many as keep
            `EPISODES` episodes in flight.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for i, spec in enumerate(specs):
        if _fits(spec):
            alike.setdefault(_shared(spec), []).append(i)
    banks = []
    for indices in alike.values():
        episodes = max(specs[i].tasks_per_step * specs[i].group_size for i in indices)
        size = variants or max(1, EPISODES // episodes)
        banks += [tuple(indices[i : i + size]) for i in range(0, len(indices), size)]
    return banks


def _fits(spec: RunSpec) -> bool:
    """Whether a run can be in a bank at all."""
    own = (spec.sampler != HERE, spec.quantize != "none", spec.lora, spec.eval_every, spec.overlap)
    return not any(own) and inside_layers(spec.layers)


class Bank:
    """Variants of one model, each of which trains its own layers."""

    def __init__(self, specs: Sequence[RunSpec]) -> None:
        """Open the model once, with a private copy of what each run trains.

        Raises:
            InputError: the runs cannot share a bank, or a setting does not fit.
        """
        if len({_shared(spec) for spec in specs}) != 1:
            raise InputError(f"runs in one bank must agree on {', '.join(_SHARED)}")
        if not all(map(_fits, specs)):
            raise InputError(
                "a bank trains decoder layers or modules of theirs, and samples by itself: no "
                "single entries, nothing outside the layers, no LoRA, no vLLM, no --eval-every, no "
                "--overlap, no --quantize"
            )
        self.specs = tuple(specs)
        self.base, self.tokenizer = open_model(
            specs[0].model, dtype=specs[0].dtype, device=specs[0].device
        )
        self.base.requires_grad_(False)
        self.views = tuple(view(self.base, spec.layers) for spec in specs)
        depth = len(decoder_layers(self.base))
        self.starts = [touched(spec.layers, depth)[0] for spec in specs]
        self._rows = Rows()
        self._model = routed(self.base, self.views, self._rows)
        self.passes = JointPasses(self._model, self._rows, specs[0].deterministic)
        add_fused_lm_head(
            self._model, temperature=specs[0].temperature, outputs=("log_probs", "entropy")
        )
        self._samplers: dict[float, JointSampler] = {}

    def train(
        self,
        folders: Sequence[Path],
        *,
        resume: bool = False,
        until: int | None = None,
        watches: Sequence[Watch] = (),
    ) -> list[Trained]:
        """Train all variants, each in its own run folder, as `trainer.run.train` trains one.

        A resumed bank ends bit-equal to one that was never interrupted, as long as no variant
        ended early. The time of each is its share of the common time.

        Args:
            folders: one for each run.
            resume: go on from the last checkpoint that all have, whole.
            until: halt after this many optimiser steps.
            watches: one for each run, or none.

        Raises:
            InputError: an environment or a setting does not fit.
            FrozenTensorChanged: a tensor that no variant trains is not what it was.
        """
        hashes = digests(self.base)
        checkpoints = last_whole(folders) if resume else [None] * len(folders)
        add = partial(self._train_one, known_digests=hashes, until=until)
        works = [
            partial(add, i, folder, checkpoint, watch)
            for i, (folder, checkpoint, watch) in enumerate(
                zip(folders, checkpoints, watches or [NOBODY] * len(folders), strict=True)
            )
        ]
        # A pass with grad takes neighbours: below their layers, all of them are the base.
        order = sorted(range(len(works)), key=lambda i: self.starts[i])
        gc.freeze()  # Every trainer collects garbage as it starts; what is there by now is none.
        try:
            trained = dict(zip(order, lockstep([works[i] for i in order], self._now), strict=True))
        finally:
            gc.unfreeze()
        FrozenCheck(hashes, "the variants' own copies").verify(self.base)
        for variant in self.views:
            _check_shared(variant, self.base)
        return [trained[i] for i in range(len(works))]

    def each(self, work: Callable[[int, VariantAt], T]) -> list[T]:
        """`work(i, agent_at)` for every variant, their agents sampling in common batches.

        Works run in threads, one at a time. Those that ask for the same temperatures in the same
        order share their batches.
        """

        def seated(i: int, seat: Seat) -> T:
            return work(i, lambda temperature: self._agent(i, seat, temperature))

        return lockstep([partial(seated, i) for i in range(len(self.specs))], self._now)

    def _now(self) -> float:
        return clock(self.base.device)

    def sampler_at(self, temperature: float) -> JointSampler:
        """The sampler that all variants share at a temperature."""
        joint = self._samplers.get(temperature)
        if joint is None:
            joint = JointSampler(partial(self._sampler, temperature), self._rows, len(self.specs))
            self._samplers[temperature] = joint
        return joint

    def _train_one(
        self,
        i: int,
        folder: Path,
        checkpoint: Path | None,
        watch: Watch,
        seat: Seat,
        *,
        known_digests: dict[str, str],
        until: int | None,
    ) -> Trained:
        spec = self.specs[i]
        place = Place(seat, i, self.passes)
        policy = Policy(
            self.views[i],
            self.tokenizer,
            self._agent(i, seat, spec.temperature),
            partial(BankTrainer, place=place, known_digests=known_digests),
        )
        began = seat.clock()
        done = train_policy(spec, folder, policy, checkpoint, until=until, watch=watch)
        return replace(done, train_s=seat.clock() - began)

    def _agent(self, i: int, seat: Seat, temperature: float) -> LLMAgent:
        spec = self.specs[i]
        sampler = self.sampler_at(temperature).of(seat, i)
        return LLMAgent(sampler, self.tokenizer, prompt_style(spec))

    def _sampler(self, temperature: float, variants: Variants) -> TransformersSampler:
        spec = self.specs[0]
        return TransformersSampler(
            self._model,
            self.tokenizer,
            max_new_tokens=spec.max_new_tokens or defaults(spec.model).max_new_tokens,
            temperature=temperature,
            variants=variants,
        )


def _shared(spec: RunSpec) -> tuple[object, ...]:
    return tuple(getattr(spec, name) for name in _SHARED)


def _check_shared(variant: PreTrainedModel, base: PreTrainedModel) -> None:
    """Check that a view still holds the base's own tensors where it trains none."""
    tensors = dict(base.named_parameters())
    for name, parameter in variant.named_parameters():
        if not parameter.requires_grad and parameter is not tensors[name]:
            raise FrozenTensorChanged(f"{name} of a variant is no longer the base's")
