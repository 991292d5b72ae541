"""Take full training apart: where its gain lies, by evaluations alone.

Variants of a full run are scored on the episodes of its sweep, so that all are paired: each layer
*moved* into the base, each layer *put back* to the base's values, modules, prefixes and suffixes of
the stack, the update scaled, rounded, or cut to its largest directions; single-layer runs stacked
into one model; one seed's layer in another's run; coalitions of layers, for Shapley values. Nothing
is trained. Every evaluation is kept as it ends, under SWEEP/dissect (`contribution/dissected.py`).
"""

from __future__ import annotations

import hashlib
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layergym.base.errors import InputError
from layergym.command.console import Output
from layergym.command.options import add_compute, add_panel
from layergym.command.values import seconds, whole
from layergym.evals.contribution.cuts import DEFAULT, SETS, Cut, Stack, cuts
from layergym.evals.contribution.dissected import Store, coalition_name, read_dissected
from layergym.evals.report.model import Report, Section
from layergym.evals.report.render.terminal import show
from layergym.evals.report.sections.dissected import dissected_section
from layergym.evals.report.study import Finished, Study
from layergym.evals.results import Sweep, is_sweep, read_run, read_sweep
from layergym.evals.stats.shapley import (
    coalitions_of,
    every_coalition,
    order_pairs,
    pairs_within,
)

if TYPE_CHECKING:
    from layergym.evals.sweep.panels import EvalSpec
    from layergym.evals.sweep.variants import Bench, Runs
    from layergym.trainer.spec import RunSpec

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
    parser.add_argument("--max-time", metavar="TIME", help="30m, 8h: stop after it, to go on later")
    add_panel(parser, of="the sweep's")
    add_compute(parser, of="as the run")


@dataclass(frozen=True)
class Subject:
    """What is taken apart."""

    path: Path
    run: RunSpec
    spec: EvalSpec
    runs: Runs
    sweep: Sweep | None
    """None for a run that stands alone."""
    temperature: float


def run(args: Namespace, out: Output) -> None:
    """Score what is missing, measure the weights, and show what was found."""
    from layergym.evals.sweep.variants import Bench

    deadline = time.monotonic() + seconds(args.max_time) if args.max_time is not None else None
    subject = _subject(args)
    bench = Bench(subject.run, subject.spec, subject.runs, subject.temperature)
    store = Store(subject.path / "dissect" / _key(bench))
    pairs = _pairs(args, bench) if "shapley" in args.sets else {}
    store.ask(
        layers=bench.layers,
        pairs={**_known_pairs(store), **pairs},
        episodes=_trained_episodes(subject),
    )
    _keep_known(subject, bench, store)
    for seed in subject.runs.full:
        asked = _asked(args.sets, subject, bench, seed, pairs)
        todo = [cut for cut in asked if not store.has(seed, cut.name)]
        for done, result in enumerate(bench.play_all(todo, seed), 1):
            store.keep(seed, result)
            out.note(f"{result.arm}, seed {seed}: {result.rates.mean():.1%} ({done}/{len(todo)})")
            if deadline and time.monotonic() > deadline:
                raise InputError("time is up; the same command goes on from here")
    store.keep_weights(_weights(bench))
    section = _section(subject.path, store.path)
    show(Report("Dissected", subject.path.name, (section,), ()), out.results)
    found = next(one for one in read_dissected(subject.path) if one.path == store.path)
    for seed, results in found.results.items():
        for name, result in results.items():
            rate = float(result.rates.mean())
            out.record(event="variant", variant=name, seed=seed, success=rate)


def _subject(args: Namespace) -> Subject:
    """The sweep or run that the arguments name.

    Raises:
        InputError: it has no finished full training.
    """
    from layergym.evals.sweep.panels import EvalSpec
    from layergym.evals.sweep.spec import read_spec
    from layergym.evals.sweep.variants import Runs
    from layergym.trainer.spec import RunSpec

    sweep = read_sweep(args.folder) if is_sweep(args.folder) else None
    if sweep:
        settings = read_spec(args.folder)
        spec, eval_spec = settings.run, settings.eval
        done = [run for run in sweep.runs if (run.path / "delta.safetensors").is_file()]
        full = {run.seed: run.path for run in done if run.arm == "full"}
        single = {(run.arm.layer, run.seed): run.path for run in done}
        alone = {(k, s): path for (k, s), path in single.items() if k is not None and s in full}
    else:
        spec, eval_spec = RunSpec.read(args.folder), EvalSpec()
        full, alone = {read_run(args.folder).seed: args.folder}, {}
    missing = [path for path in full.values() if not (path / "delta.safetensors").is_file()]
    if not full or missing:
        raise InputError(f"{args.folder} has no finished full training to take apart")
    return Subject(
        path=args.folder,
        run=replace(spec, dtype=args.dtype or spec.dtype, device=args.device),
        spec=replace(
            eval_spec,
            size=eval_spec.size if args.eval_tasks is None else args.eval_tasks,
            repeats=eval_spec.repeats if args.eval_repeats is None else args.eval_repeats,
        ),
        runs=Runs(
            {s: path / "delta.safetensors" for s, path in sorted(full.items())},
            {key: path / "delta.safetensors" for key, path in sorted(alone.items())},
        ),
        sweep=sweep,
        temperature=next((t for t in eval_spec.temperatures if t), 1.0),
    )


def _key(bench: Bench) -> str:
    """The name of the folder for all that is scored on the same episodes in the same way."""
    spec = bench.spec
    about = (bench.panel.hash, spec.repeats, spec.seed, bench.temperature, spec.score)
    return hashlib.sha256(repr((*about, bench.run.dtype)).encode()).hexdigest()[:12]


def _known_pairs(store: Store) -> dict[int, int]:
    known = [one for one in read_dissected(store.path.parents[1]) if one.path == store.path]
    return dict(known[0].pairs) if known else {}


def _keep_known(subject: Subject, bench: Bench, store: Store) -> None:
    """Take over from the sweep what it has played itself: the same episodes, the same models."""
    if subject.sweep is None or bench.run.dtype != subject.sweep.settings["run"].get("dtype"):
        return
    bases = subject.sweep.results("base", bench.temperature)
    for seed in subject.runs.full:
        taken = [("base", base) for base in bases[:1]]
        for run in subject.sweep.runs:
            layer = run.arm.layer
            if run.seed == seed and (run.arm == "full" or layer is not None):
                name = run.arm if layer is None else f"alone-{layer}"
                taken += [(name, r) for r in run.evals if r.temperature == bench.temperature]
        for name, result in taken:
            same = result.panel_hash == bench.panel.hash and result.repeats == bench.spec.repeats
            if same and not store.has(seed, name):
                store.keep(seed, replace(result, arm=name, seed=seed))


def _asked(
    sets: Sequence[str], subject: Subject, bench: Bench, seed: int, pairs: Mapping[int, int]
) -> list[Cut]:
    """The variants of one seed: base, full and single layers, then what the sets name."""
    trained = [layer for layer, of in subject.runs.alone if of == seed]
    gained = {
        run.arm.layer: float(result.rates.mean())
        for run in (subject.sweep.runs if subject.sweep else ())
        for result in run.evals
        if run.seed == seed and result.temperature == bench.temperature
    }
    stack = Stack(
        layers=bench.layers,
        modules=bench.modules,
        alone=tuple(sorted(trained, key=lambda layer: -gained.get(layer, 0.0))),
        others=tuple(other for other in subject.runs.full if other != seed),
    )
    chosen = [Cut("base"), Cut("full"), *(Cut("alone", str(layer)) for layer in sorted(trained))]
    chosen += cuts([name for name in sets if name in SETS], stack)
    if seed in pairs:
        orders = order_pairs(bench.layers, pairs[seed], seed=seed)
        coalitions = coalitions_of(orders) if orders else list(every_coalition(bench.layers))
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
    if budget < every and min(found.values()) < 2:
        raise InputError(f"{budget} evaluations are too few for Shapley values; give more")
    return found


def _trained_episodes(subject: Subject) -> int:
    """Episodes that the single-layer runs of one seed have trained on."""
    layers = len({layer for layer, _ in subject.runs.alone})
    run = subject.run
    return layers * run.steps * run.tasks_per_step * run.group_size


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


def _section(folder: Path, panel: Path) -> Section:
    found = next(one for one in read_dissected(folder) if one.path == panel)
    return dissected_section(found)


def sections(finished: Finished) -> tuple[Section, ...]:
    """What was found, panel by panel; nothing where nothing was taken apart."""
    return tuple(map(dissected_section, read_dissected(finished.sweep.path)))


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)
