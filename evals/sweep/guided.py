"""Sweeps whose arms go by a ranking of the layers that another sweep made.

The ranking and the comparison must not rest on the same luck: a layer that scored highest by
chance would be given the same tasks to shine on again. So the comparison trains with seeds, and is
scored on tasks, that the ranking has not seen.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from layergym.base.errors import InputError
from layergym.base.files import undone
from layergym.base.locks import LOCK, MANIFEST, locked, vacant
from layergym.evals.arms import Arm, any_layer, by_ranking, layers_ranked
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.profile_file import write_profile
from layergym.evals.result_files import RANKING
from layergym.evals.sweep.folder import write_settings
from layergym.evals.sweep.panels import EvalSpec, scored_panel
from layergym.evals.sweep.resolve import resolve, variant
from layergym.evals.sweep.spec import SweepSpec
from layergym.evals.sweep.tuning import tuning_seed
from layergym.trainer.layers.grammar import touched

STRATEGIES = ("full", "single:best", "middle:5", "top:5", "boost-top:5", "lora-middle:5")
"""Those of arXiv 2607.01232, and LoRA in the place of the layers' own weights."""


def comparison(
    sweep: SweepSpec,
    ranking: LayerProfile,
    folder: Path,
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
        folder: of the comparison; "single:best", "top:k" and "bottom:k" name the ranking in it.
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
        # The ranking is not in the folder yet.
        variant(Arm.parse(any_layer(arm)), sweep.run, None, sweep.num_layers)
    if used := sorted(set(seeds) & seen_seeds(sweep)):
        raise InputError(
            f"seed {used[0]} took part in the ranking; compare with others, such as "
            f"{max(seen_seeds(sweep)) + 1}"
        )
    profile = (folder / RANKING).resolve()
    further = [arm for arm in arms if Arm.parse(arm).kind not in ("base", "full")]
    return SweepSpec(
        run=sweep.run,
        eval=_other_tasks(sweep, split or sweep.eval.split, size),
        extra=tuple(by_ranking(arm, profile) for arm in further),
        num_layers=sweep.num_layers,
        seeds=tuple(seeds),
        lr_full=sweep.lr_full,
        lr_layer=sweep.lr_layer,
    )


def begin(spec: SweepSpec, folder: Path, sweep: SweepSpec, ranking: LayerProfile) -> None:
    """Begin the comparison's folder: settings, the ranking, where it was made, what arms train.

    Raises:
        InputError: another process begins it too, or it holds something already.
    """
    with locked(folder), undone(folder, where=lambda _: True):
        if not vacant(folder):
            raise InputError(f"{folder} is not empty; give another --out")
        write_profile(folder / RANKING, ranking)  # Its arms are read before the sweep is begun.
        begun = resolve(spec, folder)
        origin = {
            "split": sweep.eval.split,
            "seeds": sweep.seeds,
            "layers": {
                arm.name: touched(arm.layers, begun.spec.num_layers) if arm.names_layers else ()
                for arm, _ in begun.variants
                if arm.kind not in ("base", "full")
            },
        }
        write_settings(begun, ranking=origin)


def take_back(folder: Path) -> None:
    """Take away a ranking without settings, which a comparison leaves that is killed as it begins.

    Raises:
        InputError: it is about to begin.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names - {LOCK, MANIFEST} == {(folder / RANKING).parent.name}:
        with locked(folder):
            shutil.rmtree((folder / RANKING).parent)


def seen_seeds(sweep: SweepSpec) -> set[int]:
    """Seeds that took part in the ranking, or in the choice of its learning rates."""
    return {*sweep.seeds, *([tuning_seed(sweep)] if sweep.search.lr_grid else [])}


def _check(arm: str, ranking: LayerProfile) -> None:
    """Refuse an arm that goes by the ranking where there is none, or not of this many layers."""
    main = ranking.measures[0]
    count = layers_ranked(arm)
    if count is None:
        return
    if not main.defined:
        raise InputError(
            f'"{arm}" needs a ranking, but full - base is not distinguishable from 0 in '
            f"{ranking.name}; sweep with more steps, seeds or tasks, or leave that arm out"
        )
    if not 1 <= count <= len(main.layers):
        raise InputError(
            f'"{arm}" asks for {count} layers; {ranking.name} ranks {len(main.layers)}'
        )


def _other_tasks(sweep: SweepSpec, split: str, size: int | None) -> EvalSpec:
    """Tasks of `split` that neither the ranking nor a decision on the way to it was made on."""
    panels = [sweep.eval, *([sweep.search.dev] if sweep.search.active else ())]
    sizes = [None if p.size is None else p.skip + p.size for p in panels if p.split == split]
    total = len(scored_panel(sweep.run, EvalSpec(split=split)))
    used = max((total if end is None else end for end in sizes), default=0)
    left = total - used
    if left < max(size or 2, 2):
        raise InputError(
            f"the {split} split has {total} tasks, of which the ranking used {used}; compare on "
            + (f"{left} (--eval-tasks) or " if left > 1 else "")
            + "another split (--eval-split)"
        )
    size = size or min(sweep.eval.size or left, left)
    return replace(sweep.eval, split=split, size=size, skip=used)
