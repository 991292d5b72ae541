"""Arms of a sweep by expression."""

from dataclasses import replace
from pathlib import Path

import pytest

from layergym.agents.names import open_model
from layergym.envs import InputError
from layergym.evals.arms import Arm
from layergym.evals.sweep.folder import write_sweep
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.resolve import resolve, variant
from layergym.evals.sweep.spec import Rates, SweepSpec
from layergym.trainer.layers.lora import with_lora
from layergym.trainer.layers.selection import decoder_layers, layer_size, select
from layergym.trainer.spec import RunSpec

SPEC = SweepSpec(
    run=RunSpec(env="layergym/ALFWorld-v0"),
    layers=(0, 5),
    extra=("middle:4", "boost-0+7*3"),
    num_layers=8,
    seeds=(1, 2),
    lr_full=1e-3,
    lr_layer=3e-3,
)


def test_every_arm_has_a_folder_per_seed_and_the_base_one() -> None:
    listed = resolve(SPEC, Path("sweep")).runs
    names = [arm.name for arm in listed]
    assert names[:3] == ["base", "full", "full"]
    assert names[3::2] == ["layer-00", "layer-05", "middle-4", "boost-0-7-3"]
    assert listed[-1].folder == Path("sweep/arms/boost-0-7-3/seed-2")
    assert listed[-1].run.seed == 2


def trained(expression: str) -> RunSpec:
    """What an arm of the sweep trains with."""
    arm = Arm.parse(expression)
    return variant(arm, SPEC.run, Rates(SPEC.lr_full, SPEC.lr_layer).of(arm), SPEC.num_layers)


def test_an_expression_says_what_trains_and_at_which_rate() -> None:
    middle = trained("middle:4")
    assert middle == replace(SPEC.run, layers="middle:4", learning_rate=3e-3)
    boost = trained("boost-0+7*3")
    assert boost == replace(SPEC.run, boost="0+7*3", learning_rate=1e-3)
    assert trained("boost-middle:2").boost == "middle:2*2"
    ranked = Arm.parse("boost-top:5@runs/a/profile.json*3")
    assert (ranked.name, ranked.boost) == ("boost-top-5-3", "top:5@runs/a/profile.json*3")


def test_controls_are_as_large_as_one_layer() -> None:
    model, _ = open_model("tiny")
    size = layer_size(decoder_layers(model))
    for expression in ("random", "lora", "lora-middle:2"):
        run = trained(expression)
        wrapped = with_lora(model, run.layers, run.lora, 0) if run.lora else model
        selection = select(wrapped, run.layers)
        assert abs(selection.trained - size) < 0.15 * size
        model, _ = open_model("tiny")


def test_a_sweep_may_consist_of_further_arms_but_not_of_the_same_twice() -> None:
    assert len(resolve(replace(SPEC, layers=()), Path()).runs) == 1 + 3 * 2
    with pytest.raises(InputError, match="each arm once; layer-05"):
        replace(SPEC, extra=("5",))
    with pytest.raises(InputError, match="names no arm"):
        replace(SPEC, extra=("*",))


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("foo", 'arm "foo": layers="foo" cannot be read'),
        ("9", 'arm "9": the model has 8 layers, 0 to 7'),
        ("random:9", "choose between 1 and 8"),
        ("boost-middle:2*0", "has no factor"),
        ("lora-8", "there is no layer 8"),
        ("top:2@nowhere.json", "no layer profile"),
    ],
)
def test_an_arm_that_cannot_be_trained_is_refused_before_anything_is_written(
    expression: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        write_sweep(replace(SPEC, extra=(expression,)), tmp_path / "sweep")
    assert sentence in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [-1.0, 0.0, float("nan"), float("inf")])
def test_rates_lie_above_0(rate: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        replace(SPEC, lr_full=rate)
    with pytest.raises(InputError, match="above 0"):
        replace(SPEC, lr_layer=rate)


def test_what_cannot_be_scored_is_refused() -> None:
    for size in (0, 1):
        with pytest.raises(InputError, match=f"2 tasks or more, not {size}"):
            EvalSpec(size=size)
    with pytest.raises(InputError, match=r"repeats .* from 1 .* not 0"):
        EvalSpec(repeats=0)
    with pytest.raises(InputError, match=r"temperatures .* from 0 .* not -0.5"):
        EvalSpec(temperatures=(-0.5,))
