"""Score a sweep's arms on tasks that they were not trained on.

    RUN/retention/<source>.json   one score per question, or per window of a text

Scores of all arms are about the same items, so their differences are paired.
"""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.command.console import Output
from layergym.command.options import add_arms, add_compute, arms_of
from layergym.command.values import ROWS
from layergym.evals import stats
from layergym.evals.contribution.measure import SEED
from layergym.evals.contribution.profile import profile
from layergym.evals.report.model import Block, Report, Section, Table, Text
from layergym.evals.report.render.terminal import show
from layergym.evals.report.study import Finished, Study
from layergym.evals.report.words import percent_with_interval, points, with_interval
from layergym.evals.results import Run, Sweep, arm_label, read_sweep
from layergym.evals.stats import Estimate, Floats

if TYPE_CHECKING:
    from layergym.evals.score.sources import Source

NLL = "nll"
"""The measure that is a loss in nats per token; all others are shares that are right."""
EXAMPLES = """
examples:
  layergym retention runs/sweep --choice arc_challenge_test.json --text novel.txt
  layergym retention runs/sweep --arms base full 3 random --choice mmlu/test/anatomy_test.csv
  layergym retention runs/sweep --lm-eval hellaswag --limit 500   needs: layergym[lm-eval]

Questions are in ARC's or MMLU's formats. What was scored already is kept; reports show it.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    add_arms(parser, "who is scored (default: base, full and the highest layer)")
    parser.add_argument("--choice", nargs="+", type=Path, default=[], help="files of questions")
    parser.add_argument("--text", nargs="+", type=Path, default=[], help="plain texts: perplexity")
    parser.add_argument("--lm-eval", nargs="+", default=[], metavar="TASK", help="harness tasks")
    parser.add_argument("--include", type=Path, help="folder with further harness tasks (YAML)")
    parser.add_argument("--limit", type=ROWS, help="questions of each source at most")
    add_compute(parser, of="as each run")


def run(args: Namespace, out: Output) -> None:
    """Score what is missing and show the comparison."""
    from layergym.evals.sweep.spec import arm_name

    sweep = read_sweep(args.sweep)
    sources = _sources(args)
    arms = list(map(arm_name, arms_of(args.arms))) or _usual(sweep)
    retain(
        sweep,
        arms,
        sources,
        lambda run, source: out.note(f"{run.arm}, seed {run.seed}: {source.name}"),
        dtype=args.dtype,
        device=args.device,
    )
    runs = [run for run in sweep.runs if run.arm in arms]
    section = retention_section(runs)
    if section is None:
        raise InputError("what to score on? give --choice, --text or --lm-eval")
    show(Report("Retention", args.sweep.name, (section,), ()), out.results)
    for comparison in compared(read_kept(runs)) if out.json else ():
        about = {name: getattr(comparison, name) for name in ("source", "measure", "items")}
        for arm in comparison.arms:
            out.record(event="retention", **about, **asdict(arm))


def _sources(args: Namespace) -> list[Source]:
    from layergym.evals.score.harness import Harness
    from layergym.evals.score.sources import Choice, Prose

    sources: list[Source] = [Choice.read(path, args.limit) for path in args.choice]
    sources += [Prose.read(path) for path in args.text]
    sources += [Harness(task, args.include, args.limit) for task in args.lm_eval]
    return sources


def _usual(sweep: Sweep) -> list[str]:
    best = profile(sweep).measures[0].best
    return ["base", "full", *([best.arm] if best else [])]


@dataclass(frozen=True, slots=True)
class Kept:
    """How one run scored on one source."""

    source: str
    digest: str
    arm: str
    seed: int
    scores: Mapping[str, tuple[float, ...]]


def retain(
    sweep: Sweep,
    arms: Sequence[str],
    sources: Sequence[Source],
    on_run: Callable[[Run, Source], None] = lambda run, source: None,
    *,
    dtype: str | None = None,
    device: str = "auto",
) -> None:
    """Score the runs of `arms` on `sources`; what was scored on the same items already is kept.

    Args:
        sweep: whose runs.
        arms: which of them.
        sources: what to score on.
        on_run: told what is scored next.
        dtype: as `open_policy`.
        device: as `open_policy`.

    Raises:
        InputError: an arm is not in the sweep, a run is not finished, or two sources share a name.
    """
    from layergym.evals.score.policies import open_policy

    names = [source.name for source in sources]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f'two sources are called "{twice[0]}"; rename one file')
    if missing := [arm for arm in arms if arm not in sweep.arms]:
        raise InputError(f'{sweep.path} has no arm "{missing[0]}"; it has {", ".join(sweep.arms)}')
    for run in (run for run in sweep.runs if run.arm in arms):
        todo = [source for source in sources if not _scored(run, source)]
        if not todo:
            continue
        model, tokenizer = open_policy(run, dtype=dtype, device=device)
        for source in todo:
            on_run(run, source)
            kept = Kept(
                source.name, source.digest, run.arm, run.seed, source.score(model, tokenizer)
            )
            write_json(_file(run, source.name), asdict(kept))


def read_kept(runs: Sequence[Run]) -> tuple[Kept, ...]:
    """Everything that `retain` found.

    Raises:
        InputError: a file is damaged.
    """
    files = (file for run in runs for file in sorted((run.path / "retention").glob("*.json")))
    return tuple(map(_read, files))


@dataclass(frozen=True, slots=True)
class Retained:
    """One arm on one measure of a source."""

    arm: str
    score: Estimate
    less_base: Estimate | None
    less_full: Estimate | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All arms on one measure of a source, paired over items."""

    source: str
    measure: str
    items: int
    arms: tuple[Retained, ...]
    left_out: tuple[Kept, ...]
    """Runs that were scored on other items of the source, so they cannot be paired."""


def compared(kept: Sequence[Kept]) -> Iterator[Comparison]:
    """Compare on every measure of every source.

    Where runs were scored on different items of a source, those of the base count; without a
    base, those that most runs were scored on.
    """
    for source in dict.fromkeys(one.source for one in kept):
        every = [one for one in kept if one.source == source]
        base = [one for one in every if one.arm == "base"]
        [(chosen, _)] = Counter(one.digest for one in base or every).most_common(1)
        own = [one for one in every if one.digest == chosen]
        left_out = tuple(one for one in every if one.digest != chosen)
        for measure in own[0].scores:
            tables = {
                arm: np.array([one.scores[measure] for one in own if one.arm == arm])
                for arm in dict.fromkeys(one.arm for one in own)
            }
            items = tables[own[0].arm].shape[1]
            yield Comparison(source, measure, items, _compare(tables, measure), left_out)


def _compare(tables: Mapping[str, Floats], measure: str) -> tuple[Retained, ...]:
    arms = list(tables)
    trained = [arm != "base" for arm in arms]
    draws = stats.joint_draws(list(tables.values()), trained, seed=SEED)

    def loss(table: Floats, drawn: Floats) -> Estimate:
        value = float(table.mean())
        return stats.interval(value, drawn) if table.shape[1] > 1 else Estimate(value)

    def less(arm: str, other: str) -> Estimate | None:
        if other not in tables or arm in (other, "base"):
            return None
        gap = draws[:, arms.index(arm)] - draws[:, arms.index(other)]
        if measure == NLL:
            return loss(tables[arm] - tables[other].mean(axis=0), gap)
        return stats.difference_interval(tables[other], tables[arm], gap)

    def score(arm: str) -> Estimate:
        own = draws[:, arms.index(arm)]
        if measure == NLL:
            return loss(tables[arm], own)
        return stats.score_interval(tables[arm], own)

    return tuple(Retained(arm, score(arm), less(arm, "base"), less(arm, "full")) for arm in arms)


def _scored(run: Run, source: Source) -> bool:
    file = _file(run, source.name)
    return file.is_file() and _read(file).digest == source.digest


def _file(run: Run, source: str) -> Path:
    return run.path / "retention" / f"{source}.json"


def _read(file: Path) -> Kept:
    value = read_json(file)
    try:
        scores = {str(k): tuple(map(float, v)) for k, v in value["scores"].items()}
        return Kept(
            source=str(value["source"]),
            digest=str(value["digest"]),
            arm=str(value["arm"]),
            seed=int(value["seed"]),
            scores=scores,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} holds no scores ({briefly(error)}); delete it") from None


def sections(finished: Finished) -> tuple[Section, ...]:
    """What training cost elsewhere; nothing where no run was scored elsewhere."""
    section = retention_section(finished.sweep.runs)
    return (section,) if section else ()


def retention_section(runs: Sequence[Run]) -> Section | None:
    """Scores of all arms on retention sources; None when there are none."""
    blocks: list[Block] = []
    left_out: dict[str, str] = {}
    for found in compared(read_kept(runs)):
        blocks.append(_table(found))
        blocks += [Text(told)] if (told := _verdict(found)) else []
        if found.left_out:
            left_out[found.source] = _left_out(found)
    blocks += [Text(told, "warning") for told in left_out.values()]
    return Section("Retention", tuple(blocks)) if blocks else None


def _table(found: Comparison) -> Table:
    arms, measure = found.arms, found.measure
    if measure == NLL:
        what = f"Perplexity on {found.source} ({found.items} windows)"
        rows = [
            (arm_label(a.arm), perplexity(a.score), change(a.less_base), change(a.less_full))
            for a in arms
        ]
        columns = ("arm", "perplexity", "against base, percent", "against full, percent")
    else:
        what = f"{found.source}, {measure} ({found.items} questions), percent"
        rows = [
            (
                arm_label(a.arm),
                percent_with_interval(a.score),
                _points(a.less_base),
                _points(a.less_full),
            )
            for a in arms
        ]
        columns = ("arm", measure, "less base, points", "less full, points")
    return Table(f"{what}, with 95 % intervals paired over items", columns, tuple(rows))


def perplexity(loss: Estimate) -> str:
    """The perplexity of a loss in nats per token, with its interval."""
    ends = (None if end is None else math.exp(end) for end in (loss.low, loss.high))
    return with_interval(Estimate(math.exp(loss.value), *ends), 1, "{:z.2f}")


def change(loss: Estimate | None) -> str:
    """A difference of losses as the change of perplexity in percent."""
    if loss is None:
        return ""
    ends = (None if end is None else math.expm1(end) for end in (loss.low, loss.high))
    return with_interval(Estimate(math.expm1(loss.value), *ends), 100, "{:+z.1f}")


def _points(gap: Estimate | None) -> str:
    return "" if gap is None else points(gap)


def _left_out(found: Comparison) -> str:
    """Who was scored on other items, and how to mend that."""
    runs = [
        f"{arm_label(one.arm)}, seed {one.seed} ({len(one.scores.get(found.measure, ()))} items)"
        for one in found.left_out
    ]
    return (
        f"Scored on another version of {found.source} and left out: {'; '.join(runs)}. To compare "
        "them too, run layergym retention again for these arms with the same file and --limit."
    )


def _verdict(on: Comparison) -> str:
    """Which arms forgot something, in one sentence."""
    lower, higher = ("better", "worse") if on.measure == NLL else ("worse", "better")
    found: dict[str, list[str]] = {}
    for arm in on.arms:
        gap = arm.less_base
        if gap is None or gap.low is None or gap.high is None:
            continue
        verdict = lower if gap.high < 0 else higher if gap.low > 0 else "not distinguishable"
        found.setdefault(verdict, []).append(arm_label(arm.arm))
    told = (f"{verdict}: {', '.join(names)}" for verdict, names in found.items())
    return f"On {on.source}, against the base, {'; '.join(told)}." if found else ""


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)
