"""Compare guided strategies, on seeds and tasks that the sweep has not seen.

What to train, once a sweep has said which layers matter? `evals/sweep/guided.py` keeps the ranking
and the comparison apart.

    COMPARISON/ranking/profile.json, and "ranking" in its manifest: a sweep folder otherwise
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from layergym.base.errors import InputError, briefly
from layergym.base.texts import shell_line
from layergym.command.console import Output
from layergym.command.options import add_arms, arms_of, new_folder
from layergym.command.values import JOBS, SEED, TASKS, text
from layergym.evals.arms import ArmName
from layergym.evals.contribution.profile import LayerProfile, profile
from layergym.evals.contribution.profile_file import read_profile
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.report.study import Begun, Finished, Study
from layergym.evals.report.words import claim, listed, named, rank_range, ratio
from layergym.evals.result_files import RANKING, read_sweep
from layergym.evals.results import Sweep
from layergym.evals.stats import Estimate
from layergym.evals.stats.board import Board

if TYPE_CHECKING:
    from layergym.evals.sweep.spec import ResolvedSweep, SweepSpec

EXAMPLES = """
examples:
  layergym compare runs/sweep                       a sweep with --eval-tasks: scored on others
  layergym compare runs/sweep --arms full,single:best,middle:5,top:5,boost-top:5,lora-middle:5
  layergym compare runs/sweep --arms top:3,random:3,lora --seeds 10 11 12 --out runs/guided
  layergym compare runs/sweep --eval-split valid    a sweep that was scored on all test tasks

"single:best", "top:k" and "bottom:k" go by the sweep's ranking. The comparison trains with other
seeds and is scored on other tasks than that ranking, so that no layer profits twice from one
lucky draw. Go on after an interruption with: layergym sweep --resume OUT
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder with a ranking of the layers")
    add_arms(parser, "who is compared (default: the second example's)")
    parser.add_argument("--seeds", type=SEED, nargs="+", help="default: as many as the sweep, new")
    parser.add_argument(
        "--eval-split", type=text, help="split of the scored tasks (default: the sweep's)"
    )
    parser.add_argument(
        "--eval-tasks",
        type=TASKS,
        help="scored tasks (default: as many as the sweep, or what is left)",
    )
    parser.add_argument("--jobs", type=JOBS, help="processes side by side (default: cores or GPUs)")
    parser.add_argument("--out", help="folder of the comparison (default: SWEEP-compared)")


def run(args: Namespace, out: Output) -> Begun:
    """Write the ranking down and begin the comparison."""
    from layergym.evals.sweep.executors.launch import Launch
    from layergym.evals.sweep.guided import begin, take_back

    sweep = _all_run(args.sweep)
    ranking = profile(read_sweep(args.sweep))
    place = f"{args.sweep}-compared" if args.out is None else args.out
    take_back(Path(place))
    folder = new_folder(place, "layergym sweep --resume")
    launch = Launch(jobs=args.jobs)
    launch.check(sweep.spec.run.sampler)
    spec = _spec(args, sweep, ranking, folder)
    begin(spec, folder, sweep.spec, ranking)
    out.show(
        f"ranked on {ranking.tasks} tasks of {args.sweep}; compared on {spec.eval.size} others, "
        f"with seeds {', '.join(map(str, spec.seeds))}"
    )
    return Begun(folder, launch)


def _all_run(folder: Path) -> ResolvedSweep:
    """The sweep in `folder`, all of whose runs have come to their end."""
    from layergym.evals.sweep.next_jobs import next_jobs
    from layergym.evals.sweep.resolve import resolve
    from layergym.evals.sweep.spec import read_spec

    sweep = resolve(read_spec(folder), folder)
    if waiting := next_jobs(sweep):
        raise InputError(
            f"{folder} is not finished (runs to go: {len(waiting)}), so its ranking may change; "
            f"first: {shell_line('sweep', '--resume', folder)}"
        )
    return sweep


def _spec(args: Namespace, sweep: ResolvedSweep, ranking: LayerProfile, folder: Path) -> SweepSpec:
    from layergym.evals.sweep.guided import STRATEGIES, comparison, seen_seeds
    from layergym.evals.sweep.tuning import settle_rates

    arms = arms_of(args.arms) or STRATEGIES
    after = max(seen_seeds(sweep.spec)) + 1
    seeds = args.seeds or range(after, after + len(sweep.spec.seeds))
    spec = comparison(
        sweep.spec,
        ranking,
        folder,
        arms,
        tuple(seeds),
        split=args.eval_split,
        size=args.eval_tasks,
    )
    tuning = settle_rates(sweep)
    return replace(spec, lr_full=tuning.full, lr_layer=tuning.layer) if tuning else spec


def sections(finished: Finished) -> tuple[Section, ...]:
    """What the arms train, how they rank, and where their ranking comes from.

    Nothing where no arm goes by a ranking.

    Raises:
        InputError: the manifest's account of the ranking is damaged.
    """
    sweep, profile = finished.sweep, finished.profile
    origin = sweep.manifest.get("ranking")
    if not isinstance(origin, Mapping):
        return _unrecorded(sweep)
    ranking = read_profile(sweep.path / RANKING)
    ranks = rank_ranges(finished.board)
    try:
        about = _origin(origin, ranking, sweep, profile)
        table = _table(origin["layers"], ranking, profile, ranks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        path = sweep.path / "manifest.json"
        raise InputError(
            f"{path}: its ranking is not whole ({briefly(error)}); "
            "write it again with layergym report"
        ) from None
    return (Section("Guided strategies", (_verdict(profile, ranks), table, about)),)


def rank_ranges(board: Board[ArmName]) -> dict[ArmName, tuple[int, int]]:
    """Best and worst rank of every trained arm that the data allow, the highest score first.

    The sets hold for all arms together with 95 % confidence (`stats.rank_sets`).
    """
    trained = [arm for arm in board.tables if arm.trained]
    ranks = board.ranks(trained)
    order = np.argsort(-board.scores[board.at(trained)], kind="stable")
    return {trained[place]: ranks[trained[place]] for place in order}


def _unrecorded(sweep: Sweep) -> tuple[Section, ...]:
    """A warning where arms go by a profile that `layergym compare` did not keep apart."""
    arms = [arm for arm in sweep.asked.extra if "@" in arm]
    if not arms:
        return ()
    text = (
        f"{', '.join(arms)}: it is not recorded whether that ranking was made with the tasks and "
        "seeds of this sweep. If it was, these arms profit twice from one lucky draw; layergym "
        "compare keeps them apart."
    )
    return (Section("Guided strategies", (Text(text, "warning"),)),)


def _verdict(scored: LayerProfile, ranks: Mapping[ArmName, tuple[int, int]]) -> Text:
    first, *others = ranks
    same = [arm.label for arm in others if ranks[arm][0] == 1]
    verdict = f"Highest {named(scored.scored)}: {first.label}"
    if same:
        verdict += f"; not distinguishable from it: {', '.join(same)}"
    elif others:
        verdict += ", distinguishably above every other arm"
    return claim(scored, f"{verdict} (95 % intervals of all pairs, jointly).")


def _table(
    layers: Mapping[str, Sequence[int]],
    ranking: LayerProfile,
    scored: LayerProfile,
    ranks: Mapping[ArmName, tuple[int, int]],
) -> Table:
    # A layer was picked for what it had then, so that needs the interval that holds for all.
    then = {arm.arm: arm.joint_contribution for arm in ranking.measures[0].arms}
    now = {arm.arm: arm.contribution for arm in scored.measures[0].arms}
    rows = []
    for arm, allowed in ranks.items():
        chosen = layers.get(arm, ())
        single = len(chosen) == 1 and arm.whole_layers
        rows.append(
            (
                arm.label,
                listed(chosen) or "all",
                _ratio(then, ArmName.of_layer(chosen[0]) if single else None),
                _ratio(now, arm),
                rank_range(allowed),
            )
        )
    columns = ("arm", "layers", "contribution when ranked", "contribution here", "rank")
    return Table(
        "What each arm trains or boosts, contribution with 95 % intervals (Fieller; joint "
        "when ranked), and the ranks that the data allow (joint)",
        columns,
        tuple(rows),
    )


def _ratio(known: Mapping[ArmName, Estimate | None], arm: ArmName | None) -> str:
    return ratio(known[arm]) if arm is not None and arm in known else "-"


def _origin(
    origin: Mapping[str, Any], ranking: LayerProfile, sweep: Sweep, scored: LayerProfile
) -> Text:
    panel = sweep.panel
    assert panel is not None
    seeds = sorted({run.seed for run in sweep.runs if run.arm.trained})
    return Text(
        f"Layers were ranked in {ranking.name}, on {ranking.tasks} tasks of the "
        f"{origin['split']} split with {_seeds(origin['seeds'])}. These arms were trained with "
        f"{_seeds(seeds)} and scored on {scored.tasks} other tasks, of the {panel.split} split, so "
        "no layer profits twice from the luck by which it was chosen. What was highest when ranked "
        "tends to be too high there; it is not here."
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {listed(seeds)}"


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)
