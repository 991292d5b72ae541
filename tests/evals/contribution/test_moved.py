"""How far a run moved each layer: what it logged is the length of its delta."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from layergym.agents.names import open_model
from layergym.evals.arms import FULL
from layergym.evals.contribution.moved import mean_moved, moved
from layergym.evals.result_files import read_run
from layergym.evals.results import Run
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.run import train


@pytest.mark.parametrize("layers", ["3", "all"])
def test_it_is_the_length_of_the_delta_over_that_of_the_weights(
    layers: str, sweep_of: Callable[..., SweepSpec], tmp_path: Path
) -> None:
    spec = replace(sweep_of(steps=2).run, layers=layers)
    train(spec, tmp_path / "run")
    delta = LayerDelta.load(tmp_path / "run" / "delta.safetensors")
    before = dict(open_model(spec.model, dtype="float32", device="cpu")[0].named_parameters())
    change, start = dict[str, list[torch.Tensor]](), dict[str, list[torch.Tensor]]()
    for name, value in delta.tensors.items():
        parts = name.split(".")
        place = f"layer_{parts[2]}" if parts[1] == "layers" else "other"
        change.setdefault(place, []).append((value - before[name]).detach())
        start.setdefault(place, []).append(before[name].detach())
    found = moved(read_run(tmp_path / "run"))
    assert found.keys() == change.keys() and len(found) == (1 if layers == "3" else 9)
    for place, share in found.items():
        norms = [torch.cat([t.flatten() for t in one[place]]).norm() for one in (change, start)]
        assert share == pytest.approx(float(norms[0] / norms[1]), rel=1e-4) and share > 0


def a_run(sweep_folder: Path, **config: object) -> Run:
    run = read_run(sweep_folder / "arms" / "full" / "seed-0")
    rows = ({"step": 1, "change/layer_0": 0.5}, {"step": 2, "change/layer_0": 0.2, "loss": 1.0})
    return replace(run, config=config, metrics=rows)


def test_the_last_step_counts_and_seeds_are_averaged(sweep_folder: Path) -> None:
    run = a_run(sweep_folder)
    assert moved(run) == {"layer_0": 0.2}
    further = replace(run, seed=1, metrics=({"step": 2, "change/layer_0": 0.4},))
    assert mean_moved([run, further])[FULL]["layer_0"] == pytest.approx(0.3)


@pytest.mark.parametrize("config", [{"lora": 4, "layers": "all"}, {"layers": "random:2"}])
def test_what_is_no_change_of_whole_weights_is_left_out(
    config: dict[str, object], sweep_folder: Path
) -> None:
    assert moved(a_run(sweep_folder, **config)) == {} == mean_moved([a_run(sweep_folder, **config)])
