"""Gradient statistics per layer, against a direct computation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from layergym.agents.names import open_model
from layergym.base.files import write_json
from layergym.envs import InputError
from layergym.evals.contribution.predicted import (
    STATISTICS,
    LayerStatistics,
    Prediction,
    read_prediction,
    write_prediction,
)
from layergym.evals.contribution.profile import profile
from layergym.evals.report.build import build
from layergym.evals.result_files import read_sweep
from layergym.evals.score.gradients import layer_statistics
from layergym.evals.studies.predict import against, predict
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.rows.packing import Row
from layergym.trainer.spec import RunSpec

GAMES = {"max_receptacles": 8, "num_objects": 8, "max_turns": 9}


def row(ids: list[int], advantage: float) -> Row:
    sampled = tuple(i % 2 == 1 for i in range(len(ids)))
    zeros = (0.0,) * len(ids)
    return Row(tuple(ids), sampled, tuple(advantage * s for s in sampled), zeros)


def test_statistics_equal_a_direct_computation() -> None:
    model, _ = open_model("tiny")
    groups = [
        [row([5, 9, 7, 30], 1.0), row([5, 11, 8], -1.0)],
        [row([6, 40, 7, 31, 50], 0.5), row([6, 41], -0.5)],
        [row([7, 12, 13, 14], 2.0)],
    ]
    found = layer_statistics(model, groups, rows_per_pass=1)
    whole = layer_statistics(model, groups, rows_per_pass=8)
    credited = [[_gradient(model, one, None) for one in rows] for rows in groups]
    summed = torch.stack([torch.stack(rows).sum(0) for rows in credited])
    mean = summed.mean(0)
    noise = float(summed.var(0).sum()) / 3
    assert found["norm"][2] == pytest.approx(float(mean.norm()), rel=1e-3)
    assert found["snr"][2] == pytest.approx((float(mean.norm()) ** 2 - noise) / noise, rel=1e-2)
    plain = [_gradient(model, one, 1.0) for rows in groups for one in rows]
    fisher = np.mean([float(vector.norm()) ** 2 for vector in plain])
    assert found["fisher"][2] == pytest.approx(fisher, rel=1e-3)
    for name in STATISTICS:
        assert found[name] == pytest.approx(whole[name], rel=1e-2)


def _gradient(model: torch.nn.Module, one: Row, weight: float | None) -> torch.Tensor:
    """Of layer 2, by autograd on the row alone."""
    parameters = list(decoder_layers(model)[2].parameters())
    logprobs = model(torch.tensor([one.ids])).logits[0].log_softmax(-1)
    total = sum(
        (one.advantages[t] if weight is None else weight * one.sampled[t])
        * logprobs[t - 1, one.ids[t]]
        for t in range(1, len(one.ids))
    )
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(total, parameters)])


def test_a_batch_of_rollouts_ranks_every_layer() -> None:
    run = RunSpec(env="layergym/ALFWorld-v0", env_args=GAMES, tasks_per_step=6, group_size=4)
    found = predict(run, seed=5)
    assert (found.tasks, found.episodes, found.seed) == (6, 4, 5)
    assert [one.layer for one in found.layers] == list(range(8))
    assert all(one.norm > 0 and one.fisher > 0 for one in found.layers)
    assert predict(run, seed=5) == found


def test_a_batch_without_signal_is_refused() -> None:
    model, _ = open_model("tiny")
    with pytest.raises(InputError, match="more tasks"):
        layer_statistics(model, [[row([5, 9], 0.0)], [row([5, 9], 1.0)]], rows_per_pass=1)


def test_the_report_shows_it_as_an_experiment(sweep_folder: Path) -> None:
    measured = profile(read_sweep(sweep_folder)).measures[0]
    found = tuple(
        LayerStatistics(arm.layer or 0, arm.gain.value, -arm.gain.value, 1.0)
        for arm in measured.layers
    )
    correlated = against(found, measured)
    assert correlated["norm"] and correlated["norm"].spearman.value == pytest.approx(1)
    assert correlated["snr"] and correlated["snr"].spearman.value == pytest.approx(-1)
    assert correlated["fisher"] is None
    assert read_prediction(sweep_folder) is None
    whole = Prediction(tasks=16, episodes=8, seed=3, layers=found)
    write_prediction(sweep_folder, whole)
    assert read_prediction(sweep_folder) == whole
    sections = {section.heading: section for section in build([sweep_folder]).sections}
    assert "16 tasks, 8 episodes each, seed 3" in str(
        sections["Cheap predictor (experiment)"].blocks
    )


def test_statistics_of_an_unknown_batch_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "predictor.json", {"layers": []})
    with pytest.raises(InputError, match="run layergym predict again"):
        read_prediction(tmp_path)
