"""Options are made of the fields of specs: names, kinds, defaults and help are the fields'."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import pytest

from layergym.base.numbers import Bounds
from layergym.cli.commands import command
from layergym.cli.run_options import CALLED, single_spec
from layergym.command.flags import FieldFlags, field_docs
from layergym.evals.score.contest import ContestSpec
from layergym.evals.sweep.executors.launch import Launch
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.credit.algorithms import Credit
from layergym.trainer.spec import RunSpec
from layergym.trainer.warmup.spec import WarmupSpec


@dataclass(frozen=True)
class Brew:
    """A spec that no command knows."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {"minutes": Bounds(1, 9, whole=True)}
    minutes: int = 4
    """Minutes in the pot."""
    leaf: Literal["green", "black"] = "green"
    milk: bool = False
    """Add milk, 1 % or more."""
    sugar: float | None = None
    """Grams of sugar; None: as the guest likes it."""
    guests: tuple[str, ...] = ("ada", "bo")


FLAGS = FieldFlags(
    spec=Brew, fields=tuple(f.name for f in fields(Brew)), called={"minutes": "steep"}
)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(exit_on_error=False)
    FLAGS.add(made)
    return made


def test_what_is_given_becomes_the_spec_again() -> None:
    assert Brew(**FLAGS.read(parser().parse_args([]))) == Brew()
    line = "--steep 9 --leaf black --milk --sugar 2.5 --guests cy"
    assert Brew(**FLAGS.read(parser().parse_args(line.split()))) == Brew(
        9, "black", True, 2.5, ("cy",)
    )


@pytest.mark.parametrize("line", ["--steep 10", "--steep 1.5", "--leaf white", "--sugar nan"])
def test_what_the_field_cannot_hold_is_refused(line: str) -> None:
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        parser().parse_args(line.split())


def test_help_is_the_docstring_with_the_default() -> None:
    assert FLAGS.help("minutes") == "minutes in the pot (default 4)"
    assert FLAGS.help("sugar") == "grams of sugar (default: as the guest likes it)"
    assert FLAGS.help("milk") == "add milk, 1 %% or more"
    assert "1 % or more" in parser().format_help()


@pytest.mark.parametrize(
    "spec", [RunSpec, Credit, SweepSpec, EvalSpec, ContestSpec, Launch, WarmupSpec]
)
def test_every_field_of_a_spec_is_described(spec: type) -> None:
    described = set(field_docs(spec)) | set(field_docs(Credit))
    assert {f.name for f in fields(spec)} - described == set()


def test_every_field_of_a_run_is_an_option_of_train() -> None:
    made = argparse.ArgumentParser()
    command("train").add_arguments(made)
    options = {action.dest for action in made._actions}
    called = CALLED | {"env_args": "env_arg", "trl": "set"}
    assert {called.get(f.name, f.name) for f in fields(RunSpec)} <= options


def test_the_defaults_of_train_are_those_of_a_run() -> None:
    made = argparse.ArgumentParser()
    command("train").add_arguments(made)
    assert single_spec(made.parse_args(["alfworld-v0"])) == RunSpec(env="alfworld-v0")
