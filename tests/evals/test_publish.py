"""A run's delta, packaged and sent to a hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from layergym.agents.names import open_model
from layergym.base.errors import InputError, refused
from layergym.evals import publish
from layergym.evals.score.policies import is_trained, trained_run
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec
from tests.full_disk import largest_file
from tests.hub_server import StandIn

GAMES = {"max_receptacles": 6, "num_objects": 6, "max_turns": 3, "size": 12}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    spec = RunSpec(
        env="alfworld-v0", env_args=GAMES, layers="3", steps=1, tasks_per_step=2, group_size=2
    )
    train(spec, folder)
    return folder


def test_a_package_says_what_was_trained(run: Path, tmp_path: Path) -> None:
    publish.package(run, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "layers 3 of tiny" in card and LayerDelta.load(run / "delta.safetensors").base in card
    assert str(run) not in card
    model, _ = open_model("tiny")
    LayerDelta.load(tmp_path / "delta.safetensors").apply(model)


def test_a_merged_package_is_an_ordinary_checkpoint(run: Path, tmp_path: Path) -> None:
    publish.package(run, tmp_path, whole=True)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path)
    model, _ = open_model("tiny")
    LayerDelta.load(run / "delta.safetensors").apply(model)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, merged.get_parameter(name)), name


def test_a_merged_package_plays_as_the_run_does(run: Path, tmp_path: Path) -> None:
    publish.package(run, tmp_path, whole=True)
    assert is_trained(str(tmp_path))
    assert trained_run(str(tmp_path))[1] == trained_run(str(run))[1]


def test_a_package_is_whole_or_absent(run: Path, tmp_path: Path) -> None:
    with largest_file(500_000), pytest.raises(Exception) as error:  # The delta fits.
        publish.package(run, tmp_path / "out", whole=True)
    assert refused(error.value), "the command line says it in a sentence"
    assert list(tmp_path.iterdir()) == []
    publish.package(run, tmp_path / "out", whole=True)
    assert {"delta.safetensors", "model.safetensors"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }


def test_a_package_is_not_written_over(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thing").write_text("in use\n")
    with pytest.raises(InputError, match="another folder"):
        publish.package(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_a_damaged_run_is_not_packaged(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    delta = copy / "delta.safetensors"
    data = bytearray(delta.read_bytes())
    data[-4] ^= 1
    delta.write_bytes(data)
    with pytest.raises(InputError, match="is not as it was written"):
        publish.package(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_upload_arrives_whole(run: Path, tmp_path: Path, hub: StandIn) -> None:
    publish.package(run, tmp_path)
    assert publish.push(tmp_path, "me/delta").endswith("/me/delta")
    assert hub.held["me/delta"] == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_the_best_step_is_packaged_without_the_scores_of_the_last(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--keep best"):
        publish.package(run, tmp_path / "a", best=True)
    spec = RunSpec(
        env="alfworld-v0",
        env_args=GAMES,
        layers="3",
        steps=2,
        tasks_per_step=2,
        group_size=2,
        eval_every=1,
        eval_tasks=2,
        keep="best",
    )
    train(spec, tmp_path / "run")
    publish.package(tmp_path / "run", tmp_path / "b", best=True)
    mine = LayerDelta.load(tmp_path / "b")
    best = LayerDelta.load(tmp_path / "run" / "best.safetensors")
    assert mine.tensors.keys() == best.tensors.keys()
    assert all(torch.equal(mine.tensors[name], best.tensors[name]) for name in best.tensors)
    assert "best on held-out tasks" in (tmp_path / "b" / "README.md").read_text()


def test_an_unfinished_run_cannot_be_packaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finish the run first"):
        publish.package(tmp_path, tmp_path / "out")
