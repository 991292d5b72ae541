"""The trainer of one variant of a bank: an ordinary `GiGPOTrainer`, whose passes are joint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from layergym.envs.errors import InputError
from layergym.trainer.bank.joint import BACKWARD, READY, SCORE, Asked, JointPasses, Scored, ready
from layergym.trainer.bank.lockstep import Seat
from layergym.trainer.delta import FrozenCheck
from layergym.trainer.passes import Pass
from layergym.trainer.trainer import GiGPOTrainer


@dataclass(frozen=True, slots=True)
class Place:
    """A variant's place in a bank."""

    seat: Seat
    variant: int
    passes: JointPasses
    share: float
    """Of the common time, the part that is put down to this variant."""


class BankTrainer(GiGPOTrainer):
    """Trains a view: losses, clipping, optimiser, log and checkpoints are its own.

    Only the passes through the model wait for those of the other variants. That the tensors which
    all variants share stay bit-identical is proven once, by the bank.
    """

    def __init__(self, *args: Any, place: Place, **kwargs: Any) -> None:
        """As `GiGPOTrainer`, at `place`."""
        self._place = place
        self._scored: Scored | None = None
        super().__init__(*args, **kwargs)
        # A run killed while others of its bank save finds the checkpoint before, which all have.
        self.args.save_total_limit = 2
        rows = self.args.per_device_train_batch_size
        self.args.per_device_train_batch_size = max(1, int(rows * place.share))
        self.frozen = FrozenCheck({}, str(self.selection))
        if self.aux_loss_enabled:
            raise InputError("a bank has no router loss; set router_aux_loss_coef=0")

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One optimiser step."""
        seat = self._place.seat
        seat.step = self.state.global_step
        seat.ask(READY, ready, self._place.variant)
        return super().training_step(*args, **kwargs)

    def _score(
        self, model: torch.nn.Module, one: Pass
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        place = self._place
        passes = place.passes
        asked = Asked(
            place.variant, self.selection.first, one.ids, one.sampled, self.accelerator.autocast
        )
        serve = passes.score if torch.is_grad_enabled() else passes.score_only
        scored: Scored = place.seat.ask(SCORE, serve, asked)
        self._scored = scored
        return scored.logprobs, scored.entropy, None

    def _backward(self, loss: torch.Tensor) -> None:
        super()._backward(loss)
        self._place.seat.ask(BACKWARD, self._place.passes.backward, self._scored)
        self._scored = None

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.note({f"time/{what}_s": (time.perf_counter() - started) * self._place.share})
