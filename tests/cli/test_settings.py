"""`--set`: every setting of a run and of TRL's by name."""

from __future__ import annotations

import argparse

import pytest

from layergym.base.errors import InputError
from layergym.cli import train
from layergym.cli.run_options import single_spec
from layergym.trainer.run import check_run
from layergym.trainer.spec import RunSpec


def described(*argv: str) -> RunSpec:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return single_spec(parser.parse_args(["alfworld-v0", *argv]))


def test_a_setting_of_the_run_and_one_of_trl() -> None:
    spec = described("--tasks", "4", "--set", "group_size=3", "--set", "epsilon-high=0.28")
    assert (spec.tasks_per_step, spec.group_size, spec.trl) == (4, 3, {"epsilon_high": 0.28})
    check_run(spec, num_layers=4)


def test_a_number_where_a_text_is_meant() -> None:
    assert described("--set", "layers=14").layers == "14"


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("group_size=1", "group_size"),
        ("tasks_per_step=1000000", "100000"),
        ("deterministic=7", "true or false"),
        ("env_args=[1]", "names and values"),
        ("boost={}", "a text"),
        ("epsilon_hig=0.3", "epsilon_high"),
        ("loss_type=dapoo", "dapo"),
        ("importance_sampling_level=word", "sequence"),
        ("epsilon=abc", "a number"),
        ("output_dir=there", "other settings"),
        ("top_k=4", "the sampler"),
        ("do_train=maybe", "do_train"),
        ("optim=nothing", "OptimizerNames"),
        ("nothing", "NAME=VALUE"),
        ("=3", "NAME=VALUE"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_begins(setting: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_run(described("--set", setting), num_layers=4)


def test_a_rollout_that_would_never_end() -> None:
    with pytest.raises(InputError, match="episodes"):
        described("--set", "tasks_per_step=90000", "--group", "1000")


@pytest.mark.parametrize(
    ("algorithm", "name", "value"),
    [
        ("gspo", "importance_sampling_level", "sequence"),
        ("gspo", "epsilon", 3e-4),
        ("dapo", "epsilon_high", 0.28),
        ("dapo", "mask_truncated_completions", True),
    ],
)
def test_an_algorithm_brings_its_loss(algorithm: str, name: str, value: object) -> None:
    from layergym.trainer.config import GiGPOConfig

    def made(**settings: object) -> GiGPOConfig:
        return GiGPOConfig(output_dir="x", max_steps=1, use_cpu=True, **settings)  # type: ignore[arg-type]

    assert getattr(made(algorithm=algorithm), name) == value
    assert made(algorithm="dapo", epsilon_high=0.4).epsilon_high == 0.4
