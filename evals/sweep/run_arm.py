"""One arm of a sweep: train one selection of layers, score it, file the scores.

FOLDER/looks/step-00008/evals/t1.0.json   score on the development panel after 8 steps
FOLDER/evals/<name>.json                  final scores, on the panel that the report is about
FOLDER/cost.json                          written last: the arm is finished
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

from layergym.agents.base import Agent
from layergym.agents.names import open_model
from layergym.base.files import write_json
from layergym.envs import InputError, Panel, find, panel
from layergym.evals.results import Cost, EvalResult, Scored, read_eval, write_cost, write_eval
from layergym.evals.score.evaluate import Label, evaluate
from layergym.trainer.callbacks import NOBODY, Watch
from layergym.trainer.credit.measures import peak_memory
from layergym.trainer.manifest import manifest
from layergym.trainer.run import RunSpec, Trained, agent_of, make_env_of, train

LOOK_AT = 1.0
"""Temperature of looks."""
AgentAt = Callable[[float], Agent]
"""A model as an agent that samples at the given temperature."""
_PARTS = ("rollout", "logprobs", "update")
"""What training consists of; their times add up over resumed runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSpec:
    """What every arm is scored on."""

    split: str = "test"
    size: int | None = None
    """Tasks of the panel; None takes them all."""
    skip: int = 0
    """Tasks, those of a panel of this size, that are left out: they were used for a choice."""
    repeats: int = 2
    """Episodes per task at a temperature above 0; greedy plays each task once."""
    temperatures: tuple[float, ...] = (1.0, 0.0)
    base_temperatures: tuple[float, ...] = (1.0, 0.7, 0.5, 0.25, 0.0)
    """The untrained model is scored at all of these: how much of a gain is only sharpening?"""
    seed: int = 0
    score: Scored = "success"
    """What a score is the mean of: success, or the return, where that lies between 0 and 1."""

    def __post_init__(self) -> None:
        """Refuse what no score could be made of.

        Raises:
            InputError: too few tasks or episodes, or a temperature below 0.
        """
        if self.size is not None and self.size < 2:
            raise InputError(
                f"a panel has 2 tasks or more, not {self.size}: one tells nothing about others"
            )
        if self.repeats < 1:
            raise InputError(f"a task is played once or more, not {self.repeats} times")
        if self.score not in get_args(Scored):
            raise InputError(f'a score is of "success" or "reward", not "{self.score}"')
        if min(*self.temperatures, *self.base_temperatures, 0.0) < 0:
            raise InputError("sampling temperatures are 0 (greedy) or more")


def scored_panel(run: RunSpec, spec: EvalSpec) -> Panel:
    """The tasks that `spec` names."""
    return panel(make_env_of(run, spec.split)(), spec.size, skip=spec.skip)


def score(
    run: RunSpec, spec: EvalSpec, agent_at: AgentAt, *, arm: str, temperatures: Sequence[float]
) -> list[EvalResult]:
    """Evaluate a model at several temperatures on one panel.

    Args:
        run: the run whose model it is.
        spec: what it is scored on.
        agent_at: makes the model an agent that samples at a temperature.
        arm: the name under which results are filed.
        temperatures: those to score at.
    """
    tasks = scored_panel(run, spec)
    return [
        evaluate(
            agent_at(temperature),
            make_env_of(run, spec.split),
            tasks,
            Label(arm, temperature, run.seed, spec.score),
            repeats=spec.repeats if temperature else 1,
            seed=spec.seed,
        )
        for temperature in temperatures
    ]


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
        temperatures, cost = spec.base_temperatures, Cost(trainable_parameters=0)
    else:
        done = train(run, folder, resume=(folder / "config.json").is_file(), watch=watch)
        if done.ended == "paused":
            return
        model, tokenizer = done.model, done.tokenizer
        temperatures, cost = spec.temperatures, training_cost(done)
    started = time.perf_counter()
    agent_at = partial(agent_of, run, model, tokenizer)
    results = score(run, spec, agent_at, arm=arm, temperatures=temperatures)
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


def file_scores(folder: Path, results: Sequence[EvalResult], cost: Cost) -> None:
    """Finish a run folder: final scores, no checkpoints, and cost.json last."""
    for result in results:
        write_eval(folder, result)
    drop_checkpoints(folder)
    write_cost(folder, cost)


def finished(folder: Path) -> bool:
    """Whether `run_arm` came to its end in `folder`."""
    return (folder / "cost.json").is_file()


def take_look(
    run: RunSpec, dev: EvalSpec, arm: str, folder: Path, *, step: int, watch: Watch = NOBODY
) -> None:
    """Train until `step`, score on the development panel and leave the rest for later."""
    resume = (folder / "config.json").is_file()
    done = train(run, folder, resume=resume, until=step, watch=watch)
    if done.ended == "paused":
        return
    agent_at = partial(agent_of, run, done.model, done.tokenizer)
    file_look(folder, step, score(run, dev, agent_at, arm=arm, temperatures=[LOOK_AT])[0])


def file_look(folder: Path, step: int, result: EvalResult) -> None:
    """Keep what was found at a step of the run in `folder`."""
    write_eval(_look(folder, step), result)


def looked(folder: Path, step: int) -> EvalResult | None:
    """What `take_look` found in `folder` at `step`; None when it was not there yet."""
    path = _look(folder, step) / "evals" / f"t{LOOK_AT}.json"
    return read_eval(path) if path.is_file() else None


def _look(folder: Path, step: int) -> Path:
    return folder / "looks" / f"step-{step:05d}"


def drop_checkpoints(folder: Path) -> None:
    """Free the space of a run that will not be resumed."""
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def _total(metrics: Sequence[Mapping[str, float]], name: str) -> float:
    return float(sum(row.get(name, 0.0) for row in metrics))
