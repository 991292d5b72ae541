"""The trainer of one variant of a bank: an ordinary `GiGPOTrainer`, whose passes are joint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from layergym.base.errors import InputError
from layergym.trainer.bank.joint import BACKWARD, BELOW, READY, SCORE, ready
from layergym.trainer.bank.lockstep import Seat
from layergym.trainer.bank.passes import Asked, JointPasses, ScoredRows, TooManyTogether
from layergym.trainer.layers.frozen import FrozenCheck
from layergym.trainer.rows.passes import Pass
from layergym.trainer.trainer import GiGPOTrainer


@dataclass(frozen=True, slots=True)
class Place:
    """A variant's place in a bank."""

    seat: Seat
    variant: int
    passes: JointPasses


class BankTrainer(GiGPOTrainer):
    """Trains a view: losses, clipping, optimiser, log and checkpoints are its own.

    Only the passes through the model wait for those of the other variants. That the tensors which
    all variants share stay bit-identical is proven once, by the bank.
    """

    def __init__(self, *args: Any, place: Place, **kwargs: Any) -> None:
        """Build a `GiGPOTrainer` that trains at `place`."""
        self._place = place
        self._scored: ScoredRows | None = None
        super().__init__(*args, **kwargs)
        # A run killed while others of its bank save finds the checkpoint before, which all have,
        # and one more in case that is damaged.
        self.args.save_total_limit = 3
        self.frozen = FrozenCheck({}, str(self.selection))
        if self.aux_loss_enabled:
            raise InputError("a bank has no router loss; set router_aux_loss_coef=0")

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One optimiser step."""
        seat = self._place.seat
        seat.step = (self.state.global_step, 0)
        seat.ask(READY, ready, self._place.variant)
        return super().training_step(*args, **kwargs)

    def _score(
        self, model: torch.nn.Module, pass_: Pass
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        seat, passes = self._place.seat, self._place.passes
        asked = Asked(
            self._place.variant,
            self.selection.first,
            pass_.trees,
            pass_.sampled,
            self.accelerator.autocast,
            most=self.tokens_per_pass,
        )
        entering = pass_.prefix.hidden if pass_.prefix else None
        if entering is None:
            entering = seat.ask(BELOW, passes.below, asked)
        if pass_.prefix:
            pass_.prefix.hidden = entering
        asked = replace(asked, entering=entering)
        if not torch.is_grad_enabled():
            scored: ScoredRows = seat.ask(SCORE, passes.score_only, asked)
            self._next_pass()
        else:
            scored = self._scored = seat.ask(SCORE, passes.score, asked)
        return scored.logprobs, scored.entropy, None

    def _backward(self, loss: torch.Tensor) -> None:
        super()._backward(loss)
        self._place.seat.ask(BACKWARD, self._place.passes.backward, self._scored)
        self._scored = None
        self._next_pass()

    def _halve(self, lacking: torch.OutOfMemoryError) -> None:
        if not isinstance(lacking, TooManyTogether):
            super()._halve(lacking)

    def _next_pass(self) -> None:
        """Let those that have not come so far go first."""
        step, passes = self._place.seat.step
        self._place.seat.step = step, passes + 1

    def _clock(self) -> float:
        """Seconds that the variant has taken, with its part of what was served to several."""
        return self._place.seat.clock()
