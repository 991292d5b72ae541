"""Gradient statistics of the base beside a sweep's gains (experiment).

Does one batch of rollouts of the base tell which layers will carry the gain? The statistics of
`evals/score/gradients.py` cost one rollout and about two backward passes. Whether any of them ranks
layers as training each alone does is what the report's correlation says; nothing here was
published as a predictor.

    SWEEP/predictor.json (`contribution/predicted.py`)
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layergym.command.console import Output
from layergym.command.options import add_compute
from layergym.command.values import TASKS
from layergym.evals.contribution.measure import Measure
from layergym.evals.contribution.predicted import (
    STATISTICS,
    LayerStatistics,
    Prediction,
    read_prediction,
    write_prediction,
)
from layergym.evals.contribution.profile import profile
from layergym.evals.report.model import Report, Section, Table, Text
from layergym.evals.report.render.terminal import show
from layergym.evals.report.study import Finished, Study
from layergym.evals.report.words import points, ratio
from layergym.evals.result_files import read_sweep
from layergym.evals.stats.agreement import Agreement, agreement

if TYPE_CHECKING:
    from layergym.trainer.spec import RunSpec

EXAMPLES = """
examples:
  layergym predict runs/sweep             one batch of rollouts; the report shows it from then on
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    parser.add_argument("--tasks", type=TASKS, help="tasks of the batch (default: as in a step)")
    add_compute(parser, of="as the sweep")


def run(args: Namespace, out: Output) -> None:
    """Measure, keep and show."""
    from layergym.evals.sweep.spec import read_spec

    spec, measured = read_spec(args.sweep), profile(read_sweep(args.sweep)).measures[0]
    tasks = spec.run.tasks_per_step if args.tasks is None else args.tasks
    own = replace(
        spec.run, tasks_per_step=tasks, dtype=args.dtype or spec.run.dtype, device=args.device
    )
    prediction = predict(own, seed=max(spec.seeds) + 1)
    write_prediction(args.sweep, prediction)
    section = predictor_section(prediction, measured)
    show(Report("Predictor", args.sweep.name, (section,), ()), out.results)
    about = {name: getattr(prediction, name) for name in ("tasks", "episodes", "seed")}
    out.record(event="batch", **about)
    for layer in prediction.layers:
        out.record(event="layer", **asdict(layer))


def predict(run: RunSpec, *, seed: int) -> Prediction:
    """Play one rollout of the base as `run` would and measure every layer's gradient.

    Args:
        run: environment, model, algorithm and sizes.
        seed: of the rollout; with one that no training run had, the batch is a fresh one.

    Raises:
        InputError: fewer than two groups have anything to teach.
    """
    from layergym.agents.names import open_model
    from layergym.agents.rollouts import rollout
    from layergym.agents.types import Group
    from layergym.envs import panel
    from layergym.evals.score.gradients import layer_statistics
    from layergym.trainer.credit.algorithms import Compared, give_credit
    from layergym.trainer.credit.schedule import jobs_of
    from layergym.trainer.rows.packing import pack
    from layergym.trainer.run import agent_of
    from layergym.trainer.spec import make_env_of

    model, tokenizer = open_model(run.model, dtype=run.dtype, device=run.device)
    agent = agent_of(run, model, tokenizer, run.temperature)
    tasks = panel(make_env_of(run, "train")()).tasks
    each = run.group_size
    jobs = list(jobs_of(tasks, seed, 0, per_rollout=run.tasks_per_step, repeats=each))
    played = rollout(agent, make_env_of(run, "train"), jobs)
    groups = [Group(tuple(played[i : i + each])) for i in range(0, len(played), each)]
    credited = give_credit([Compared.of(group, run.credit) for group in groups], run.credit)
    rows = [pack(one.group.trajectories, one.advantages) for one in credited]
    columns = layer_statistics(model, rows, rows_per_pass=run.rows_per_pass)
    values = zip(*(columns[name].tolist() for name in STATISTICS), strict=True)
    layers = tuple(LayerStatistics(layer, *row) for layer, row in enumerate(values))
    return Prediction(len(groups), each, seed, layers)


def against(
    prediction: Sequence[LayerStatistics], measured: Measure
) -> dict[str, Agreement | None]:
    """Rank correlation of each statistic with the measured gain, over the layers that have both."""
    gains = {arm.layer: arm.gain.value for arm in measured.layers}
    both = [one for one in prediction if one.layer in gains]
    gain = np.array([gains[one.layer] for one in both])
    return {
        name: agreement(np.array([getattr(one, name) for one in both]), gain) for name in STATISTICS
    }


def sections(finished: Finished) -> tuple[Section, ...]:
    """The statistics beside what was measured; nothing where they were not computed."""
    prediction = read_prediction(finished.sweep.path)
    main = finished.profile.measures[0]
    return (predictor_section(prediction, main),) if prediction else ()


def predictor_section(prediction: Prediction, measured: Measure) -> Section:
    """Statistics beside what was measured, and how they correlate."""
    gains = {arm.layer: arm.gain for arm in measured.layers}
    rows = tuple(
        (
            str(one.layer),
            *(f"{getattr(one, name):.3g}" for name in STATISTICS),
            points(gains[one.layer]) if one.layer in gains else "-",
        )
        for one in prediction.layers
    )
    told = [
        f"{STATISTICS[name]} {ratio(agreed.spearman) if agreed else 'not defined'}"
        for name, agreed in against(prediction.layers, measured).items()
    ]
    text = (
        "An experiment, not a result: gradient statistics of the untrained base on one batch of "
        f"rollouts ({prediction.tasks} tasks, {prediction.episodes} episodes each, seed "
        f"{prediction.seed}). "
        "Spearman's correlation with the measured gain over layers, with 95 % intervals: "
        f"{', '.join(told)}. With few layers, or a ranking that is itself mostly noise, these "
        "intervals are wide; do not choose layers by them yet."
    )
    columns = ("layer", *STATISTICS.values(), "measured gain, points")
    table = Table("Gradient statistics by layer, and the measured gain", columns, rows)
    return Section("Cheap predictor (experiment)", (table, Text(text)))


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)
