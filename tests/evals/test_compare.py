"""Guided strategies: named by the ranking, judged on what the ranking has not seen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layergym.envs import InputError
from layergym.evals.arm import EvalSpec, scored_panel
from layergym.evals.arms import SweepSpec, arms
from layergym.evals.compare import STRATEGIES, comparison, ranked
from layergym.evals.contribution import LayerProfile, profile
from layergym.evals.results import read_sweep
from layergym.trainer.run import RunSpec

FILE = Path("/runs/a/ranking/profile.json")
SWEEP = SweepSpec(
    run=RunSpec(env="layergym/ALFWorld-v0", env_args={"size": 50}),
    eval=EvalSpec(split="test", size=30, repeats=2),
    layers=tuple(range(8)),
    num_layers=8,
    seeds=(0, 1),
    lr_layer=2e-3,
)


@pytest.fixture
def ranking(sweep_folder: Path) -> LayerProfile:
    return profile(read_sweep(sweep_folder))


def test_the_ranking_is_named_where_an_arm_goes_by_it() -> None:
    assert ranked("single:best", FILE) == f"top:1@{FILE}"
    assert ranked("boost-top:5*3", FILE) == f"boost-top:5@{FILE}*3"
    assert ranked("lora-bottom:2", FILE) == f"lora-bottom:2@{FILE}"
    for arm in ("middle:5", "random:2", "top:5@other.json", "3,5"):
        assert ranked(arm, FILE) == arm


def test_nothing_is_scored_on_what_the_ranking_saw(ranking: LayerProfile) -> None:
    spec = comparison(SWEEP, ranking, FILE, ("full", "middle:3", "random"), (2, 3), size=10)
    assert {arm.name for arm in arms(spec, Path())} == {"base", "full", "middle-3", "random"}
    assert {arm.run.seed for arm in arms(spec, Path()) if arm.name != "base"} == {2, 3}
    seen = set(scored_panel(SWEEP.run, SWEEP.eval).tasks)
    new = set(scored_panel(spec.run, spec.eval).tasks)
    assert len(new) == 10 and not seen & new
    valid = comparison(SWEEP, ranking, FILE, ("middle:3",), (2,), split="valid").eval
    assert (valid.split, valid.skip) == ("valid", 0)
    again = comparison(spec, ranking, FILE, ("middle:3",), (4,), size=5)
    assert not (seen | new) & set(scored_panel(again.run, again.eval).tasks)


def test_a_comparison_on_the_same_luck_is_refused(ranking: LayerProfile) -> None:
    with pytest.raises(InputError, match="seed 1 took part in the ranking"):
        comparison(SWEEP, ranking, FILE, ("middle:3",), (1, 2))
    whole = replace(SWEEP, eval=replace(SWEEP.eval, size=None))
    with pytest.raises(InputError, match="--eval-split"):
        comparison(whole, ranking, FILE, ("middle:3",), (2,))
    with pytest.raises(InputError, match="besides the first 30"):
        scored_panel(SWEEP.run, comparison(SWEEP, ranking, FILE, ("middle:3",), (2,)).eval)


def test_arms_that_cannot_run_are_refused_at_once(
    ranking: LayerProfile, make_sweep: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match="asks for 9 layers"):
        comparison(SWEEP, ranking, FILE, ("lora-middle:9",), (2,))
    with pytest.raises(InputError, match="cannot be read"):
        comparison(SWEEP, ranking, FILE, ("best",), (2,))
    flat = {"base": 0.4, "full": 0.4, "layer-00": 0.4, "layer-01": 0.4}
    noise = profile(read_sweep(make_sweep("noise", arms=flat, greedy={})))
    comparison(SWEEP, noise, FILE, ("middle:1",), (2,))
    with pytest.raises(InputError, match="needs a ranking"):
        comparison(SWEEP, noise, FILE, ("boost-top:1",), (2,))


def test_the_published_strategies_have_names_of_their_own() -> None:
    extra = tuple(ranked(arm, FILE) for arm in STRATEGIES if arm != "full")
    spec = replace(SWEEP, layers=(), extra=extra, run=replace(SWEEP.run, env_args={}))
    names = ["top-1", "middle-5", "top-5", "boost-top-5", "lora-middle-5"]
    assert len({*spec.expressions}) == 7
    assert [name for name in names if name in _names(spec)] == names


def _names(spec: SweepSpec) -> list[str]:
    from layergym.evals.arms import arm_name

    return [arm_name(expression) for expression in spec.expressions]
