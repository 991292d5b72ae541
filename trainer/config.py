"""Settings of a training run: TRL's `GRPOConfig` and what it lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nextafter
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy
from trl import GRPOConfig  # type: ignore[attr-defined]

from layergym.base.errors import InputError
from layergym.base.numbers import Bounds, check_numbers
from layergym.trainer.credit.algorithms import ALGORITHMS, Credit
from layergym.trainer.credit.collect import RolloutSpec
from layergym.trainer.inherited import check_choices, check_inherited
from layergym.trainer.rows.importance import Importance

_BOUNDS = {
    "max_steps": Bounds(1, whole=True),
    "tasks_per_step": Bounds(1, whole=True),
    "num_generations": Bounds(2, whole=True),
    "dynamic_sampling": Bounds(0, whole=True),
    "steps_per_generation": Bounds(1, whole=True),
    "num_iterations": Bounds(1, whole=True),
    "per_device_train_batch_size": Bounds(1, whole=True),
    "tokens_per_pass": Bounds(1, whole=True, optional=True),
    "seed": Bounds(0, 2**32 - 1, whole=True),
    "learning_rate": Bounds(0),
    "beta": Bounds(0),
    "temperature": Bounds(0, above=True),
    "max_grad_norm": Bounds(0),
    "weight_decay": Bounds(0),
    "epsilon": Bounds(0),
    "epsilon_high": Bounds(0, optional=True),
    "delta": Bounds(0, above=True, optional=True),
    "save_steps": Bounds(0, above=True),
    "logging_steps": Bounds(0, above=True),
    "top_entropy_quantile": Bounds(0, 1),
    "entropy_coef": Bounds(),
    "warmup_steps": Bounds(0),
    "adam_beta1": Bounds(0, nextafter(1, 0)),
    "adam_beta2": Bounds(0, nextafter(1, 0)),
    "adam_epsilon": Bounds(0),
    "router_aux_loss_coef": Bounds(0, optional=True),
    "max_completion_length": Bounds(1, whole=True, optional=True),
    "sapo_temperature_neg": Bounds(0, above=True),
    "sapo_temperature_pos": Bounds(0, above=True),
    "vespo_k_pos": Bounds(0),
    "vespo_k_neg": Bounds(0),
    "vespo_lambda_pos": Bounds(0),
    "vespo_lambda_neg": Bounds(0),
    "vllm_importance_sampling_clip_max": Bounds(0, above=True, optional=True),
    "vllm_importance_sampling_clip_min": Bounds(0, optional=True),
    "vllm_importance_sampling_cap": Bounds(0, above=True, optional=True),
    "off_policy_mask_threshold": Bounds(0, optional=True),
    "save_total_limit": Bounds(0, whole=True, optional=True),
    "ddp_bucket_cap_mb": Bounds(1, whole=True, optional=True),
    "ddp_timeout": Bounds(1, whole=True),
    "local_rank": Bounds(-1, whole=True),
}


@dataclass
class GiGPOConfig(GRPOConfig):
    """`GRPOConfig` with credit, layer and task settings.

    Of TRL's fields, those of `trainer.inherited.HONOURED` keep TRL's meaning, those of `IDLE` could
    change nothing, and the others are refused when they ask for something. `scale_rewards` is
    GRPO's `norm` under TRL's name, `mask_truncated_completions` leaves out of the loss what was cut
    at the turn or context limit, and `vllm_importance_sampling_correction` acts on what an external
    engine sampled.

    One rollout is `tasks_per_step * num_generations` episodes. It feeds `num_iterations` epochs
    of `steps_per_generation` optimiser steps each, one by default.

    Gradients are accumulated: an optimiser step runs over as many passes as its rows need, and
    `gradient_accumulation_steps` stays 1. Memory is bounded by the tokens of one pass,
    `tokens_per_pass`, and its rows, `per_device_train_batch_size`, which change no result
    (`top_entropy_quantile` below 1 needs all rows of a step in one pass, and says so). What stays
    for the whole rollout is one cached activation per token where some layers below are frozen;
    where those would take more than a fifth of what the device has free, or with `offload_prefix`,
    they are kept in main memory. Several processes (`accelerate launch`: DDP or FSDP2) share the
    episodes and the rows of the same rollout; their number changes no result either.

    Departures from TRL's defaults: gradient checkpointing off (most activations belong to frozen
    layers and are not kept anyway), constant learning rate, logging at every step, no autocast: a
    model computes in the type that it is loaded in, the same when it samples and when it learns.
    """

    algorithm: str = field(default="gigpo", metadata={"help": ", ".join(ALGORITHMS)})
    layers: str = field(
        default="all",
        metadata={"help": 'what trains: "all", "14", "10-14", "middle:5", "top:3@profile.json"'},
    )
    boost: str = field(
        default="", metadata={"help": 'higher learning rate: "top:5@profile.json*2"'}
    )
    gamma: float = field(default=0.95, metadata={"help": "GiGPO: discount per turn"})
    omega: float = field(default=1.0, metadata={"help": "GiGPO: weight of the step advantage"})
    norm: str = field(
        default="std", metadata={"help": '"std" or "none": what differences are divided by'}
    )
    similarity: float | None = field(
        default=None, metadata={"help": "GiGPO: group text state keys at least this similar"}
    )
    history: int = field(default=2, metadata={"help": "HGPO: earlier states that may be shared"})
    alpha: float = field(
        default=1.0, metadata={"help": "HGPO: how much more a longer shared history weighs"}
    )
    compat: str | None = field(
        default=None,
        metadata={"help": '"verl-agent": GiGPO, GraphGPO and GRPO as that implementation'},
    )
    invalid_penalty: float = field(
        default=0.0, metadata={"help": "taken off the reward of every invalid action"}
    )
    tasks_per_step: int = field(default=16, metadata={"help": "tasks in one rollout"})
    dynamic_sampling: int = field(
        default=0,
        metadata={
            "help": "DAPO: replace groups whose episodes all earn the same by groups of further "
            "tasks, in at most this many rounds"
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
    overlap: bool = field(
        default=False,
        metadata={
            "help": "rollouts may be one optimiser step old (`trainer.ahead`): the loss compares "
            "with the log-probabilities of the policy that sampled"
        },
    )
    deterministic: bool = field(
        default=True,
        metadata={
            "help": "on a GPU, add gradients up in a fixed order, so that equal runs, and one that "
            "is resumed, are equal to the bit; costs speed in attention's backward pass"
        },
    )
    offload_prefix: bool = field(
        default=False,
        metadata={"help": "keep cached activations in main memory, though they may fit"},
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

    @property
    def credit(self) -> Credit:
        """What decides about advantages."""
        return Credit(
            algorithm=self.algorithm,
            gamma=self.gamma,
            omega=self.omega,
            norm=self._scale(),  # type: ignore[arg-type]
            invalid_penalty=self.invalid_penalty,
            similarity=self.similarity,
            history=self.history,
            alpha=self.alpha,
            compat=self.compat,  # type: ignore[arg-type]
        )

    @property
    def importance(self) -> Importance | None:
        """How what an external engine sampled is weighed; None leaves it as it is."""
        if not (self.external_engine and self.vllm_importance_sampling_correction):
            return None
        if self.loss_type == "vespo" and self.vllm_importance_sampling_mode.startswith("sequence"):
            raise InputError('loss_type "vespo" needs vllm_importance_sampling_mode="token_mask"')
        return Importance(
            self.vllm_importance_sampling_mode,
            self.vllm_importance_sampling_clip_min,
            self.vllm_importance_sampling_clip_max,
        )

    @property
    def rollout(self) -> RolloutSpec:
        """What a rollout plays."""
        return RolloutSpec(
            seed=self.seed,
            tasks=self.tasks_per_step,
            group_size=self.num_generations,
            dynamic_sampling=self.dynamic_sampling,
            mask_truncated=self.mask_truncated_completions,
            credit=self.credit,
        )

    def __post_init__(self) -> None:
        """Check the settings and derive TRL's batch sizes.

        Raises:
            InputError: a setting is unknown, out of range, without effect, or does not fit the
                others.
        """
        check_inherited(self, frozenset(GiGPOConfig.__annotations__))
        check_numbers(self, _BOUNDS)
        check_choices(self)
        self._check()
        if self.bf16 is None:
            self.bf16 = False
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
        given: Any = self.scale_rewards
        if isinstance(given, bool):  # as TRL reads it
            self.scale_rewards = "group" if given else "none"
        for name, own in ALGORITHMS[self.credit.algorithm].loss.items():
            given, usual = getattr(self, name), GiGPOConfig.__dataclass_fields__[name].default
            if name == "loss_type" and given not in (usual, own):
                raise InputError(f'{self.algorithm} has loss_type "{own}", not "{given}"')
            if given == usual:
                setattr(self, name, own)
        if "norm" not in ALGORITHMS[self.algorithm].reads:
            self.scale_rewards = "none"
        _ = self.importance
        if self.gradient_accumulation_steps != 1:
            raise InputError(
                "gradient_accumulation_steps must be 1: an optimiser step already accumulates "
                "over passes of per_device_train_batch_size rows"
            )
        if self.overlap and self.updates_per_rollout > 1:
            raise InputError(
                "with overlap a rollout feeds one optimiser step, so that no sample is older than "
                "one; leave num_iterations and steps_per_generation at 1"
            )
        if not self.disable_dropout:
            raise InputError("disable_dropout must stay on: log-probabilities must be repeatable")

    def _scale(self) -> str:
        """`norm`, or TRL's `scale_rewards` in its place."""
        known = ALGORITHMS.get(self.algorithm)
        if self.scale_rewards == "group" or known is None or "norm" not in known.reads:
            if self.scale_rewards not in ("group", "none"):
                raise InputError(f"{self.algorithm} does not use scale_rewards; leave it out")
            return self.norm
        if self.norm != "std":
            raise InputError("norm and scale_rewards are one setting; give one of them")
        return str(self.scale_rewards)

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
