"""Guided strategies compared: what to train, once a sweep has said which layers matter.

The ranking and the comparison must not rest on the same luck: a layer that scored highest by
chance would be given the same tasks to shine on again. So the comparison trains with seeds, and is
scored on tasks, that the ranking has not seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from layergym.envs.errors import InputError
from layergym.evals.arm import EvalSpec
from layergym.evals.arms import SweepSpec
from layergym.evals.contribution import LayerProfile
from layergym.evals.tuning import tuning_seed
from layergym.trainer.layers import layer_indices

STRATEGIES = ("full", "single:best", "middle:5", "top:5", "boost-top:5", "lora-middle:5")
"""Those of arXiv 2607.01232, and LoRA in the place of the layers' own weights."""
_RANKED = re.compile(r"(?<![\w:])(single:best|(?:top|bottom):\d+)(?!@)")


def comparison(
    sweep: SweepSpec,
    ranking: LayerProfile,
    profile: Path,
    arms: Sequence[str],
    seeds: Sequence[int],
    *,
    split: str | None = None,
    size: int | None = None,
) -> SweepSpec:
    """The sweep that compares `arms`; base and full always take part.

    Args:
        sweep: the one that ranked the layers.
        ranking: what that one found.
        profile: where `ranking` is written, for "single:best", "top:k" and "bottom:k".
        arms: expressions of `layergym.evals.arms`.
        seeds: of the runs; none of the sweep's.
        split: where the scored tasks come from; by default the sweep's split.
        size: scored tasks; by default as many as the sweep has, or what is left.

    Raises:
        InputError: seeds or tasks were used for the ranking, an arm cannot be read, or it goes
            by a ranking in which contributions are undefined.
    """
    for arm in arms:
        _check(arm, ranking)
    if used := sorted(set(seeds) & seen_seeds(sweep)):
        raise InputError(
            f"seed {used[0]} took part in the ranking; compare with others, such as "
            f"{max(seen_seeds(sweep)) + 1}"
        )
    named = [arm for arm in arms if arm not in ("base", "full")]
    return SweepSpec(
        run=sweep.run,
        eval=_other_tasks(sweep, split, size),
        extra=tuple(ranked(arm, profile) for arm in named),
        num_layers=sweep.num_layers,
        seeds=tuple(seeds),
        lr_full=sweep.lr_full,
        lr_layer=sweep.lr_layer,
    )


def seen_seeds(sweep: SweepSpec) -> set[int]:
    """Seeds that took part in the ranking, or in the choice of its learning rates."""
    return {*sweep.seeds, *([tuning_seed(sweep)] if sweep.search.lr_grid else [])}


def ranked(arm: str, profile: Path) -> str:
    """The expression with the profile that its "single:best", "top:k" or "bottom:k" refers to."""
    named = _RANKED.sub(lambda match: f"{match[1]}@{profile}", arm)
    return named.replace("single:best@", "top:1@")


def _check(arm: str, ranking: LayerProfile) -> None:
    main = ranking.measures[0]
    if _RANKED.search(arm) and not main.defined:
        raise InputError(
            f'"{arm}" needs a ranking, but full - base is not distinguishable from 0 in '
            f"{ranking.name}; sweep with more steps, seeds or tasks, or leave that arm out"
        )
    layers = arm.removeprefix("boost-").removeprefix("lora-").partition("*")[0]
    given = "@" in layers or _RANKED.search(arm) or layers in ("base", "full", "lora")
    if not given and not layers.startswith("random"):
        layer_indices(layers, ranking.num_layers)


def _other_tasks(sweep: SweepSpec, split: str | None, size: int | None) -> EvalSpec:
    ranking, dev = sweep.eval, sweep.search.dev
    if split is not None and split != ranking.split:
        decided = sweep.search.active and split == dev.split
        skip = dev.skip + (dev.size or 0) if decided else 0
        return replace(ranking, split=split, size=size, skip=skip)
    if ranking.size is None:
        raise InputError(
            f"the ranking was scored on all tasks of the {ranking.split} split; name another one "
            "for the comparison: --eval-split"
        )
    return replace(ranking, size=size or ranking.size, skip=ranking.skip + ranking.size)
