"""One arm of a sweep: train one selection of layers, score it, file the scores.

What it leaves in its folder is said in `run_folder.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.base import AnyAgent
from layergym.agents.names import open_model
from layergym.base.files import write_json
from layergym.envs import find
from layergym.evals.results import Cost, EvalResult
from layergym.evals.score.evaluate import Label, play_panel, play_temperatures
from layergym.evals.score.samples import EpisodeSample
from layergym.evals.sweep.panels import EvalSpec, scored_panel
from layergym.evals.sweep.run_folder import LOOK_AT, file_look, file_scores, look_folder
from layergym.trainer.callbacks import NOBODY, Watch
from layergym.trainer.credit.measures import peak_memory
from layergym.trainer.manifest import manifest
from layergym.trainer.run import Trained, agent_of, engine_of, train
from layergym.trainer.spec import RunSpec, make_env_of

AgentAt = Callable[[float], AnyAgent]
"""A model as an agent that samples at the given temperature."""
_PARTS = ("rollout", "logprobs", "update")
"""What training consists of; their times add up over resumed runs."""


def score(
    run: RunSpec,
    spec: EvalSpec,
    agent_at: AgentAt,
    *,
    arm: str,
    temperatures: Sequence[float],
    folder: Path,
) -> list[EvalResult]:
    """Evaluate a model at several temperatures on one panel, and keep a few of the episodes.

    Args:
        run: the run whose model it is.
        spec: what it is scored on.
        agent_at: makes the model an agent that samples at a temperature.
        arm: the name under which results are filed.
        temperatures: those to score at.
        folder: where the episodes are kept.
    """
    tasks = scored_panel(run, spec)

    def scored(temperature: float) -> EvalResult:
        agent, repeats = agent_at(temperature), spec.episodes_at(temperature)
        label = Label(arm, temperature, run.seed, spec.score)
        return play_panel(
            agent,
            make_env_of(run, spec.split),
            tasks,
            label,
            repeats=repeats,
            seed=spec.seed,
            on_played=EpisodeSample(folder, label, repeats, getattr(agent, "tokenizer", None)),
        )

    return [scored(temperature) for temperature in temperatures]


def score_together(
    run: RunSpec,
    spec: EvalSpec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    arm: str,
    temperatures: Sequence[float],
    folder: Path,
) -> list[EvalResult]:
    """As `score`, of a model that samples here: the same scores, each prompt computed once."""
    labels = [Label(arm, one, run.seed, spec.score) for one in temperatures]
    repeats = list(map(spec.episodes_at, temperatures))
    return play_temperatures(
        partial(agent_of, run, model, tokenizer),
        make_env_of(run, spec.split),
        scored_panel(run, spec),
        labels,
        repeats=repeats,
        seed=spec.seed,
        on_played=[
            EpisodeSample(folder, label, times, tokenizer)
            for label, times in zip(labels, repeats, strict=True)
        ],
    )


def run_arm(run: RunSpec, spec: EvalSpec, arm: str, folder: Path, *, watch: Watch = NOBODY) -> None:
    """Train (unless `arm` is "base"), score, and write the run folder; cost.json comes last.

    A folder that holds an unfinished run is resumed, exactly. A run that `watch` pauses is left
    at its checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if arm == "base":
        write_json(folder / "config.json", _about_base(run))
        tasks = scored_panel(run, spec)
        write_json(folder / "manifest.json", manifest([tasks], [run.seed, spec.seed]))
        model, tokenizer = open_model(run.model, dtype=run.dtype, device=run.device)
        engine = engine_of(run, folder, model)
        temperatures, cost = spec.base_temperatures, Cost(trainable_parameters=0)
    else:
        done = train(run, folder, resume=(folder / "config.json").is_file(), watch=watch)
        if done.ended == "paused":
            return
        model, tokenizer, engine = done.model, done.tokenizer, done.engine
        temperatures, cost = spec.temperatures, training_cost(done)
    started = time.perf_counter()
    if engine is None:
        results = score_together(
            run, spec, model, tokenizer, arm=arm, temperatures=temperatures, folder=folder
        )
    else:
        agent_at = partial(agent_of, run, model, tokenizer, engine=engine)
        results = score(run, spec, agent_at, arm=arm, temperatures=temperatures, folder=folder)
    cost = replace(cost, eval_s=time.perf_counter() - started, peak_memory_bytes=peak_memory())
    file_scores(folder, results, cost)


def _about_base(run: RunSpec) -> dict[str, object]:
    return {"env": find(run.env), "model": run.model, "dtype": run.dtype, "seed": run.seed}


def training_cost(done: Trained) -> Cost:
    """What training took, over all calls that had a part in it."""
    return Cost(
        train_s=sum(_total(done.metrics, f"time/{part}_s") for part in _PARTS),
        rollout_s=_total(done.metrics, "time/rollout_s"),
        update_s=_total(done.metrics, "time/update_s"),
        tokens=_total(done.metrics, "tokens"),
        trainable_parameters=done.selection.trained,
        checkpoint_bytes=done.delta_bytes,
    )


def take_look(
    run: RunSpec, dev: EvalSpec, arm: str, folder: Path, *, step: int, watch: Watch = NOBODY
) -> None:
    """Train until `step`, score on the development panel and leave the rest for later."""
    resume = (folder / "config.json").is_file()
    done = train(run, folder, resume=resume, until=step, watch=watch)
    if done.ended == "paused":
        return
    agent_at = partial(agent_of, run, done.model, done.tokenizer, engine=done.engine)
    look = look_folder(folder, step)
    results = score(run, dev, agent_at, arm=arm, temperatures=[LOOK_AT], folder=look)
    file_look(folder, step, results[0])


def _total(metrics: Sequence[Mapping[str, float]], name: str) -> float:
    return float(sum(row.get(name, 0.0) for row in metrics))
