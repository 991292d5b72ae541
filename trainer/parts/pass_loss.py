"""TRL's loss of a pass, on the log-probabilities that `trainer.rows.prefix` computes.

TRL computes one loss per optimiser step. Here a step is several passes, each with its weight, and a
pass brings its rows as trees; so the loss, the old and the reference log-probabilities, and what
TRL logs are all made pass by pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from layergym.agents.models.architecture import causal_model
from layergym.agents.models.compute import free_memory, repeatable
from layergym.base.errors import InputError
from layergym.trainer.parts.memory import prefix_must_leave
from layergym.trainer.parts.pass_means import PassLog, logged_apart
from layergym.trainer.parts.targeting import LayerTargeting
from layergym.trainer.rows.passes import Pass
from layergym.trainer.rows.prefix import Prefix, Reference, sampled_logprobs


class LossByPass(LayerTargeting):
    """A `GRPOTrainer` that computes the loss of an optimiser step over several passes."""

    _reference: Reference | None = None
    """The model before training, where the loss has a KL term."""
    _pass: Pass | None = None
    """What the loss is being computed of: TRL's signatures do not carry it."""

    def add_up(
        self, model: torch.nn.Module, passes: Sequence[Pass]
    ) -> tuple[torch.Tensor, list[PassLog]]:
        """Forward and backward of all passes: the loss of the step, and what TRL logged of each."""
        total = torch.zeros((), device=self.args.device)
        logs: list[PassLog] = []
        for number, pass_ in enumerate(passes, 1):
            # DDP adds the processes' gradients up once; FSDP2 keeps only this process's part of the
            # sum, so it adds up in every pass.
            last = number == len(passes) or self.sharded
            with self.apart(model) if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager(), logged_apart(self._metrics) as logged:
                    loss = self.compute_loss(model, pass_) * pass_.weight
                logs.append(PassLog(logged, pass_.tokens, pass_.rows, pass_.weight))
                self._backward(loss)
            total += loss.detach()
        self.average()
        return total, logs

    def compute_loss(  # type: ignore[override]
        self,
        model: torch.nn.Module,
        inputs: Pass,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """TRL's loss of one pass."""
        self._pass = inputs
        # TRL's bonus is a mean over the pass's tokens: with the pass's weight it counts as many.
        self.entropy_coef = self.args.entropy_coef * (
            inputs.tokens / inputs.weight if inputs.weight else 1.0
        )
        loss: torch.Tensor = super().compute_loss(model, inputs.loss_inputs, return_outputs)
        return loss

    def _get_per_token_logps_and_entropies(
        self, model: torch.nn.Module, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """What TRL's loss asks for, computed for the pass at hand as `trainer.rows.prefix` does.

        The first epoch's values become the old log-probabilities of later epochs: nothing has
        changed in between when there is one optimiser step per epoch.
        """
        assert self._pass is not None
        logprobs, entropy, router_loss = self._score(model, self._pass)
        self._pass.observe(logprobs)
        self._pass.loss_inputs.setdefault("old_per_token_logps", logprobs.detach())
        return logprobs, entropy, router_loss

    def _backward(self, loss: torch.Tensor) -> None:
        """Add the gradient of one pass."""
        with repeatable(self.args.deterministic):
            self.accelerator.backward(loss)

    def _score(
        self, model: torch.nn.Module, pass_: Pass
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Log-probabilities and entropies of a pass, and its router loss."""
        reused = pass_.prefix.reused() if pass_.prefix else nullcontext()
        with reused, self.accelerator.autocast():
            return sampled_logprobs(
                model,
                causal_model(self.model),
                pass_.trees,
                pass_.sampled,
                router_loss=self.aux_loss_enabled,
            )

    @torch.no_grad()
    def prepare_passes(self, steps: Sequence[Sequence[Pass]]) -> None:
        """Give passes their prefix, and what the loss needs from before the first update.

        Args:
            steps: the passes of every optimiser step on one rollout.

        Raises:
            InputError: a setting compares rows that are in several passes.
        """
        self._check_quantile(steps)
        passes = [pass_ for step in steps for pass_ in step]
        ours = self.args.exact_sampler
        later = self.args.steps_per_generation > 1
        recompute = later and not ours
        uses = self.num_iterations + bool(self.beta) + recompute
        cached = self.selection.first > 0 and uses > 1
        offload = cached and self._prefix_leaves(passes)
        for pass_ in passes:
            pass_.weigh(self.args.importance)
            if cached:
                pass_.prefix = Prefix(self._layers, self.selection.first, offload=offload)
            if recompute:
                logprobs = self._score(self.model, pass_)[0]
                pass_.observe(logprobs)
                pass_.loss_inputs["old_per_token_logps"] = logprobs
            elif later or (self.args.overlap and ours):
                pass_.loss_inputs["old_per_token_logps"] = pass_.sampler_logprobs
        if self._reference is not None:
            with self._reference.active():
                for pass_ in passes:
                    pass_.loss_inputs["ref_per_token_logps"] = self._score(self.model, pass_)[0]

    def _check_quantile(self, steps: Sequence[Sequence[Pass]]) -> None:
        """TRL looks for the tokens of highest entropy among those of one pass."""
        if self.top_entropy_quantile < 1.0 and max(map(len, steps), default=0) > 1:
            raise InputError(
                "top_entropy_quantile compares all rows of an optimiser step, which here are cut "
                f"into {max(map(len, steps))} passes; raise per_device_train_batch_size until one "
                "pass holds them all, or leave it out"
            )

    def _prefix_leaves(self, passes: Sequence[Pass]) -> bool:
        """Whether the cached activations of all passes are kept in main memory."""
        slots = sum(pass_.trees.ids.numel() for pass_ in passes)
        free = free_memory(self.args.device)
        return self.args.offload_prefix or prefix_must_leave(causal_model(self.model), slots, free)

    def idle_rows_count_nothing(self) -> bool:
        """Whether a row without advantage has no gradient."""
        return not (
            self.beta
            or self._entropy_bonus_enabled
            or self.top_entropy_quantile < 1.0
            or self.aux_loss_enabled
        )
