"""Layers that take turns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from layergym.agents.names import open_model
from layergym.base.errors import InputError
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.grammar import Redrawn, redrawn, touched
from layergym.trainer.layers.redrawn import drawn, resting
from layergym.trainer.layers.selection import decoder_layers, select
from layergym.trainer.run import train
from layergym.trainer.warmup.spec import WarmupSpec
from layergym.trainer.warmup.warmup import warmup
from tests.small_runs import logged, small_run


def test_a_draw_is_of_the_seed_and_the_step_alone() -> None:
    asked = Redrawn(2, 3)
    first = [drawn(asked, 8, seed=0, step=step) for step in range(300)]
    assert first == [drawn(asked, 8, seed=0, step=step) for step in range(300)]
    assert first != [drawn(asked, 8, seed=1, step=step) for step in range(300)]
    assert all(len(set(layers)) == 2 for layers in first)
    assert all(first[step] == first[step - step % 3] for step in range(300))


def test_every_layer_has_its_turn_equally_often() -> None:
    counts = Counter(i for step in range(4000) for i in drawn(Redrawn(2, 1), 8, seed=0, step=step))
    assert set(counts) == set(range(8))
    assert all(abs(count - 1000) < 100 for count in counts.values())  # 3.6 standard deviations


@pytest.mark.parametrize(
    "spec",
    ["lisa", "lisa:", "lisa:2", "lisa:0/5", "lisa:9/5", "lisa:2/0", "lisa:-1/5", "lisa:2/5,0"],
)
def test_what_cannot_be_drawn_is_refused(spec: str) -> None:
    with pytest.raises(InputError):
        redrawn(spec, 8)


def test_all_layers_may_be_drawn_and_what_is_outside_trains() -> None:
    model, _ = open_model("tiny")
    selection = select(model, "lisa:2/5")
    assert selection.layers == touched("lisa:2/5", 8) == tuple(range(8))
    assert (selection.redrawn, selection.whole_model) == (Redrawn(2, 5), True)
    assert selection.trained == selection.total
    assert redrawn("all", 8) is redrawn("3", 8) is None


def test_layers_that_rest_get_no_gradient() -> None:
    model, tokenizer = open_model("tiny")
    select(model, "lisa:1/5")
    ids = torch.tensor([tokenizer("open drawer 1").input_ids])
    with resting(decoder_layers(model), [4]):
        model(input_ids=ids, labels=ids).loss.backward()
    got = {
        i
        for i, layer in enumerate(decoder_layers(model))
        if any(p.grad is not None for p in layer.parameters())
    }
    assert got == {4}
    assert model.get_input_embeddings().weight.grad is not None
    assert all(p.requires_grad for p in model.parameters())


SPEC = small_run(layers="lisa:1/2", steps=4, tasks_per_step=4, save_every=1, max_turns=9)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lisa") / "run"
    train(SPEC, folder)
    return folder


def test_each_step_trains_the_layers_that_were_drawn(whole: Path) -> None:
    rows = logged(whole)
    turns = [
        {int(k.removeprefix("grad_norm/layer_")) for k in row if k.startswith("grad_norm/layer_")}
        for row in rows
    ]
    asked = Redrawn(1, 2)
    assert turns == [set(drawn(asked, 8, seed=0, step=step)) for step in range(4)]
    assert all("grad_norm/other" in row for row in rows)
    base, _ = open_model("tiny")
    delta = LayerDelta.load(whole / "delta.safetensors")
    moved = {
        int(name.split(".")[2])
        for name, value in delta.tensors.items()
        if ".layers." in name and not torch.equal(value, base.get_parameter(name))
    }
    assert moved == set.union(*turns) and len(moved) < 8


def test_a_resumed_run_draws_as_the_uninterrupted_one(whole: Path, tmp_path: Path) -> None:
    train(SPEC, tmp_path / "run", until=3)
    train(SPEC, tmp_path / "run", resume=True)
    mine, theirs = ([row | {"epoch": 0} for row in logged(f)] for f in (tmp_path / "run", whole))
    assert mine == theirs
    delta = "delta.safetensors"
    assert (tmp_path / "run" / delta).read_bytes() == (whole / delta).read_bytes()


def test_where_nothing_takes_turns_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reinforcement"):
        warmup(WarmupSpec(env="alfworld-v0", layers="lisa:2/5", steps=1), tmp_path / "w")
    with pytest.raises(InputError, match="lisa"):
        train(small_run(layers="lisa:2/5", lora=2), tmp_path / "l")
