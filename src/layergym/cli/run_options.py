"""Options that describe a training run: made of the fields of `RunSpec` and `Credit`."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from layergym.base.errors import InputError
from layergym.cli.address import add_address, address
from layergym.cli.presets import add_preset
from layergym.cli.run_files import add_run_file
from layergym.command.flags import CALLED, FieldFlags
from layergym.command.options import (
    add_compute,
    add_env,
    env_args,
    named_values,
    required_env,
)

if TYPE_CHECKING:
    from layergym.trainer.spec import RunSpec


MOST_EPISODES = 1_000_000
"""Episodes of one rollout, at most."""
SINGLE = (
    *("layers", "boost", "lora", "learning_rate", "seed", "patience"),
    *("eval_every", "eval_split", "eval_tasks", "keep", "quantize"),
)
"""What a single run has besides; a sweep sets these for each of its arms."""
_BY_HAND = ("env", "env_args", "format", "admissible", "context", "prompt", "shots", "trl")
_COMPUTE = ("dtype", "device")


def add_run(parser: argparse.ArgumentParser) -> None:
    """What `train`, `sweep` and `plan` share."""
    add_env(parser)
    add_preset(parser)
    add_run_file(parser)
    add_address(parser)
    _shared().add(parser)
    _credit().add(parser.add_argument_group("how turns are credited"))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting of the run (RunSpec) or of TRL's GRPOConfig: epsilon_high=0.28",
    )
    add_compute(parser)


def add_single(parser: argparse.ArgumentParser) -> None:
    """What a single run has besides."""
    _single().add(parser)


def single_spec(args: argparse.Namespace, *, env: str | None = None) -> RunSpec:
    """The single run that the arguments describe; for `env`, see `run_spec`."""
    return run_spec(args, env=env, **_single().read(args))


def run_spec(args: argparse.Namespace, *, env: str | None = None, **more: object) -> RunSpec:
    """The run that the arguments describe.

    Args:
        args: of a command with `add_run`.
        env: in place of the one that the arguments must name.
        **more: further fields of the run.

    Raises:
        InputError: a rollout of this many episodes would never end.
    """
    from layergym.trainer.spec import RunSpec, with_settings

    values = _shared().read(args) | _credit().read(args) | address(args)
    spec = RunSpec(
        env=env or required_env(args),
        env_args=env_args(args.env_arg),
        dtype=args.dtype,
        device=args.device,
        **values | {"model": _model(args.model)},
        **more,  # type: ignore[arg-type]
    )
    spec = with_settings(spec, named_values(args.set, "--set"))
    if spec.tasks_per_step * spec.group_size > MOST_EPISODES:
        raise InputError(
            f"{spec.tasks_per_step} tasks by {spec.group_size} episodes are more than "
            f"{MOST_EPISODES:,} episodes in one step; lower --tasks or --group"
        )
    return spec


def _shared() -> FieldFlags:
    from layergym.trainer.credit.algorithms import Credit
    from layergym.trainer.spec import RunSpec

    apart = {*_BY_HAND, *_COMPUTE, *SINGLE, *(field.name for field in fields(Credit))}
    names = tuple(field.name for field in fields(RunSpec) if field.name not in apart)
    return FieldFlags(spec=RunSpec, fields=names, called=CALLED)


def _credit() -> FieldFlags:
    from layergym.trainer.credit.algorithms import ALGORITHMS, Credit

    names = tuple(field.name for field in fields(Credit))
    return FieldFlags(spec=Credit, fields=names, more={"algorithm": f": {', '.join(ALGORITHMS)}"})


def _single() -> FieldFlags:
    from layergym.trainer.spec import RunSpec

    return FieldFlags(spec=RunSpec, fields=SINGLE, called=CALLED)


def _model(name: str) -> str:
    """A folder is written down in full, so that a run can be resumed from anywhere."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name
