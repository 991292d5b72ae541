"""One training run: from a frozen description to a run folder.

FOLDER/config.json      the `RunSpec`
FOLDER/manifest.json    versions, seeds, panel hash, commit, command
FOLDER/metrics.jsonl    one object per optimiser step
FOLDER/trajectories.jsonl  one group of episodes of every tenth step
FOLDER/checkpoint-N/    what resuming needs
FOLDER/delta.safetensors  the trained tensors, once the run is finished
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
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
from layergym.agents.models.requests import Variants
from layergym.agents.names import defaults, llm_agent, open_model
from layergym.agents.prompts import PromptStyle
from layergym.agents.rollouts import Job, rollout
from layergym.agents.servers.vllm import Engine, VLLMSampler
from layergym.agents.shots import SPLIT
from layergym.agents.styles import style_of
from layergym.agents.types import Trajectory
from layergym.base.errors import Diverged, briefly
from layergym.base.files import undone, write_json
from layergym.base.locks import locked
from layergym.envs import InputError, find, panel
from layergym.trainer.callbacks import NOBODY, MetricsFile, Pause, Watch, check_trackers
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.collect import Collected
from layergym.trainer.engine import open_engine, publish, through
from layergym.trainer.held_out import BestStep, HeldOut, held_out_panel
from layergym.trainer.inherited import check_settings
from layergym.trainer.layers.grammar import boost_factors
from layergym.trainer.layers.lora import with_lora
from layergym.trainer.layers.selection import LayerSelection, check_layers, quantization
from layergym.trainer.layers.stored import stored_hash
from layergym.trainer.manifest import manifest
from layergym.trainer.overlap import overlap, twin_of
from layergym.trainer.playing import RolloutPlayer
from layergym.trainer.processes import fsdp_asked
from layergym.trainer.samples import Samples
from layergym.trainer.seals import last_whole
from layergym.trainer.spec import HERE, RunSpec, make_env_of
from layergym.trainer.trainer import GiGPOTrainer

LATE = timedelta(hours=2)
"""How long processes wait for the one whose rollout is slowest; NCCL's own limit is 10 minutes."""

TrainingEnd = Literal["steps", "stale", "paused"]
"""All steps taken; the reward no longer improved; to be resumed."""


@dataclass(frozen=True)
class Policy:
    """A loaded model, the agent that plays with it, and what trains it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    agent: LLMAgent
    trainer: Callable[..., GiGPOTrainer] = GiGPOTrainer
    base: str | None = None
    """Hash of the base, where the model holds it in fewer bits."""


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
    best: BestStep | None = None
    """The step with the best score on held-out tasks, where these were played."""
    engine: Engine | None = None
    """What sampled in the place of the model; it has the trained weights."""


def prompt_style(spec: RunSpec) -> PromptStyle:
    """How the run's model is addressed."""
    return style_of(spec, defaults(spec.model).format, make_env_of(spec, SPLIT))


def agent_of(
    spec: RunSpec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    temperature: float | Sequence[float],
    variants: Variants | None = None,
    engine: Engine | None = None,
) -> LLMAgent:
    """The model as the run's agent.

    Args:
        spec: the run.
        model: its model.
        tokenizer: the model's.
        temperature: of its replies; several: see `TransformersSampler`.
        variants: if the model holds several.
        engine: samples in the place of the model, whose weights it has.
    """
    known = defaults(spec.model)
    agent = llm_agent(
        model,
        tokenizer,
        prompt_style(spec),
        temperature=temperature,
        max_new_tokens=spec.max_new_tokens or known.max_new_tokens,
        variants=variants,
    )
    if engine is not None:
        agent.sampler = through(engine, agent.sampler)
    return agent


def engine_of(spec: RunSpec, folder: Path, model: PreTrainedModel) -> Engine | None:
    """What samples for a run, with the base weights of `model`; None: the model itself.

    Raises:
        InputError: as `open_engine`.
    """
    return None if spec.sampler == HERE else open_engine(spec.sampler, folder, model)


def check_run(spec: RunSpec, num_layers: int) -> None:
    """Refuse what a model of this many layers cannot train; nothing is loaded or written.

    Raises:
        InputError: the layers, the boost, the learning rate or another setting is wrong.
    """
    check_settings_of(spec, num_layers)
    held_out_panel(spec)
    check_layers(spec.model, spec.layers, num_layers)


def check_settings_of(spec: RunSpec, num_layers: int) -> None:
    """The part of `check_run` that needs neither the environment nor the model's files.

    Raises:
        InputError: the boost, the learning rate or another setting is wrong.
    """
    _settings(spec, Path("unused"), ())
    boost_factors(spec.boost, num_layers)


def train(
    spec: RunSpec,
    folder: str | Path,
    *,
    resume: bool = False,
    until: int | None = None,
    watch: Watch = NOBODY,
) -> Trained:
    """Train as `spec` says, in `folder`; with `resume`, go on from the last checkpoint.

    A resumed run ends bit-equal to one that was never interrupted. With `until`, it halts at a
    checkpoint after this many optimiser steps, to be judged there and perhaps resumed. A run that
    `watch` pauses leaves a checkpoint and no delta.

    Raises:
        InputError: the environment, model or a setting is unknown or does not fit, a tracker is
            not installed, every episode of a rollout fails, another process works in `folder`, or
            it holds a run that is not to be resumed. Before the first step it leaves nothing.
        Diverged: a loss, gradient or weight is no longer finite. The last checkpoint is kept.
    """
    folder = Path(folder)
    check_trackers(watch.report_to)
    # First the processes that a launcher started, so that each loads to a GPU of its own; FSDP
    # spreads the model from main memory, where one GPU cannot hold it.
    on_cpu = choose_device(spec.device).type == "cpu"
    state = PartialState(cpu=on_cpu, timeout=LATE)
    with locked(folder) if state.is_main_process else nullcontext():
        if not resume and state.is_main_process and (folder / "config.json").exists():
            raise InputError(f"{folder} holds a run already; resume it, or give another folder")
        return _train(spec, folder, resume, until, watch)


def _train(spec: RunSpec, folder: Path, resume: bool, until: int | None, watch: Watch) -> Trained:
    fewer_bits = quantization(spec.model, spec.layers, spec.quantize)
    if fewer_bits and fsdp_asked():
        raise InputError("--quantize goes with one GPU, not with FSDP; leave one of them out")
    model, tokenizer = open_model(
        spec.model,
        dtype=spec.dtype,
        device=spec.device,
        held_on="cpu" if fsdp_asked() else None,
        quantization=fewer_bits,
    )
    engine = engine_of(spec, folder, model)
    agent = agent_of(spec, model, tokenizer, spec.temperature, engine=engine)
    if spec.lora:
        model = with_lora(model, spec.layers, spec.lora, spec.seed)
    base = stored_hash(spec.model, spec.dtype) if fewer_bits else None
    policy = Policy(model, tokenizer, agent, base=base)
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
    """Train, as `train` does, a policy that is loaded already."""
    check_trackers(watch.report_to)
    torch.manual_seed(spec.seed)
    tasks = panel(make_env_of(spec, "train")())
    playing = RolloutPlayer(spec, watch)

    def play(jobs: Sequence[Job]) -> list[Trajectory]:
        _sync(policy.agent, trainer)
        return playing(policy.agent, jobs, trainer.note)

    def play_unseen(jobs: Sequence[Job]) -> list[Trajectory]:
        ahead.wait()
        _sync(policy.agent, trainer)
        return rollout(policy.agent, make_env_of(spec, spec.eval_split), jobs)

    def keep(step: int, collected: Collected) -> None:
        if trainer.is_world_process_zero():
            samples.keep(step, collected)

    if checkpoint:  # Passes of the same size, so that sums are added up in the same order.
        spec = replace(spec, tokens_per_pass=RunSpec.read(folder).tokens_per_pass)
    log = MetricsFile(folder / "metrics.jsonl", watch.on_step, spec.patience)
    pause = Pause(watch.pause)
    held_out = HeldOut(spec, folder, play_unseen, log)
    settings = _settings(spec, folder, watch.report_to)
    settings.max_steps = min(until or spec.steps, spec.steps)
    samples = Samples(
        folder,
        f"layers={spec.layers}",
        settings.rollout,
        updates_per_rollout=settings.updates_per_rollout,
        tokenizer=policy.tokenizer,
    )
    twin = twin_of(spec, policy.model)
    trainer = policy.trainer(
        policy.model,
        settings,
        tasks,
        play,
        policy.tokenizer,
        callbacks=[log, held_out, pause],
    )
    trainer.base = policy.base or trainer.base
    trainer.on_rollout, held_out.trainer = keep, trainer
    trainer.remove_callback(PrinterCallback)
    ahead = overlap(
        trainer,
        twin,
        policy.agent,
        lambda twin: agent_of(spec, twin, policy.tokenizer, spec.temperature),
        lambda: _sync(policy.agent, trainer),
        playing,
    )
    started = time.perf_counter()
    with undone(folder, where=lambda error: _in_vain(error, trainer)), closing(ahead):
        if checkpoint is None and trainer.is_world_process_zero():
            resolved = {"env": find(spec.env), "tokens_per_pass": trainer.tokens_per_pass}
            panels = [tasks, *held_out.panels]
            write_json(folder / "manifest.json", manifest(panels, [spec.seed]))
            write_json(folder / "config.json", asdict(spec) | resolved)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    policy.model.eval()
    ended: TrainingEnd = "stale" if log.stale else "paused" if pause.paused else "steps"
    delta = folder / "delta.safetensors"
    over = ended == "stale" or (ended == "steps" and settings.max_steps == spec.steps)
    if over:
        trainer.save_delta(delta)
    _sync(policy.agent, trainer)
    return Trained(
        model=causal_model(policy.model),
        tokenizer=policy.tokenizer,
        train_s=time.perf_counter() - started,
        metrics=tuple(log.rows),
        selection=trainer.selection,
        delta_bytes=delta.stat().st_size if over else 0,
        ended=ended,
        best=held_out.best,
        engine=_engine(policy.agent),
    )


def _engine(agent: LLMAgent) -> Engine | None:
    return agent.sampler.engine if isinstance(agent.sampler, VLLMSampler) else None


def _sync(agent: LLMAgent, trainer: GiGPOTrainer) -> None:
    """Bring what was trained to the engine that samples, if it is another one."""
    if engine := _engine(agent):
        publish(trainer, engine)


def _in_vain(error: Exception, trainer: GiGPOTrainer) -> bool:
    """Whether a setting has to be mended before a run can take its first step."""
    mended = isinstance(error, InputError) and not isinstance(error, Diverged)
    return mended and trainer.state.global_step == 0 and trainer.is_world_process_zero()


def _settings(spec: RunSpec, folder: Path, report_to: Sequence[str]) -> GiGPOConfig:
    known = defaults(spec.model)
    usual = known.learning_rate_full if spec.layers == "all" else known.learning_rate_layers
    usual = known.learning_rate_lora if spec.lora else usual
    rate = usual if spec.learning_rate is None else spec.learning_rate
    ours = _decided(spec, folder, report_to) | {"learning_rate": rate}
    check_settings(spec.trl, ours, GiGPOConfig)
    try:
        return GiGPOConfig(**ours, **spec.trl)
    except InputError:
        raise
    except (TypeError, ValueError) as error:  # TRL and Transformers look at the values.
        raise InputError(f"a setting is wrong: {briefly(error)}; mend it") from error


def _decided(spec: RunSpec, folder: Path, report_to: Sequence[str]) -> dict[str, Any]:
    """The settings of the trainer that follow from the fields of a run."""
    return dict(
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
        overlap=spec.overlap,
        external_engine=spec.sampler != HERE,
        max_steps=spec.steps,
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=spec.seed,
        use_cpu=choose_device(spec.device).type == "cpu",
        bf16=False,
        deterministic=spec.deterministic,
        save_steps=spec.save_every,
        save_total_limit=2,
        report_to=list(report_to),
        run_name=f"{folder.parent.name}-{folder.name}" if _of_sweep(folder) else folder.name,
        disable_tqdm=True,
    )


def _of_sweep(folder: Path) -> bool:
    """Whether the folder's own name, "seed-0", is that of many runs."""
    return folder.name.startswith("seed-")
