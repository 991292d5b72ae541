"""Arguments that describe a training run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from layergym.base.errors import InputError
from layergym.cli.presets import add_preset
from layergym.command.options import (
    add_address,
    add_compute,
    add_env,
    address,
    env_args,
    required_env,
)
from layergym.command.values import (
    RATE,
    ROWS,
    SEED,
    SHARE,
    STEPS,
    TASKS,
    TOKENS,
    WEIGHT,
    real,
    whole,
)

if TYPE_CHECKING:
    from layergym.trainer.spec import RunSpec


MOST_EPISODES = 1_000_000
"""Of one rollout."""


def add_run(parser: argparse.ArgumentParser) -> None:
    """What `train`, `sweep` and `plan` share."""
    from layergym.trainer.credit.algorithms import ALGORITHMS

    add_env(parser)
    add_preset(parser)
    parser.add_argument(
        "--model",
        default="tiny",
        help='"tiny" (embedded), "smollm2" (after: layergym pull smollm2), a folder, or a hub id',
    )
    add_address(parser)
    parser.add_argument(
        "--algorithm",
        default="gigpo",
        metavar="NAME",
        help=f"how turns are credited: {', '.join(ALGORITHMS)} (default gigpo)",
    )
    parser.add_argument("--steps", type=STEPS, default=30, help="optimiser steps (default 30)")
    parser.add_argument("--tasks", type=TASKS, default=16, help="tasks per step (default 16)")
    parser.add_argument(
        "--group", type=whole(2, 10_000), default=8, help="episodes per task (default 8)"
    )
    parser.add_argument(
        "--dynamic-sampling",
        type=whole(0, 1000),
        default=0,
        metavar="ROUNDS",
        help="replace groups that earned the same throughout by tasks drawn anew (DAPO)",
    )
    parser.add_argument("--gamma", type=SHARE, default=0.95, help="discount per turn")
    parser.add_argument("--omega", type=WEIGHT, default=1.0, help="GiGPO's weight of step credit")
    parser.add_argument(
        "--norm", default="std", choices=["std", "none", "batch"], help="what rewards are scaled by"
    )
    parser.add_argument(
        "--similarity", type=SHARE, metavar="S", help="GiGPO: states whose texts are this similar"
    )
    parser.add_argument(
        "--history",
        type=whole(0, 1000),
        default=2,
        metavar="K",
        help="HGPO: earlier states that turns which are compared may share (default 2)",
    )
    parser.add_argument(
        "--alpha", type=WEIGHT, default=1.0, help="HGPO: weight of longer shared histories"
    )
    parser.add_argument(
        "--compat", choices=["verl-agent"], help="give credit as that implementation does"
    )
    parser.add_argument("--invalid-penalty", type=WEIGHT, default=0.0, metavar="R")
    parser.add_argument("--beta", type=WEIGHT, default=0.0, help="weight of the KL term")
    parser.add_argument(
        "--temperature", type=real(0, 100, above=True), default=1.0, help="of rollouts"
    )
    parser.add_argument("--max-new-tokens", type=TOKENS, help="tokens of a reply at most")
    parser.add_argument(
        "--rows-per-pass", type=ROWS, default=64, help="rows in one pass at most (default 64)"
    )
    parser.add_argument(
        "--tokens-per-pass", type=TOKENS, help="tokens in one pass at most (default: what fits)"
    )
    parser.add_argument(
        "--no-deterministic",
        action="store_false",
        dest="deterministic",
        help="on a GPU, let gradients be added up in any order: faster, and no longer repeatable",
    )
    parser.add_argument("--save-every", type=STEPS, default=10, help="steps between checkpoints")
    parser.add_argument(
        "--sampler",
        default="transformers",
        metavar="NAME",
        help="what samples: transformers (default), vllm (in this process), vllm@URL (a server)",
    )
    add_compute(parser)


def add_single(parser: argparse.ArgumentParser) -> None:
    """What a single run has besides: a sweep sets these for each of its arms."""
    parser.add_argument(
        "--layers",
        default="all",
        help='what trains: "all", "14", "10-14", "0,14", "middle:5", "top:3@profile.json", '
        '"14.attn", "embed"',
    )
    parser.add_argument("--boost", default="", help='"top:5@profile.json*2": twice the rate there')
    parser.add_argument(
        "--lora",
        type=whole(0, 65_536),
        default=0,
        metavar="RANK",
        help="train LoRA adapters on these layers",
    )
    parser.add_argument("--lr", type=RATE, help="learning rate (default: what suits the model)")
    parser.add_argument("--seed", type=SEED, default=0)
    parser.add_argument(
        "--patience",
        type=STEPS,
        metavar="N",
        help="end early when the reward, in means over 10 rollouts, has had no new best N times",
    )


def single_spec(args: argparse.Namespace, *, env: str | None = None) -> RunSpec:
    """The single run that the arguments describe; for `env`, see `run_spec`."""
    return run_spec(
        args,
        env=env,
        layers=args.layers,
        boost=args.boost,
        lora=args.lora,
        learning_rate=args.lr,
        seed=args.seed,
        patience=args.patience,
    )


def run_spec(args: argparse.Namespace, *, env: str | None = None, **more: object) -> RunSpec:
    """The run that the arguments describe.

    Args:
        args: of a command with `add_run`.
        env: in place of the one that the arguments must name.
        **more: further fields of the run.

    Raises:
        InputError: a rollout of so many episodes would never end.
    """
    from layergym.trainer.spec import RunSpec

    if args.tasks * args.group > MOST_EPISODES:
        raise InputError(
            f"{args.tasks} tasks by {args.group} episodes are more than {MOST_EPISODES:,} episodes "
            "in one step; lower --tasks or --group"
        )

    return RunSpec(
        env=env or required_env(args),
        env_args=env_args(args.env_arg),
        model=_model(args.model),
        **address(args),
        algorithm=args.algorithm,
        steps=args.steps,
        tasks_per_step=args.tasks,
        group_size=args.group,
        dynamic_sampling=args.dynamic_sampling,
        gamma=args.gamma,
        omega=args.omega,
        norm=args.norm,
        invalid_penalty=args.invalid_penalty,
        similarity=args.similarity,
        history=args.history,
        alpha=args.alpha,
        compat=args.compat,
        beta=args.beta,
        temperature=args.temperature,
        max_new_tokens=args.max_new_tokens,
        rows_per_pass=args.rows_per_pass,
        tokens_per_pass=args.tokens_per_pass,
        dtype=args.dtype,
        device=args.device,
        deterministic=args.deterministic,
        save_every=args.save_every,
        sampler=args.sampler,
        **more,  # type: ignore[arg-type]
    )


def _model(name: str) -> str:
    """A folder is written down in full, so that a run can be resumed from anywhere."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name
