"""One arm of a sweep: train one selection of layers, score it, file the scores."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.names import open_model
from layergym.envs import Panel, panel
from layergym.envs.files import write_json
from layergym.evals.evaluate import evaluate
from layergym.evals.results import Cost, EvalResult, write_cost, write_eval
from layergym.trainer.manifest import manifest
from layergym.trainer.measures import peak_memory
from layergym.trainer.run import RunSpec, agent_of, make_env_of, train


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSpec:
    """What every arm is scored on."""

    split: str = "test"
    size: int | None = None
    """Tasks of the panel; None takes them all."""
    repeats: int = 2
    """Episodes per task at a temperature above 0; greedy plays each task once."""
    temperatures: tuple[float, ...] = (1.0, 0.0)
    base_temperatures: tuple[float, ...] = (1.0, 0.7, 0.5, 0.25, 0.0)
    """The untrained model is scored at all of these: how much of a gain is only sharpening?"""
    seed: int = 0


def scored_panel(run: RunSpec, spec: EvalSpec) -> Panel:
    """The tasks that `spec` names."""
    return panel(make_env_of(run, spec.split)(), spec.size)


def score(
    run: RunSpec,
    spec: EvalSpec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    arm: str,
    temperatures: Sequence[float],
) -> list[EvalResult]:
    """Evaluate a model at several temperatures on one panel."""
    tasks = scored_panel(run, spec)
    results = (
        evaluate(
            agent_of(run, model, tokenizer, temperature),
            make_env_of(run, spec.split),
            tasks,
            arm=arm,
            temperature=temperature,
            repeats=spec.repeats if temperature else 1,
            seed=spec.seed,
        )
        for temperature in temperatures
    )
    return [replace(result, seed=run.seed) for result in results]


def run_arm(run: RunSpec, spec: EvalSpec, arm: str, folder: Path) -> None:
    """Train (unless `arm` is "base"), score, and write the run folder; cost.json comes last.

    A folder that holds an unfinished run is resumed, exactly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if arm == "base":
        write_json(folder / "config.json", {"env": run.env, "model": run.model, "seed": run.seed})
        tasks = scored_panel(run, spec)
        write_json(folder / "manifest.json", manifest([tasks], [run.seed, spec.seed]))
        model, tokenizer = open_model(run.model)
        temperatures, cost = spec.base_temperatures, Cost(trainable_parameters=0)
    else:
        done = train(run, folder, resume=(folder / "config.json").is_file())
        model, tokenizer, temperatures = done.model, done.tokenizer, spec.temperatures
        cost = Cost(
            train_s=done.train_s,
            rollout_s=_total(done.metrics, "time/rollout_s"),
            update_s=_total(done.metrics, "time/update_s"),
            tokens=_total(done.metrics, "tokens"),
            trainable_parameters=done.selection.trained,
            checkpoint_bytes=done.delta_bytes,
        )
    started = time.perf_counter()
    for result in score(run, spec, model, tokenizer, arm=arm, temperatures=temperatures):
        write_eval(folder, result)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    cost = replace(cost, eval_s=time.perf_counter() - started, peak_memory_bytes=peak_memory())
    write_cost(folder, cost)


def finished(folder: Path) -> bool:
    """Whether `run_arm` came to its end in `folder`."""
    return (folder / "cost.json").is_file()


def _total(metrics: Sequence[Mapping[str, float]], name: str) -> float:
    return float(sum(row.get(name, 0.0) for row in metrics))
