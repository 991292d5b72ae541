"""Arms of a sweep by expression."""

from dataclasses import replace
from pathlib import Path

import pytest

from layergym.agents.names import open_model
from layergym.envs import InputError
from layergym.evals.arms import SweepSpec, arms, recipe
from layergym.trainer.layers import decoder_layers, layer_size, select
from layergym.trainer.lora import with_lora
from layergym.trainer.run import RunSpec

SPEC = SweepSpec(
    run=RunSpec(env="layergym/ALFWorld-v0"),
    layers=(0, 5),
    extra=("middle:4", "boost-top:5@runs/a/profile.json*3"),
    seeds=(1, 2),
    lr_full=1e-3,
    lr_layer=3e-3,
)


def test_every_arm_has_a_folder_per_seed_and_the_base_one() -> None:
    listed = arms(SPEC, Path("sweep"))
    names = [arm.name for arm in listed]
    assert names[:3] == ["base", "full", "full"]
    assert names[3::2] == ["layer-00", "layer-05", "middle-4", "boost-top-5-3"]
    assert listed[-1].folder == Path("sweep/arms/boost-top-5-3/seed-2")
    assert listed[-1].run.seed == 2


def test_an_expression_says_what_trains_and_at_which_rate() -> None:
    assert recipe("middle:4", SPEC).changes == {"layers": "middle:4", "learning_rate": 3e-3}
    boost = recipe("boost-top:5@runs/a/profile.json*3", SPEC).changes
    assert boost == {"layers": "all", "learning_rate": 1e-3, "boost": "top:5@runs/a/profile.json*3"}
    assert recipe("boost-middle:2", SPEC).changes["boost"] == "middle:2*2"


def test_controls_are_as_large_as_one_layer() -> None:
    model, _ = open_model("tiny")
    size = layer_size(decoder_layers(model))
    for expression in ("random", "lora", "lora-middle:2"):
        changes = recipe(expression, SPEC).changes
        wrapped = (
            with_lora(model, changes["layers"], changes["lora"], 0) if "lora" in changes else model
        )
        selection = select(wrapped, changes["layers"])
        assert abs(selection.trained - size) < 0.15 * size
        model, _ = open_model("tiny")


def test_a_sweep_may_consist_of_further_arms_but_not_of_the_same_twice() -> None:
    assert len(arms(replace(SPEC, layers=()), Path())) == 1 + 3 * 2
    with pytest.raises(InputError, match="each arm once; layer-05"):
        replace(SPEC, extra=("5",))
    with pytest.raises(InputError, match="names no arm"):
        replace(SPEC, extra=("*",))
