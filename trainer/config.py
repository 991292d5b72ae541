"""Settings of a training run: TRL's `GRPOConfig` and what it lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy
from trl import GRPOConfig  # type: ignore[attr-defined]

from layergym.base.errors import InputError, unknown

ALGORITHMS = ("gigpo", "grpo", "dr_grpo", "rloo")


@dataclass
class GiGPOConfig(GRPOConfig):
    """`GRPOConfig` with credit, layer and task settings; other fields keep TRL's meaning.

    One rollout is `tasks_per_step * num_generations` episodes. It feeds `num_iterations` epochs
    of `steps_per_generation` optimiser steps each, one by default.

    Gradients are accumulated: an optimiser step runs over as many passes as its rows need, and
    `gradient_accumulation_steps` stays 1. Memory is bounded by the tokens of one pass,
    `tokens_per_pass`, and its rows, `per_device_train_batch_size`, which change no result. What
    stays for the whole rollout is one cached activation per token where some layers below are
    frozen; `offload_prefix` keeps those in main memory. Several processes (`accelerate launch`: DDP or FSDP2) share the episodes and the rows
    of the same rollout; their number changes no result either.

    Departures from TRL's defaults: gradient checkpointing off (most activations belong to frozen
    layers and are not kept anyway), constant learning rate, logging at every step, no autocast: a
    model computes in the type that it is loaded in, the same when it samples and when it learns.
    """

    algorithm: str = field(default="gigpo", metadata={"help": "gigpo, grpo, dr_grpo or rloo"})
    layers: str = field(
        default="all",
        metadata={"help": 'what trains: "all", "14", "10-14", "middle:5", "top:3@profile.json"'},
    )
    boost: str = field(
        default="", metadata={"help": 'higher learning rate: "top:5@profile.json*2"'}
    )
    gamma: float = field(default=0.95, metadata={"help": "GiGPO: discount per turn"})
    step_advantage_weight: float = field(default=1.0, metadata={"help": "GiGPO: omega"})
    norm: str = field(default="std", metadata={"help": 'GiGPO: F_norm, "std" or "none"'})
    similarity: float | None = field(
        default=None, metadata={"help": "GiGPO: group text state keys at least this similar"}
    )
    compat: str | None = field(
        default=None, metadata={"help": 'GiGPO: "verl-agent" repeats that implementation'}
    )
    invalid_penalty: float = field(
        default=0.1, metadata={"help": "taken off the reward of every invalid action"}
    )
    tasks_per_step: int = field(default=16, metadata={"help": "tasks in one rollout"})
    dynamic_sampling: int = field(
        default=0,
        metadata={
            "help": "DAPO: replace groups whose episodes all earn the same by groups of further "
            "tasks, in at most so many rounds"
        },
    )
    exact_sampler: bool = field(
        default=False,
        metadata={
            "help": "the sampler's log-probabilities are the trainer's (same weights, precision "
            "and temperature, no top-k or top-p): use them as the old ones"
        },
    )
    external_engine: bool = field(
        default=False,
        metadata={
            "help": "episodes are sampled outside this model (vLLM): FSDP2 does not put it together"
        },
    )
    offload_prefix: bool = field(
        default=False, metadata={"help": "keep cached activations in main memory"}
    )

    num_generations: int = field(default=8, metadata={"help": "episodes per task"})
    steps_per_generation: int = field(
        default=1, metadata={"help": "optimiser steps in one epoch over a rollout"}
    )
    per_device_train_batch_size: int = field(
        default=16, metadata={"help": "most rows in one forward and backward pass"}
    )
    tokens_per_pass: int | None = field(
        default=None,
        metadata={
            "help": "most tokens in one forward and backward pass, padding included, unless one "
            "row alone has more; by default what fits into the memory that is free at the start"
        },
    )
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "recompute activations of trained layers"}
    )
    logging_steps: float = field(default=1, metadata={"help": "optimiser steps between log lines"})
    lr_scheduler_type: Any = field(default="constant", metadata={"help": "learning-rate schedule"})
    disable_dropout: bool = field(default=True, metadata={"help": "must stay on"})
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "set it where some of what trains is not always used"}
    )

    @property
    def updates_per_rollout(self) -> int:
        """Optimiser steps taken on one rollout."""
        return self.steps_per_generation * self.num_iterations

    def __post_init__(self) -> None:
        """Check the settings and derive TRL's batch sizes.

        Raises:
            InputError: a setting is unknown or does not fit the others.
        """
        self._check()
        self._check_numbers()
        if self.bf16 is None:
            self.bf16 = False
        if self.algorithm == "dr_grpo":
            self.loss_type, self.scale_rewards = "dr_grpo", "none"
        if getattr(self, "activation_checkpointing", False) is None:
            self.activation_checkpointing = self.gradient_checkpointing  # its newer name
        # TRL derives how many rows a step has from these three; here rows are counted after the
        # rollout, so TRL is told of numbers that divide one another and the rest is put back.
        rows, steps = self.per_device_train_batch_size, self.steps_per_generation
        self.per_device_train_batch_size, self.steps_per_generation = 1, self.num_generations
        super().__post_init__()  # type: ignore[no-untyped-call]
        on_one_device(self)
        self.per_device_train_batch_size, self.steps_per_generation = rows, steps
        self.generation_batch_size = self.tasks_per_step * self.num_generations
        self._check_saving()

    def _check(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise unknown("algorithm", self.algorithm, ALGORITHMS)
        if self.norm not in ("std", "none"):
            raise unknown("norm", self.norm, ("std", "none"))
        if self.compat not in (None, "verl-agent"):
            raise unknown("compat", self.compat, ("verl-agent",))
        if self.max_steps < 1:
            raise InputError("max_steps must say how many optimiser steps to take, 1 or more")
        if self.tasks_per_step < 1 or self.num_generations < 2:
            raise InputError("a rollout needs tasks_per_step >= 1 and num_generations >= 2")
        if self.dynamic_sampling < 0:
            raise InputError("dynamic_sampling must be 0 rounds or more")
        if self.gradient_accumulation_steps != 1:
            raise InputError(
                "gradient_accumulation_steps must be 1: an optimiser step already accumulates "
                "over passes of per_device_train_batch_size rows"
            )
        if not self.disable_dropout:
            raise InputError("disable_dropout must stay on: log-probabilities must be repeatable")

    def _check_numbers(self) -> None:
        if not 0 <= self.learning_rate < math.inf:
            raise InputError(f"a learning rate is 0 or more, not {self.learning_rate:g}")
        if self.tokens_per_pass is not None and self.tokens_per_pass < 1:
            raise InputError(f"a pass has 1 token or more, not {self.tokens_per_pass}")
        for name in ("temperature", "per_device_train_batch_size", "save_steps"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must lie above 0, unlike {getattr(self, name):g}")

    def _check_saving(self) -> None:
        steps = int(self.save_steps)
        for name, every in (
            ("steps_per_generation * num_iterations", self.updates_per_rollout),
            ("logging_steps", int(self.logging_steps)),
        ):
            if self.save_strategy == SaveStrategy.STEPS and every > 1 and steps % every:
                raise InputError(
                    f"save_steps={steps} must be a multiple of {name}={every}, so that a "
                    "resumed run repeats the uninterrupted one"
                )


def on_one_device(args: TrainingArguments) -> None:
    """Let a process use one GPU, though it may see more: Transformers' own way is `DataParallel`.

    It copies the model to every GPU in every pass; `accelerate launch` starts a process per GPU.
    """
    args._n_gpu = min(args.n_gpu, 1)
