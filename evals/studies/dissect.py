"""Take full training apart: where its gain lies, by evaluations alone.

Variants of a full run are scored on the episodes of its sweep, so that all are paired: each layer
*moved* into the base, each layer *put back* to the base's values, modules, prefixes and suffixes of
the stack, the update scaled, rounded, or cut to its largest directions; single-layer runs stacked
into one model; one seed's layer in another's run; coalitions of layers, for Shapley values. Nothing
is trained. Every evaluation is kept as it ends, under SWEEP/dissect (`contribution/dissected.py`).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layergym.base.errors import InputError
from layergym.base.locks import locked
from layergym.command.console import Output
from layergym.command.options import add_compute, add_panel
from layergym.command.values import seconds, whole
from layergym.evals.contribution.cheap import compared
from layergym.evals.contribution.cuts import DEFAULT, SETS, Cut, Stack, cuts
from layergym.evals.contribution.dissected import (
    FEWEST_PAIRS,
    Dissected,
    Store,
    coalition_name,
    read_dissected,
    wanted_coalitions,
)
from layergym.evals.contribution.dissection import dissect
from layergym.evals.contribution.predicted import read_prediction
from layergym.evals.report.model import Report, Section
from layergym.evals.report.render.terminal import show
from layergym.evals.report.sections.cheap import cheap_section
from layergym.evals.report.sections.dissected import dissected_section
from layergym.evals.report.study import Finished, Study
from layergym.evals.stats.shapley import pairs_within

if TYPE_CHECKING:
    from layergym.evals.sweep.subject import Subject
    from layergym.evals.sweep.variants import Bench, PlayBudget

FEW = 8
"""Layers up to which Shapley values are exact unless a budget is given."""
BUDGET = 64
"""Coalitions that are scored for each seed in a deeper model, unless a budget is given."""
EXAMPLES = f"""
examples:
  layergym dissect runs/sweep                        where the gain is, is it redundant, do layers
                                                     trained alone add up
  layergym dissect runs/sweep --sets {" ".join(DEFAULT)} modules scales bfloat16
  layergym dissect runs/sweep --sets shapley --evaluations 64 --max-time 1h
  layergym dissect runs/gigpo --beside runs/grpo      how alike two algorithms moved the weights
  layergym dissect runs/full --eval-tasks 100        a run that stands alone

Called again, it goes on where it stopped, and adds what is new. Reports show it.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, help="sweep folder, or folder of a full run")
    parser.add_argument(
        "--sets",
        nargs="+",
        choices=[*SETS, "shapley"],
        default=list(DEFAULT),
        metavar="SET",
        help=f"which variants: {', '.join(SETS)}, shapley (default: {' '.join(DEFAULT)})",
    )
    parser.add_argument(
        "--evaluations",
        type=whole(2, 1_000_000),
        help="coalitions scored for Shapley values, for each seed (default: all of up to "
        f"{FEW} layers, else {BUDGET})",
    )
    parser.add_argument(
        "--beside",
        nargs="+",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="sweeps or full runs of the same base, of another algorithm say: how alike they moved "
        "the weights, and what one of their layers does in this run (set others)",
    )
    parser.add_argument(
        "--max-time",
        metavar="TIME",
        help="30m, 8h: show what there is by then; the same command goes on",
    )
    add_panel(parser, of="the sweep's")
    add_compute(parser, of="as the run")


def run(args: Namespace, out: Output) -> None:
    """Score what is missing, measure the weights, and show what was found."""
    from layergym.evals.sweep.subject import keep_known, read_subject, trained_episodes
    from layergym.evals.sweep.variants import Bench, PlayBudget

    pace = PlayBudget(seconds(args.max_time) if args.max_time is not None else None)
    subject = _chosen(read_subject(args.folder, args.beside), args)
    bench = Bench(subject.run, subject.spec, subject.runs, subject.temperature)
    store = Store(subject.path / "dissect" / bench.key)
    pairs = _pairs(args, bench) if "shapley" in args.sets else {}
    with locked(store.path):
        store.ask(
            layers=bench.layers,
            pairs={**_known_pairs(store), **pairs},
            episodes=trained_episodes(subject),
        )
        keep_known(subject, bench, store)
        store.keep_weights(_weights(bench))
        todo = {seed: _asked(args.sets, subject, bench, seed, pairs) for seed in subject.runs.full}
        left = _score(bench, store, todo, pace, out)
    if left:
        out.note(f"time is up, {left} evaluations are left; the same command goes on from here")
    _show(subject, store, out)


def _chosen(subject: Subject, args: Namespace) -> Subject:
    """With the panel and the machine that the arguments ask for."""
    run, spec = subject.run, subject.spec
    return replace(
        subject,
        run=replace(run, dtype=args.dtype or run.dtype, device=args.device),
        spec=replace(
            spec,
            size=spec.size if args.eval_tasks is None else args.eval_tasks,
            repeats=spec.repeats if args.eval_repeats is None else args.eval_repeats,
        ),
    )


def _score(
    bench: Bench, store: Store, asked: Mapping[int, Sequence[Cut]], pace: PlayBudget, out: Output
) -> int:
    """Score and keep what is missing, all seeds in turns; how many are left when time is up."""
    todo = {
        seed: [cut for cut in cuts if not store.has(seed, cut.name)] for seed, cuts in asked.items()
    }
    total = sum(map(len, todo.values()))
    while left := sum(map(len, todo.values())):
        for seed, missing in todo.items():
            if not missing:
                continue
            most = pace.most()
            if not most:
                return left
            results = bench.play_some(missing, seed, most)
            pace.did(len(results))
            del missing[: len(results)]
            for result in results:
                store.keep(seed, result)
                out.note(f"{result.arm}, seed {seed}: {result.rates.mean():.1%}")
            done = total - sum(map(len, todo.values()))
            out.note(f"{done} of {total} evaluations")
    return 0


def _show(subject: Subject, store: Store, out: Output) -> None:
    for found in read_dissected(subject.path):
        if found.path == store.path:
            section = _section(found, subject.path)
            show(Report("Dissected", subject.path.name, (section,), ()), out.results)
            for seed, results in found.results.items():
                for name, result in results.items():
                    rate = float(result.rates.mean())
                    out.record(event="variant", variant=name, seed=seed, success=rate)


def _known_pairs(store: Store) -> dict[int, int]:
    known = [one for one in read_dissected(store.path.parents[1]) if one.path == store.path]
    return dict(known[0].pairs) if known else {}


def _asked(
    sets: Sequence[str], subject: Subject, bench: Bench, seed: int, pairs: Mapping[int, int]
) -> list[Cut]:
    """The variants of one seed: base, full and single layers, then what the sets name."""
    trained = [layer for layer, of in subject.runs.alone if of == seed]
    gained: dict[int, list[float]] = {}
    for run in subject.sweep.runs if subject.sweep else ():
        for result in run.evals:
            if run.arm.layer is not None and result.temperature == bench.temperature:
                gained.setdefault(run.arm.layer, []).append(float(result.rates.mean()))
    best = {layer: sum(scores) / len(scores) for layer, scores in gained.items()}
    stack = Stack(
        layers=bench.layers,
        modules=bench.modules,
        alone=tuple(sorted(trained, key=lambda layer: -best.get(layer, 0.0))),
        others=tuple(subject.runs.donors(seed)),
    )
    chosen = [Cut("base"), Cut("full"), *(Cut("alone", str(layer)) for layer in sorted(trained))]
    chosen += cuts([name for name in sets if name in SETS], stack)
    if seed in pairs:
        coalitions = wanted_coalitions(bench.layers, pairs[seed], seed)
        names = [coalition_name(one).partition("-")[2] for one in coalitions if one]
        chosen += [Cut("moved", name) for name in names]
    return list(dict.fromkeys(chosen))


def _pairs(args: Namespace, bench: Bench) -> dict[int, int]:
    """Pairs of orders by seed; 0 for all coalitions.

    Raises:
        InputError: the budget is not enough for one pair.
    """
    every = 2**bench.layers
    budget = args.evaluations or (every if bench.layers <= FEW else BUDGET)
    found = {
        seed: 0 if budget >= every else pairs_within(bench.layers, budget, seed=seed)
        for seed in bench.runs.full
    }
    if budget < every and min(found.values()) < FEWEST_PAIRS:
        raise InputError(f"{budget} evaluations are too few for Shapley values; give more")
    return found


def _weights(bench: Bench) -> dict[str, Any]:
    """How full training moved layers and modules, and how alike runs moved them."""
    parts = [*map(str, range(bench.layers))]
    parts += [p if p in ("embed", "head", "norm") else f"all.{p}" for p in bench.modules]
    return {
        "moved": {
            str(seed): {part: asdict(one) for part, one in bench.movements(seed, parts).items()}
            for seed in bench.runs.full
        },
        "alike": {
            str(layer): {pair: asdict(one) for pair, one in bench.likenesses(layer).items()}
            for layer in range(bench.layers)
        },
    }


def _section(found: Dissected, folder: Path) -> Section:
    return dissected_section(found, read_prediction(folder))


def sections(finished: Finished) -> tuple[Section, ...]:
    """What was found, panel by panel; nothing where nothing was taken apart."""
    folder = finished.sweep.path
    return tuple(_section(found, folder) for found in read_dissected(folder))


def over_sweeps(several: Sequence[Finished]) -> tuple[Section, ...]:
    """Whether cheap measures rank layers as training each alone does, over all sweeps."""
    found = {
        one.sweep.path.name: compared(panel, dissect(panel.tables), read_prediction(one.sweep.path))
        for one in several
        for panel in read_dissected(one.sweep.path)[:1]
    }
    return cheap_section({name: one for name, one in found.items() if one})


STUDY = Study(
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    of_sweep=sections,
    over_sweeps=over_sweeps,
)
