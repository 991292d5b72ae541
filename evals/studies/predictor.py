"""An experiment: does one batch of rollouts of the base tell which layers will carry the gain?

For every layer, from the policy gradient at the base (all parameters, nothing is updated):

    norm     length of the mean gradient over groups
    snr      squared length of the expected gradient over the variance of the mean, both unbiased
    fisher   mean squared length of the gradient of a row's log-likelihood (empirical Fisher trace)

They cost one rollout and about two backward passes. Whether any of them ranks layers as training
each alone does is what the report's correlation says; nothing here was published as a predictor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from layergym.agents.names import open_model
from layergym.agents.rollouts import rollout
from layergym.agents.types import Group
from layergym.base.errors import briefly
from layergym.base.files import read_json, write_json
from layergym.envs import InputError, panel
from layergym.evals.contribution.measure import Measure
from layergym.evals.stats.agreement import Agreement, agreement
from layergym.trainer.credit.algorithms import Compared, give_credit
from layergym.trainer.credit.schedule import jobs_of
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.rows.packing import Row, collate, pack
from layergym.trainer.run import RunSpec, agent_of, make_env_of

FILE = "predictor.json"
STATISTICS = ("norm", "snr", "fisher")
FISHER_ROWS = 2
"""Rows of each group that the Fisher trace is estimated on."""


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """Gradient statistics of one layer."""

    layer: int
    norm: float
    snr: float
    fisher: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Gradient statistics of all layers, and the batch that they rest on."""

    tasks: int
    episodes: int
    """Per task."""
    seed: int
    """Of the rollout."""
    layers: tuple[LayerStatistics, ...]


def predict(run: RunSpec, *, seed: int) -> Prediction:
    """Play one rollout of the base as `run` would and measure every layer's gradient.

    Args:
        run: environment, model, algorithm and sizes.
        seed: of the rollout; with one that no training run had, the batch is a fresh one.

    Raises:
        InputError: fewer than two groups have anything to teach.
    """
    model, tokenizer = open_model(run.model, dtype=run.dtype, device=run.device)
    agent = agent_of(run, model, tokenizer, run.temperature)
    tasks = panel(make_env_of(run, "train")()).tasks
    each = run.group_size
    jobs = list(jobs_of(tasks, seed, 0, per_rollout=run.tasks_per_step, repeats=each))
    played = rollout(agent, make_env_of(run, "train"), jobs)
    groups = [Group(tuple(played[i : i + each])) for i in range(0, len(played), each)]
    credited = give_credit([Compared.of(group, run.credit) for group in groups], run.credit)
    rows = [pack(one.group.trajectories, one.advantages) for one in credited]
    found = layer_statistics(model, rows, rows_per_pass=run.rows_per_pass)
    return Prediction(len(groups), each, seed, found)


def layer_statistics(
    model: PreTrainedModel, groups: Sequence[Sequence[Row]], *, rows_per_pass: int
) -> tuple[LayerStatistics, ...]:
    """Gradient statistics of every decoder layer of `model`, which is left as it was.

    Args:
        model: the policy that sampled the rows.
        groups: rows of each group, with their advantages.
        rows_per_pass: bounds memory.

    Raises:
        InputError: fewer than two groups have an advantage other than 0.
    """
    layers = [[p for p in layer.parameters() if p.requires_grad] for layer in decoder_layers(model)]
    if sum(any(any(row.advantages) for row in rows) for rows in groups) < 2:
        raise InputError("fewer than two groups have anything to teach; give more tasks per step")
    sums = [torch.zeros(sum(p.numel() for p in layer)) for layer in layers]
    squares, fisher, scored = np.zeros(len(layers)), np.zeros(len(layers)), 0
    for rows in groups:
        gradients = _gradients(model, layers, rows, rows_per_pass, credited=True)
        for place, gradient in enumerate(gradients):
            sums[place] += gradient
            squares[place] += float(gradient.square().sum())
        for row in rows[:FISHER_ROWS]:
            alone = _gradients(model, layers, [row], 1, credited=False)
            fisher += [float(gradient.square().sum()) for gradient in alone]
            scored += 1
    count = len(groups)
    mean = np.array([float((total / count).square().sum()) for total in sums])
    noise = np.maximum((squares / count - mean) / (count - 1), 1e-30)
    return tuple(
        LayerStatistics(
            layer=i,
            norm=float(np.sqrt(mean[i])),
            snr=float((mean[i] - noise[i]) / noise[i]),
            fisher=float(fisher[i] / max(scored, 1)),
        )
        for i in range(len(layers))
    )


def _gradients(
    model: PreTrainedModel,
    layers: Sequence[Sequence[torch.nn.Parameter]],
    rows: Sequence[Row],
    size: int,
    *,
    credited: bool,
) -> list[torch.Tensor]:
    """Per layer the gradient of the log-likelihood of sampled tokens, by their advantages if so."""
    model.zero_grad(set_to_none=True)
    for start in range(0, len(rows), size):
        batch = collate(rows[start : start + size])
        ids = batch.ids.to(model.device)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()
        chosen = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        weight = batch.advantages if credited else batch.sampled.float()
        (chosen * weight[:, 1:].to(model.device)).sum().backward()
    found = [torch.cat([_flat(p) for p in layer]) for layer in layers]
    model.zero_grad(set_to_none=True)
    return found


def _flat(parameter: torch.nn.Parameter) -> torch.Tensor:
    gradient = parameter.grad
    if gradient is None:
        return torch.zeros(parameter.numel())
    return gradient.detach().float().reshape(-1).cpu()


def write_prediction(folder: Path, found: Prediction) -> None:
    """Keep the statistics in a sweep's folder."""
    write_json(folder / FILE, asdict(found))


def read_prediction(folder: Path) -> Prediction | None:
    """What `write_prediction` wrote; None where there is nothing.

    Raises:
        InputError: the file is damaged.
    """
    if not (folder / FILE).is_file():
        return None
    value = read_json(folder / FILE)
    try:
        layers = tuple(
            LayerStatistics(int(row["layer"]), *(float(row[name]) for name in STATISTICS))
            for row in value["layers"]
        )
        tasks, episodes, seed = (int(value[name]) for name in ("tasks", "episodes", "seed"))
        return Prediction(tasks, episodes, seed, layers)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / FILE} does not say what it rests on ({briefly(error)}); "
            "run layergym predict again"
        ) from None


def against(found: Sequence[LayerStatistics], measured: Measure) -> dict[str, Agreement | None]:
    """Rank correlation of each statistic with the measured gain, over the layers that have both."""
    gains = {arm.layer: arm.gain.value for arm in measured.layers}
    both = [one for one in found if one.layer in gains]
    gain = np.array([gains[one.layer] for one in both])
    return {
        name: agreement(np.array([getattr(one, name) for one in both]), gain) for name in STATISTICS
    }
