"""Let a sweep's models vote, against as many samples of one model.

An ensemble by majority (`evals/score/voting.py`): the given arms, as many samples of full and of
the base, which is self-consistency at the same price, and full alone. Voting of single-layer
models is a follow-up in arXiv 2607.01232.

    SWEEP/votes/<voters>/votes.json and <ensemble>/seed-<s>/evals/
"""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.command.console import Output
from layergym.command.options import add_arms, add_compute, add_panel, arms_of
from layergym.evals import stats
from layergym.evals.contribution.measure import SEED
from layergym.evals.report.model import Block, Report, Section, Table, Text
from layergym.evals.report.render.terminal import show
from layergym.evals.report.study import Finished, Study
from layergym.evals.report.words import named, percent_with_interval, points, together
from layergym.evals.results import (
    EvalResult,
    Run,
    Sweep,
    arm_label,
    layer_of,
    read_eval,
    read_sweep,
    write_eval,
)
from layergym.evals.stats import Estimate

if TYPE_CHECKING:
    from layergym.evals.sweep.run_arm import EvalSpec
    from layergym.evals.sweep.spec import SweepSpec
    from layergym.trainer.layers.delta import LayerDelta
    from layergym.trainer.run import RunSpec

FOLDER = "votes"
EXAMPLES = """
examples:
  layergym vote runs/sweep                             all single layers against full, base
  layergym vote runs/sweep --arms 3 4 5 --eval-tasks 100

At every turn each model is sampled once and the most frequent action is taken. Full training and
the base are sampled as many times: self-consistency at the same price. Reports show it.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    add_arms(parser, "who votes (default: all single layers)")
    add_panel(parser, of="the sweep's")
    add_compute(parser, of="as the sweep")


def run(args: Namespace, out: Output) -> None:
    """Score the ensembles of every seed and compare them."""
    from layergym.evals.sweep.folder import read_spec
    from layergym.evals.sweep.spec import arm_name

    sweep, spec = read_sweep(args.sweep), read_spec(args.sweep)
    own = replace(spec.run, dtype=args.dtype or spec.run.dtype, device=args.device)
    spec = replace(spec, run=own)
    scored = replace(
        spec.eval,
        size=spec.eval.size if args.eval_tasks is None else args.eval_tasks,
        repeats=spec.eval.repeats if args.eval_repeats is None else args.eval_repeats,
    )
    voters = list(map(arm_name, arms_of(args.arms))) or [
        arm for arm in sweep.arms if layer_of(arm) is not None and sweep.temperatures(arm)
    ]
    out.note(f"voters: {', '.join(map(arm_label, voters))}")
    votes = vote_all(
        sweep, spec, scored, voters, lambda each: out.note(f"{each.name}, seed {each.seed}")
    )
    show(Report("Votes", args.sweep.name, (vote_section([votes]),), ()), out.results)
    for result in votes.results:
        out.record(
            event="vote",
            ensemble=result.arm,
            seed=result.seed,
            tasks=len(result.tasks),
            repeats=result.repeats,
            success=float(result.rates.mean()),
        )


def vote(
    run: RunSpec, spec: EvalSpec, deltas: Sequence[LayerDelta | None], name: str, *, seed: int
) -> EvalResult:
    """Score one ensemble on the panel of `spec` at its first temperature above 0.

    Args:
        run: the sweep's run, for environment, model and reply format.
        spec: panel, repeats and seed of the evaluation.
        deltas: one per voter; None is the base.
        name: under which the result is filed, as an arm.
        seed: of the reinforcement learning runs that vote.

    Raises:
        InputError: there are no voters, or a delta belongs to another base.
    """
    from layergym.agents.llm import LLMAgent
    from layergym.agents.names import open_model
    from layergym.evals.score.evaluate import Label, evaluate
    from layergym.evals.score.voting import Member, VoteSampler
    from layergym.evals.sweep.run_arm import scored_panel
    from layergym.trainer.run import agent_of, make_env_of

    if not deltas:
        raise InputError("an ensemble needs at least one voter")
    model, tokenizer = open_model(run.model, dtype=run.dtype, device=run.device)
    for delta in {id(d): d for d in deltas if d is not None}.values():
        delta.apply(model).put(model)  # Refuses another base.
    temperature = next((t for t in spec.temperatures if t), 1.0)
    alone = [agent_of(run, model, tokenizer, temperature) for _ in deltas]
    members = [Member(a.sampler, d) for a, d in zip(alone, deltas, strict=True)]
    style = alone[0].style
    voters = VoteSampler(model, members, tokenizer, style.format)
    return evaluate(
        LLMAgent(voters, tokenizer, style),
        make_env_of(run, spec.split),
        scored_panel(run, spec),
        Label(name, temperature, seed, spec.score),
        repeats=spec.repeats,
        seed=spec.seed,
    )


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Who votes together."""

    name: str
    seed: int
    """Of the runs that vote; the base's own where only the base does."""
    members: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Votes:
    """What was found about one choice of voters."""

    voters: tuple[str, ...]
    results: tuple[EvalResult, ...]
    """Of the voters and of as many samples of full, for every seed; then of the base, and of full
    alone."""


def ensembles(sweep: Sweep, voters: Sequence[str], seeds: Sequence[int]) -> list[Ensemble]:
    """Who votes: the given arms, as many samples of full, as many of the base, and full alone.

    The base has no seed of training, so its ensemble is one for all seeds.

    Raises:
        InputError: there are too few voters, or an arm has no run with one of the seeds.
    """
    count = len(voters)
    if count < 3:
        raise InputError(
            f"{count} voters decide nothing: at a tie the first one wins; let 3 or more vote"
        )
    runs = {(run.arm, run.seed): run for run in sweep.runs}
    base = next(run for run in sweep.runs if run.arm == "base")

    def run_of(arm: str, seed: int) -> Run:
        found = base if arm == "base" else runs.get((arm, seed))
        if found is None:
            raise InputError(f"{sweep.path} has no run of {arm} with seed {seed}")
        return found

    alike = "layers" if all(layer_of(arm) is not None for arm in voters) else "arms"
    return [
        *(Ensemble(f"{alike}-x{count}", s, tuple(run_of(a, s) for a in voters)) for s in seeds),
        *(Ensemble(f"full-x{count}", s, (run_of("full", s),) * count) for s in seeds),
        Ensemble(f"base-x{count}", base.seed, (base,) * count),
        *(Ensemble("full-x1", s, (run_of("full", s),)) for s in seeds),
    ]


def vote_all(
    sweep: Sweep,
    spec: SweepSpec,
    scored: EvalSpec,
    voters: Sequence[str],
    on_ensemble: Callable[[Ensemble], None] = lambda ensemble: None,
) -> Votes:
    """Score every ensemble of `ensembles`; what was scored already is kept.

    Args:
        sweep: the sweep's folder as it was read.
        spec: its settings.
        scored: panel, repeats and seed of the evaluation.
        voters: arms.
        on_ensemble: called before each is scored.
    """
    from layergym.evals.sweep.run_arm import scored_panel

    chosen = ensembles(sweep, voters, spec.seeds)
    key = repr((tuple(voters), scored_panel(spec.run, scored).hash, scored.repeats, scored.seed))
    place = sweep.path / FOLDER / hashlib.sha256(key.encode()).hexdigest()[:12]
    folders = [place / one.name / f"seed-{one.seed}" for one in chosen]
    results = []
    for one, folder in zip(chosen, folders, strict=True):
        files = sorted((folder / "evals").glob("*.json"))
        if not files:
            on_ensemble(one)
            deltas = [_delta(member) for member in one.members]
            found = vote(spec.run, scored, deltas, one.name, seed=one.seed)
            files = [write_eval(folder, found)]
        results.append(read_eval(files[0]))
    kept = [str(folder.relative_to(place)) for folder in folders]
    write_json(place / "votes.json", {"voters": list(voters), "ensembles": kept})
    return Votes(tuple(voters), tuple(results))


def read_votes(folder: Path) -> tuple[Votes, ...]:
    """All choices of voters that `vote_all` finished in a sweep's folder.

    Raises:
        InputError: a file is damaged.
    """
    return tuple(map(_read, sorted((folder / FOLDER).glob("*/votes.json"))))


def _read(path: Path) -> Votes:
    value = read_json(path)
    try:
        places = [path.parent / str(place) / "evals" for place in value["ensembles"]]
        results = tuple(read_eval(file) for place in places for file in place.glob("*.json"))
        return Votes(tuple(map(str, value["voters"])), results)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} holds no votes ({briefly(error)}); delete its folder") from None


def _delta(run: Run) -> LayerDelta | None:
    from layergym.trainer.layers.delta import LayerDelta

    return None if run.arm == "base" else LayerDelta.load(run.path / "delta.safetensors")


def sections(finished: Finished) -> tuple[Section, ...]:
    """Who voted better in this sweep; nothing where nobody voted."""
    votes = read_votes(finished.sweep.path)
    return (vote_section(votes),) if votes else ()


def vote_section(votes: Sequence[Votes]) -> Section:
    """Scores of ensembles, each against as many samples of full."""
    return Section("Votes", tuple(block for each in votes for block in _compared(each)))


def _compared(votes: Votes) -> tuple[Block, ...]:
    """One choice of voters: everything is paired over tasks."""
    results = votes.results
    names = list(dict.fromkeys(result.arm for result in results))
    tables = [np.array([r.rates for r in results if r.arm == name]) for name in names]
    trained = [not name.startswith("base") for name in names]
    draws = stats.joint_draws(tables, trained, seed=SEED)
    other = 1

    def against(place: int) -> Estimate:
        gap = draws[:, place] - draws[:, other]
        return stats.difference_interval(tables[other], tables[place], gap)

    rows = tuple(
        (
            name.replace("-x", " x "),
            percent_with_interval(stats.score_interval(tables[place], draws[:, place])),
            "" if place == other else points(against(place)),
        )
        for place, name in enumerate(names)
    )
    first, seeds = results[0], len(tables[0])
    caption = (
        f"Majority votes of {together(votes.voters)} on {len(first.tasks)} tasks, "
        f"{first.repeats} episode{'s' * (first.repeats > 1)} per task, "
        f"{seeds} seed{'s' * (seeds > 1)} of training; {named(first.scored)} in percent, "
        "with 95 % intervals"
    )
    columns = ("voters", "score", f"less {names[other].replace('-x', ' x ')}, points")
    return Table(caption, columns, rows), _verdict(names, other, against(0))


def _verdict(names: Sequence[str], other: int, gap: Estimate) -> Text:
    mine, theirs = (names[i].replace("-x", " x ") for i in (0, other))
    told = f"{mine} against {theirs}, the same number of samples: {points(gap)} points"
    if gap.above(0):
        return Text(f"{told}. Different layers vote better than one model does.", "finding")
    if gap.high is not None and gap.high < 0:
        return Text(f"{told}. One fully trained model votes better.", "finding")
    return Text(f"{told}. Which votes better is not resolved.")


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)
