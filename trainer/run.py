"""One training run: from a frozen description to a run folder.

FOLDER/config.json      the `RunSpec`
FOLDER/manifest.json    versions, seeds, panel hash, commit, command
FOLDER/metrics.jsonl    one object per optimiser step
FOLDER/trajectories.jsonl  one group of episodes of every tenth step
FOLDER/checkpoint-N/    what resuming needs
FOLDER/delta.safetensors  the trained tensors, once the run is finished
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)

from layergym.agents.llm import LLMAgent
from layergym.agents.models.architecture import causal_model
from layergym.agents.models.compute import choose_device
from layergym.agents.names import defaults, llm_agent, open_model
from layergym.agents.prompts import PromptStyle
from layergym.agents.rollouts import Job, rollout
from layergym.agents.servers.vllm import VLLMSampler
from layergym.agents.shots import SPLIT
from layergym.agents.styles import check_style, style_of
from layergym.agents.types import Trajectory
from layergym.base.errors import Diverged
from layergym.base.files import undone, write_json
from layergym.base.locks import locked
from layergym.base.numbers import Bounds, check_numbers
from layergym.envs import InputError, TextEnv, find, make, panel
from layergym.trainer.callbacks import NOBODY, MetricsFile, Pause, Watch, check_trackers
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.advantages import Compat
from layergym.trainer.credit.algorithms import Credit, Norm
from layergym.trainer.credit.collect import Collected
from layergym.trainer.credit.measures import TimedAgent
from layergym.trainer.engine import HERE, check_sampler, open_engine, publish, through
from layergym.trainer.layers.grammar import boost_factors
from layergym.trainer.layers.lora import with_lora
from layergym.trainer.layers.selection import (
    LayerSelection,
    check_layers,
)
from layergym.trainer.manifest import manifest
from layergym.trainer.processes import fsdp_asked
from layergym.trainer.samples import Samples
from layergym.trainer.seals import last_whole
from layergym.trainer.trainer import GiGPOTrainer

TrainingEnd = Literal["steps", "stale", "paused"]
"""All steps taken; the reward no longer improved; to be resumed."""


_BOUNDS = {
    "lora": Bounds(0, whole=True),
    "steps": Bounds(1, whole=True),
    "tasks_per_step": Bounds(1, whole=True),
    "group_size": Bounds(2, whole=True),
    "dynamic_sampling": Bounds(0, whole=True),
    "learning_rate": Bounds(0, above=True, optional=True),
    "beta": Bounds(0),
    "temperature": Bounds(0, above=True),
    "max_new_tokens": Bounds(1, whole=True, optional=True),
    "rows_per_pass": Bounds(1, whole=True),
    "seed": Bounds(0, 2**32 - 1, whole=True),
    "save_every": Bounds(1, whole=True),
    "patience": Bounds(1, whole=True, optional=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that determines a training run. None means: what suits the model."""

    env: str
    env_args: Mapping[str, Any] = field(default_factory=dict)
    model: str = "tiny"
    format: str | None = None
    """The form of a reply: "think", "plain", "tool", "regex:PATTERN" (`agents.formats`)."""
    admissible: bool = False
    """List the admissible actions in every prompt."""
    context: str = "whole"
    """What of an episode a prompt shows: "whole", "last:2", "no-thoughts" (`agents.contexts`)."""
    prompt: str = ""
    """The text of a Jinja template for the prompt; see `PromptStyle`."""
    shots: int = 0
    """Episodes of the environment's expert that the prompt shows as examples."""
    algorithm: str = "gigpo"
    layers: str = "all"
    boost: str = ""
    lora: int = 0
    """Rank of LoRA adapters that train on the chosen layers in place of weights; 0 for none."""
    steps: int = 30
    """Optimiser steps, each on a fresh rollout."""
    tasks_per_step: int = 16
    group_size: int = 8
    dynamic_sampling: int = 0
    """Rounds in which groups that earned the same throughout are replaced by tasks drawn anew."""
    learning_rate: float | None = None
    gamma: float = 0.95
    omega: float = 1.0
    norm: Norm = "std"
    invalid_penalty: float = 0.0
    similarity: float | None = None
    compat: Compat | None = None
    """"verl-agent" gives credit as that implementation does; see `Credit`."""
    beta: float = 0.0
    """Weight of the KL term to the model as it was at the start."""
    temperature: float = 1.0
    sampler: str = HERE
    """What samples in rollouts: the model itself ("transformers"), vLLM in this process ("vllm"),
    or a vLLM server that serves the same model to this run alone ("vllm@http://HOST:PORT")."""
    max_new_tokens: int | None = None
    rows_per_pass: int = 64
    tokens_per_pass: int | None = None
    """Tokens in one pass at most, padding included; None: what fits into memory."""
    dtype: str = "auto"
    """What the model computes with (`agents.compute`); what trains is stepped in float32."""
    device: str = "auto"
    """Where it computes."""
    deterministic: bool = True
    """On a GPU, gradients are added up in a fixed order, so that a resumed run is exact."""
    seed: int = 0
    save_every: int = 10
    """Optimiser steps between checkpoints."""
    patience: int | None = None
    """End early after so many windows of rollouts without a higher reward; see `stale`."""

    def __post_init__(self) -> None:
        """Refuse what no run could be made of.

        Raises:
            InputError: a number is out of range, or not one, or a setting does not fit the
                algorithm.
        """
        check_numbers(self, _BOUNDS)
        check_style(self)
        check_sampler(self.sampler, lora=bool(self.lora))
        _ = self.credit

    @property
    def credit(self) -> Credit:
        """What decides about advantages."""
        return Credit(**{f.name: getattr(self, f.name) for f in fields(Credit)})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunSpec:
        """A description as a run or sweep folder holds it; names that are no setting are left out.

        Folders of earlier versions call the sampler "engine".

        Raises:
            TypeError: the environment is missing.
            InputError: a value is wrong.
        """
        known = {f.name for f in fields(cls)}
        named = {"sampler" if k == "engine" else k: v for k, v in values.items()}
        return cls(**{k: v for k, v in named.items() if k in known})

    @classmethod
    def read(cls, folder: Path) -> RunSpec:
        """The description of the run in `folder`.

        Raises:
            InputError: `folder` is no run folder.
        """
        path = folder / "config.json"
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{folder} is not a run folder: {path.name}: {error}") from error


@dataclass(frozen=True)
class Policy:
    """A loaded model, the agent that plays with it, and what trains it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    agent: LLMAgent
    trainer: Callable[..., GiGPOTrainer] = GiGPOTrainer


@dataclass(frozen=True)
class Trained:
    """What a run leaves in memory."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    train_s: float
    metrics: tuple[Mapping[str, float], ...]
    selection: LayerSelection
    delta_bytes: int
    ended: TrainingEnd = "steps"


def make_env_of(spec: RunSpec, split: str) -> Callable[[], TextEnv]:
    """What makes one environment of `split` with the run's settings."""
    id = find(spec.env)
    return lambda: make(id, split=split, **spec.env_args)


def prompt_style(spec: RunSpec) -> PromptStyle:
    """How the run's model is addressed."""
    return style_of(spec, defaults(spec.model).format, make_env_of(spec, SPLIT))


def agent_of(
    spec: RunSpec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    temperature: float,
) -> LLMAgent:
    """The model as the run's agent, sampling at `temperature`."""
    known = defaults(spec.model)
    return llm_agent(
        model,
        tokenizer,
        prompt_style(spec),
        temperature=temperature,
        max_new_tokens=spec.max_new_tokens or known.max_new_tokens,
    )


def check_run(spec: RunSpec, num_layers: int) -> None:
    """Refuse what could not be trained in a model of so many layers; nothing is loaded or written.

    Raises:
        InputError: the layers, the boost, the learning rate or another setting is wrong.
    """
    _settings(spec, Path("unused"), ())
    check_layers(spec.model, spec.layers, num_layers)
    boost_factors(spec.boost, num_layers)


def train(
    spec: RunSpec,
    folder: Path,
    *,
    resume: bool = False,
    until: int | None = None,
    watch: Watch = NOBODY,
) -> Trained:
    """Train as `spec` says, in `folder`; with `resume`, go on from the last checkpoint.

    A resumed run ends bit-equal to one that was never interrupted. With `until`, it halts at a
    checkpoint after so many optimiser steps, to be judged there and perhaps resumed. A run that
    `watch` pauses leaves a checkpoint and no delta.

    Raises:
        InputError: the environment, model or a setting is unknown or does not fit, a tracker is
            not installed, every episode of a rollout fails, another process works in `folder`, or
            it holds a run that is not to be resumed. Before the first step it leaves nothing.
        Diverged: a loss, gradient or weight is no longer finite. The last checkpoint is kept.
    """
    check_trackers(watch.report_to)
    # First the processes that a launcher started, so that each loads to a GPU of its own; FSDP
    # spreads the model from main memory, where one GPU cannot hold it.
    state = PartialState(cpu=choose_device(spec.device).type == "cpu")
    with locked(folder) if state.is_main_process else nullcontext():
        if not resume and state.is_main_process and (folder / "config.json").exists():
            raise InputError(f"{folder} holds a run already; resume it, or give another folder")
        return _train(spec, folder, resume, until, watch)


def _train(spec: RunSpec, folder: Path, resume: bool, until: int | None, watch: Watch) -> Trained:
    model, tokenizer = open_model(
        spec.model,
        dtype=spec.dtype,
        device=spec.device,
        held_on="cpu" if fsdp_asked() else None,
    )
    agent = agent_of(spec, model, tokenizer, spec.temperature)
    if spec.sampler != HERE:
        agent.sampler = through(open_engine(spec.sampler, folder, model), agent.sampler)
    if spec.lora:
        model = with_lora(model, spec.layers, spec.lora, spec.seed)
    policy = Policy(model, tokenizer, agent)
    checkpoint = last_whole([folder])[0] if resume else None
    return train_policy(spec, folder, policy, checkpoint, until=until, watch=watch)


def train_policy(
    spec: RunSpec,
    folder: Path,
    policy: Policy,
    checkpoint: Path | None,
    *,
    until: int | None = None,
    watch: Watch = NOBODY,
) -> Trained:
    """As `train`, with a policy that is loaded already, from a checkpoint or the beginning."""
    check_trackers(watch.report_to)
    torch.manual_seed(spec.seed)
    tasks = panel(make_env_of(spec, "train")())

    def play(jobs: Sequence[Job]) -> list[Trajectory]:
        if isinstance(policy.agent.sampler, VLLMSampler):
            publish(trainer, policy.agent.sampler.engine)
        timed, began = TimedAgent(policy.agent), time.perf_counter()
        played = rollout(timed, make_env_of(spec, "train"), jobs, on_turn=watch.on_turn)
        trainer.note({"time/env_s": time.perf_counter() - began - timed.seconds})
        return played

    def keep(step: int, collected: Collected) -> None:
        if trainer.is_world_process_zero():
            samples.keep(step, collected)

    if checkpoint:  # Passes of the same size, so that sums are added up in the same order.
        spec = replace(spec, tokens_per_pass=RunSpec.read(folder).tokens_per_pass)
    log = MetricsFile(folder / "metrics.jsonl", watch.on_step, spec.patience)
    pause = Pause(watch.pause)
    settings = _settings(spec, folder, watch.report_to)
    settings.max_steps = min(until or spec.steps, spec.steps)
    samples = Samples(
        folder, f"layers={spec.layers}", updates_per_rollout=settings.updates_per_rollout
    )
    trainer = policy.trainer(
        policy.model,
        settings,
        tasks,
        play,
        policy.tokenizer,
        callbacks=[log, pause],
    )
    trainer.on_rollout = keep
    trainer.remove_callback(PrinterCallback)
    started = time.perf_counter()
    with undone(folder, where=lambda error: _in_vain(error, trainer)):
        if checkpoint is None and trainer.is_world_process_zero():
            found = {"env": find(spec.env), "tokens_per_pass": trainer.tokens_per_pass}
            write_json(folder / "manifest.json", manifest([tasks], [spec.seed]))
            write_json(folder / "config.json", asdict(spec) | found)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    policy.model.eval()
    ended: TrainingEnd = "stale" if log.stale else "paused" if pause.paused else "steps"
    delta = folder / "delta.safetensors"
    over = ended == "stale" or (ended == "steps" and settings.max_steps == spec.steps)
    if over:
        trainer.save_delta(delta)
    return Trained(
        model=causal_model(policy.model),
        tokenizer=policy.tokenizer,
        train_s=time.perf_counter() - started,
        metrics=tuple(log.rows),
        selection=trainer.selection,
        delta_bytes=delta.stat().st_size if over else 0,
        ended=ended,
    )


def _in_vain(error: Exception, trainer: GiGPOTrainer) -> bool:
    """Whether a setting has to be mended before a run can take its first step."""
    mended = isinstance(error, InputError) and not isinstance(error, Diverged)
    return mended and trainer.state.global_step == 0 and trainer.is_world_process_zero()


def _settings(spec: RunSpec, folder: Path, report_to: Sequence[str]) -> GiGPOConfig:
    known = defaults(spec.model)
    usual = known.learning_rate_full if spec.layers == "all" else known.learning_rate_layers
    usual = known.learning_rate_lora if spec.lora else usual
    rate = usual if spec.learning_rate is None else spec.learning_rate
    return GiGPOConfig(
        output_dir=str(folder),
        **asdict(spec.credit),
        layers=spec.layers,
        boost=spec.boost,
        beta=spec.beta,
        temperature=spec.temperature,
        tasks_per_step=spec.tasks_per_step,
        num_generations=spec.group_size,
        dynamic_sampling=spec.dynamic_sampling,
        per_device_train_batch_size=spec.rows_per_pass,
        tokens_per_pass=spec.tokens_per_pass,
        exact_sampler=spec.sampler == HERE,
        external_engine=spec.sampler != HERE,
        max_steps=spec.steps,
        learning_rate=rate,
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=spec.seed,
        use_cpu=choose_device(spec.device).type == "cpu",
        bf16=False,
        deterministic=spec.deterministic,
        save_steps=spec.save_every,
        save_total_limit=2,
        report_to=list(report_to),
        run_name=folder.name,
        disable_tqdm=True,
    )
