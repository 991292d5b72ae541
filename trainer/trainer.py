"""`GiGPOTrainer`: episodes in, updates of the chosen layers out, on TRL's `GRPOTrainer`.

TRL keeps the losses, clipping, KL, optimiser, logging and the training loop. Replaced are what it
lacks: where rows come from (`_prepare_inputs`), how a step is cut into passes (`training_step`),
and, in `trainer.parts`, how their loss is computed, what differs by layer, what a checkpoint holds
and in which precision weights are stepped. `trainer.processes` shares the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from layergym.agents.models.architecture import causal_model, check_rows
from layergym.agents.models.compute import release_memory, repeatable_attention
from layergym.agents.rollouts import Job
from layergym.agents.types import Trajectory
from layergym.envs.panels import Panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.collect import Collected, Rollout, collect
from layergym.trainer.credit.measures import gradient_norms, mismatch, peak_memory
from layergym.trainer.finite import check_step
from layergym.trainer.layers.frozen import FrozenCheck, base_hash, digests
from layergym.trainer.layers.grammar import notice_origin
from layergym.trainer.layers.lora import base_names
from layergym.trainer.layers.selection import decoder_layers, select
from layergym.trainer.parts.memory import halved, tokens_that_fit
from layergym.trainer.parts.pass_loss import LossByPass
from layergym.trainer.parts.pass_means import over_passes
from layergym.trainer.parts.updates import notice_vanished
from layergym.trainer.rows.passes import Pass, PassLimits, minibatches, passes
from layergym.trainer.rows.prefix import Reference
from layergym.trainer.rows.trees import attention_reach


class GiGPOTrainer(LossByPass):
    """Trains the chosen layers of a causal model on episodes of a task panel.

    Which tasks a step plays, and with which seeds, depends on `args.seed` and the step alone;
    together with checkpoints that hold the trained tensors and the optimiser, a resumed run equals
    the uninterrupted one.

    An optimiser step whose rows all have advantage 0 (and no KL term) is skipped whole: weights
    and optimiser state stay as they are, neither weight decay nor momentum acts.

    Started by `accelerate launch`, every process builds the trainer and calls its methods alike;
    `rollout` gets this process's share of the jobs. The update is that of one process.
    """

    args: GiGPOConfig
    processing_class: PreTrainedTokenizerBase
    on_rollout: Callable[[int, Collected], None] | None = None
    """Gets the number of optimiser steps taken, and what the next ones learn from."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: GiGPOConfig,
        panel: Panel,
        rollout: Rollout,
        processing_class: PreTrainedTokenizerBase,
        *,
        callbacks: list[TrainerCallback] | None = None,
        known_digests: dict[str, str] | None = None,
    ) -> None:
        """Freeze what does not train and prepare the run.

        Args:
            model: a transformers causal model, also wrapped by PEFT; `rollout` samples from it.
            args: the settings.
            panel: the tasks to train on.
            rollout: plays episodes.
            processing_class: the model's tokenizer.
            callbacks: further Transformers callbacks.
            known_digests: `digests(model)`, when they are known already.

        Raises:
            InputError: a layer does not exist, nothing is selected, or the model has dropout.
        """
        self.selection = select(model, args.layers)
        self._layers = decoder_layers(model)
        self._factors = self.learning_rate_factors(args.boost)
        self.panel, self._play = panel, rollout
        self.next_rollout: Callable[[int], Collected] = self.play_rollout
        self._played: int | None = None
        self._collected = Collected((), {}, ())
        self._steps: list[list[Pass]] = []
        if not self.selection.whole_model:
            # Under gradient checkpointing, Transformers makes the embeddings' output require
            # grad, which would run the backward pass through every frozen layer.
            model.enable_input_require_grads = lambda: None  # type: ignore[method-assign]
        beta, args.beta = args.beta, 0.0  # TRL would load a second model as the reference.
        try:
            super().__init__(
                model=model,
                reward_funcs=_rewards_come_from_episodes,
                args=args,
                train_dataset=Dataset.from_dict({"prompt": list(panel.tasks)}),
                processing_class=processing_class,
                callbacks=callbacks,
            )
        finally:
            args.beta = beta
        self.beta = beta
        self.check_model()
        if args.deterministic:
            repeatable_attention(args.device)
        hashes = known_digests or digests(self.model)
        own = base_hash({base: hashes[name] for name, base in base_names(self.model).items()})
        # Accelerate may have loaded the weights in the first process only.
        self.base = broadcast_object_list([own])[0]
        for spec in (args.layers, args.boost):
            notice_origin(spec, self.base)
        self.frozen = FrozenCheck.of(self.model, str(self.selection), hashes, self.scatter())
        # The router's loss is a mean over the tokens of all rows, which trees do not repeat.
        self._reach = None if self.aux_loss_enabled else attention_reach(causal_model(self.model))
        fits = args.tokens_per_pass or tokens_that_fit(causal_model(self.model), args.device)
        self.tokens_per_pass: int = broadcast_object_list([fits])[0]
        self._begun = False

    # ---- training -------------------------------------------------------------------------

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as Transformers does, then prove that every frozen tensor is bit-identical.

        Raises:
            FrozenTensorChanged: one is not.
        """
        self._played = None
        output = super().train(*args, **kwargs)
        self.frozen.verify(self.model)
        notice_vanished(self.moved(), causal_model(self.model).dtype)
        return output

    def get_train_dataloader(self) -> DataLoader[Any]:
        """One placeholder per optimiser step; the tasks follow from the step's number."""
        steps = range(self.args.max_steps)
        return DataLoader(steps, batch_size=1, collate_fn=list)  # type: ignore[arg-type]

    def training_step(
        self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Accumulate the gradient of one optimiser step over its passes.

        Raises:
            InputError: loss or gradient is not finite; the weights are as they were before.
        """
        model.train()
        self._play_rollout()
        while True:
            try:
                todo = self._prepare_inputs(inputs)
                with self.timed("update"), self.only_drawn():
                    total, logs = self.add_up(model, todo)
                break
            except torch.OutOfMemoryError as error:
                lacking = error.with_traceback(None)
            self._halve(lacking)  # The failed pass is gone here, with what it held.
            model.zero_grad()
            self.masters.drop_gradients()
            release_memory()
        by_layer = self.trained_by_layer().items()
        norms = gradient_norms({name: self.stepped(parts) for name, parts in by_layer})
        check_step(self.state.global_step + 1, {"loss": float(total), **norms})
        self.note(over_passes(logs, per_row=self.importance_sampling_level == "sequence"))
        self.note(norms)
        self.note(mismatch(todo, self.accelerator.gather))
        self.note({"memory_bytes": peak_memory()})
        return total

    def _halve(self, lacking: torch.OutOfMemoryError) -> None:
        """Have smaller passes from now on.

        Raises:
            InputError: passes are as small as they get, or others wait for this process, or the
                weights have changed since the rollout.
        """
        first = self.state.global_step % self.args.updates_per_rollout == 0
        longest = max((len(row.ids) for row in self._collected.rows), default=1)
        again = self.share.of == 1 and first
        self.tokens_per_pass = halved(self.tokens_per_pass, longest if again else None, lacking)
        self._steps = []

    def _prepare_inputs(  # type: ignore[override]
        self, generation_batch: Any
    ) -> list[Pass]:
        """The passes of this optimiser step; plays a new rollout when the last is used up.

        Which rollout it is follows from the number of the step. Checkpoints lie between rollouts,
        so a resumed run begins with a new one, as the uninterrupted run did.
        """
        update = self.state.global_step % self.args.updates_per_rollout
        number = self._play_rollout()
        if not self._steps:
            self._steps = self._cut(self._collected, number)
        return self._steps[update % self.args.steps_per_generation]

    # ---- one rollout ------------------------------------------------------------------------

    def _play_rollout(self) -> int:
        """The number of the rollout that this step learns from, which is played by then."""
        number = self.state.global_step // self.args.updates_per_rollout
        if number == self._played:
            return number
        self._begin()
        self._steps = []
        with self.timed("rollout"):
            self._collected = self.next_rollout(number)
        check_rows(causal_model(self.model).config, (row.ids for row in self._collected.rows))
        if self.on_rollout:
            self.on_rollout(self.state.global_step, self._collected)
        self.note(self._collected.measures)
        self._played = number
        return number

    def play_rollout(self, number: int) -> Collected:
        """Play rollout `number` with the model as it is now."""
        together = partial(self.play_between, self._play)
        return collect(self.panel, together, self.args.rollout, number)

    def _cut(self, collected: Collected, number: int) -> list[list[Pass]]:
        """The passes of all optimiser steps on rollout `number`."""
        args = self.args
        room = PassLimits(args.per_device_train_batch_size, self.tokens_per_pass)
        steps = [
            passes(
                minibatch,
                room=room,
                loss_type=self.loss_type,
                rollout_tokens=int(collected.measures["tokens"]),
                device=args.device,
                reach=self._reach,
                share=self.share,
            )
            for minibatch in minibatches(
                collected.rows,
                args.steps_per_generation,
                order=(args.seed, number),
                skip_idle=self.idle_rows_count_nothing(),
                reach=self._reach,
                room=room,
            )
        ]
        with self.timed("logprobs"):
            self.prepare_passes(steps)
        return steps

    def play_between(self, play: Rollout, jobs: Sequence[Job]) -> list[Trajectory]:
        """Play `jobs` with the model as it is between two steps.

        Args:
            play: plays this process's share.
            jobs: of all processes.

        Returns:
            The trajectories of all processes, in order.
        """
        self.model.train(False)
        with (
            torch.no_grad(),
            nullcontext() if self.args.external_engine else self.unsharded(),
        ):
            played = play(self.share.block(jobs))
        self.model.train()
        return list(gather_object(list(played)))

    # ---- start ----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Once, where the model trains and before it changes: keep what it was."""
        if self._begun:
            return
        self._begun = True
        if self.beta:
            self._reference = Reference(self.model)
        if self.sharded:  # every process answers for its own parts
            self.frozen = FrozenCheck.of(self.model, str(self.selection))
        self.measure_from_here(self.frozen.masks)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._begin()
        super()._load_from_checkpoint(resume_from_checkpoint, model)


def _rewards_come_from_episodes(*args: Any, **kwargs: Any) -> list[float | None]:
    raise AssertionError("TRL's reward functions are not used: environments give the reward")
