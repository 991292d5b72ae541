"""`GiGPOTrainer`: episodes in, updates of the chosen layers out, on TRL's `GRPOTrainer`.

TRL keeps the losses, clipping, KL, optimiser, logging and the training loop. Replaced are what it
lacks: where rows come from (`_prepare_inputs`), how their log-probabilities are computed
(`_get_per_token_logps_and_entropies`), how a step is cut into passes (`training_step`), what
differs by layer (`trainer.targeting`), what a checkpoint holds (`trainer.checkpoints`), and how
processes share the work (`trainer.processes`).
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from layergym.agents.models.architecture import causal_model, check_rows
from layergym.agents.models.compute import clock, free_memory, repeatable, repeatable_attention
from layergym.agents.rollouts import Job
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError, Notice
from layergym.base.texts import one_line
from layergym.envs.panels import Panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.collect import Collected, Rollout, collect
from layergym.trainer.credit.measures import gradient_norms, mismatch, peak_memory
from layergym.trainer.finite import check_step
from layergym.trainer.layers.delta import FrozenCheck, base_hash, digests
from layergym.trainer.layers.grammar import notice_origin
from layergym.trainer.layers.lora import base_names
from layergym.trainer.layers.selection import decoder_layers, select
from layergym.trainer.memory import prefix_must_leave, release_memory, tokens_that_fit
from layergym.trainer.pass_means import PassLog, over_passes
from layergym.trainer.rows.passes import Pass, PassLimits, minibatches, passes
from layergym.trainer.rows.prefix import Prefix, Reference, sampled_logprobs
from layergym.trainer.rows.trees import attention_reach
from layergym.trainer.targeting import LayerTargeting
from layergym.trainer.updates import Updates, notice_vanished


class GiGPOTrainer(LayerTargeting):
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
        found: dict[str, str] | None = None,
    ) -> None:
        """Freeze what does not train and prepare the run.

        Args:
            model: a transformers causal model, also wrapped by PEFT; `rollout` samples from it.
            args: the settings.
            panel: the tasks to train on.
            rollout: plays episodes.
            processing_class: the model's tokenizer.
            callbacks: further Transformers callbacks.
            found: `digests(model)`, when they are known already.

        Raises:
            InputError: a layer does not exist, nothing is selected, or the model has dropout.
        """
        self.selection = select(model, args.layers)
        self._layers = decoder_layers(model)
        self._factors = self.learning_rate_factors(args.boost)
        self.panel, self._play = panel, rollout
        self._played: int | None = None
        self._collected = Collected((), {}, ())
        self._steps: list[list[Pass]] = []
        self._pass: Pass | None = None
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
        found = found or digests(self.model)
        own = base_hash({base: found[name] for name, base in base_names(self.model).items()})
        # Accelerate may have loaded the weights in the first process only.
        self.base = broadcast_object_list([own])[0]
        for spec in (args.layers, args.boost):
            notice_origin(spec, self.base)
        self.frozen = FrozenCheck.of(self.model, str(self.selection), found, self.scatter())
        # The router's loss is a mean over the tokens of all rows, which trees do not repeat.
        self._reach = None if self.aux_loss_enabled else attention_reach(causal_model(self.model))
        fits = args.tokens_per_pass or tokens_that_fit(causal_model(self.model), args.device)
        self.tokens_per_pass: int = broadcast_object_list([fits])[0]
        self._begun = False
        self._reference: Reference | None = None
        self._updates: Updates | None = None

    # ---- training -------------------------------------------------------------------------

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as Transformers does, then prove that every frozen tensor is bit-identical.

        Raises:
            FrozenTensorChanged: one is not.
        """
        self._played = None
        output = super().train(*args, **kwargs)
        self.frozen.verify(self.model)
        notice_vanished(self._moved(), causal_model(self.model).dtype)
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
                with self._timed("update"), self.only_drawn():
                    total, logs = self._add_up(model, todo)
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

    def _add_up(
        self, model: torch.nn.Module, todo: Sequence[Pass]
    ) -> tuple[torch.Tensor, list[PassLog]]:
        """Forward and backward of all passes: the loss of the step, and what TRL logged of each."""
        total = torch.zeros((), device=self.args.device)
        logs: list[PassLog] = []
        for number, one in enumerate(todo, 1):
            # DDP adds the processes' gradients up once; FSDP2 keeps only this process's part of the
            # sum, so it adds up in every pass.
            last = number == len(todo) or self.sharded
            with self.apart(model) if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager(), self._logged_apart(one, logs):
                    loss = self.compute_loss(model, one) * one.weight
                self._backward(loss)
            total += loss.detach()
        self.average()
        return total, logs

    def _halve(self, lacking: torch.OutOfMemoryError) -> None:
        """Have smaller passes from now on.

        Raises:
            InputError: passes are as small as they get, or others wait for this process, or the
                weights have changed since the rollout.
        """
        first = self.state.global_step % self.args.updates_per_rollout == 0
        longest = max((len(row.ids) for row in self._collected.rows), default=1)
        if self.share.of > 1 or not first or self.tokens_per_pass <= longest:
            raise InputError(
                f"memory ran out in a pass of at most {self.tokens_per_pass} tokens; give fewer "
                f"with --tokens-per-pass, or train fewer layers ({one_line(str(lacking))[:200]})"
            )
        self.tokens_per_pass //= 2
        warnings.warn(
            f"memory ran out: passes have at most {self.tokens_per_pass} tokens from now on",
            Notice,
            stacklevel=2,
        )
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
        """What TRL's loss asks for, computed for the pass at hand as `trainer.prefix` does.

        The first epoch's values become the old log-probabilities of later epochs: nothing has
        changed in between when there is one optimiser step per epoch.
        """
        one = self._pass
        assert one is not None
        logprobs, entropy, router_loss = self._score(model, one)
        one.observe(logprobs)
        one.loss_inputs.setdefault("old_per_token_logps", logprobs.detach())
        return logprobs, entropy, router_loss

    def _backward(self, loss: torch.Tensor) -> None:
        """Add the gradient of one pass."""
        with repeatable(self.args.deterministic):
            self.accelerator.backward(loss)

    # ---- one rollout ------------------------------------------------------------------------

    def _play_rollout(self) -> int:
        """The number of the rollout that this step learns from, which is played by then."""
        number = self.state.global_step // self.args.updates_per_rollout
        if number == self._played:
            return number
        self._begin()
        self._steps = []
        together = partial(self.play_between, self._play)
        with self._timed("rollout"):
            self._collected = collect(self.panel, together, self.args.rollout, number)
        check_rows(causal_model(self.model).config, (row.ids for row in self._collected.rows))
        if self.on_rollout:
            self.on_rollout(self.state.global_step, self._collected)
        self.note(self._collected.measures)
        self._played = number
        return number

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
                skip_idle=self._idle_rows_count_nothing(),
                reach=self._reach,
                room=room,
            )
        ]
        self._check_quantile(steps)
        with self._timed("logprobs"), torch.no_grad():
            self._add_logprobs([one for step in steps for one in step])
        return steps

    def _check_quantile(self, steps: Sequence[Sequence[Pass]]) -> None:
        """TRL looks for the tokens of highest entropy among those of one pass."""
        if self.top_entropy_quantile < 1.0 and any(len(todo) > 1 for todo in steps):
            raise InputError(
                "top_entropy_quantile compares all rows of an optimiser step, which here are cut "
                f"into {max(map(len, steps))} passes; raise per_device_train_batch_size until one "
                "pass holds them all, or leave it out"
            )

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

    def _idle_rows_count_nothing(self) -> bool:
        """Whether a row without advantage has no gradient."""
        return not (
            self.beta
            or self._entropy_bonus_enabled
            or self.top_entropy_quantile < 1.0
            or self.aux_loss_enabled
        )

    def _add_logprobs(self, todo: Sequence[Pass]) -> None:
        """Give passes their prefix, and what the loss needs from before the first update."""
        recompute = self.args.steps_per_generation > 1 and not self.args.exact_sampler
        uses = self.num_iterations + bool(self.beta) + recompute
        cached = self.selection.first > 0 and uses > 1
        offload = cached and self._prefix_leaves(todo)
        for one in todo:
            one.weigh(self.args.importance)
            if cached:
                one.prefix = Prefix(self._layers, self.selection.first, offload=offload)
            if recompute:
                logprobs = self._score(self.model, one)[0]
                one.observe(logprobs)
                one.loss_inputs["old_per_token_logps"] = logprobs
            elif self.args.steps_per_generation > 1:
                one.loss_inputs["old_per_token_logps"] = one.sampler_logprobs
        if self._reference is not None:
            with self._reference.active():
                for one in todo:
                    one.loss_inputs["ref_per_token_logps"] = self._score(self.model, one)[0]

    def _prefix_leaves(self, todo: Sequence[Pass]) -> bool:
        """Whether the cached activations of all passes are kept in main memory."""
        slots = sum(one.trees.ids.numel() for one in todo)
        free = free_memory(self.args.device)
        return self.args.offload_prefix or prefix_must_leave(causal_model(self.model), slots, free)

    def _score(
        self, model: torch.nn.Module, one: Pass
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        reused = one.prefix.reused() if one.prefix else nullcontext()
        with reused, self.accelerator.autocast():
            return sampled_logprobs(
                model,
                causal_model(self.model),
                one.trees,
                one.sampled,
                router_loss=self.aux_loss_enabled,
            )

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
        frozen = self.frozen.masks
        masks = {id(p): frozen[name] for name, p in self.model.named_parameters() if name in frozen}
        self._updates = Updates(self.trained_by_layer(), masks)

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Transformers' schedule; every optimiser step is measured from now on."""
        schedule = super().create_scheduler(*args, **kwargs)
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        optimizer.register_step_post_hook(lambda *_: self.note(self._moved()))
        return schedule

    def _moved(self) -> dict[str, float]:
        """How far what trains is from the start; every process must ask for it."""
        if self._updates is None:
            return {}
        return self._updates.measures(
            self.masters.of, self.accelerator.reduce if self.sharded else lambda sums: sums
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._begin()
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    # ---- measures ---------------------------------------------------------------------------

    def note(self, measures: Mapping[str, float]) -> None:
        """Add to the next log line; of values that come more than once it shows the mean."""
        for name, value in measures.items():
            self._metrics["train"][name].append(value)

    @contextmanager
    def _logged_apart(self, one: Pass, logs: list[PassLog]) -> Iterator[None]:
        """Keep what TRL logs of a pass for itself, with what it speaks for."""
        ours, self._metrics["train"] = self._metrics["train"], defaultdict(list)
        try:
            yield
        finally:
            theirs, self._metrics["train"] = self._metrics["train"], ours
            logs.append(PassLog(theirs, one.tokens, one.rows, one.weight))

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        finally:
            self.note({f"time/{what}_s": self._clock() - started})

    def _clock(self) -> float:
        """Seconds, once everything that the device was asked for is done."""
        return clock(self.args.device)


def _rewards_come_from_episodes(*args: Any, **kwargs: Any) -> list[float | None]:
    raise AssertionError("TRL's reward functions are not used: environments give the reward")
