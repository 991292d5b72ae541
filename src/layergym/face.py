"""What a notebook needs of layergym: evaluate, sweep, contributions, report.

Each function composes what the rooms offer, in the order in which it must be called. All of them
are names of the package itself::

    import layergym as lg

    run = lg.RunSpec(env="alfworld-v0")
    lg.sweep(lg.every_layer(run, seeds=(0, 1, 2)), "runs/mine")
    for arm in lg.contributions("runs/mine"):
        print(arm.layer, arm.contribution)

A folder may be given as a text or as a path. torch is imported when a function first needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layergym.base.errors import InputError
from layergym.base.locks import locked

if TYPE_CHECKING:
    from layergym.evals.contribution.measure import ArmScore
    from layergym.evals.contribution.profile import LayerProfile
    from layergym.evals.report.model import Report
    from layergym.evals.score.contest import ContestSpec
    from layergym.evals.score.standings import Standings
    from layergym.evals.sweep.executors.launch import Launch
    from layergym.evals.sweep.spec import SweepSpec
    from layergym.trainer.spec import RunSpec


def evaluate(spec: ContestSpec, folder: str | Path) -> Standings:
    """Score agents on one fixed panel of tasks; in a folder that was begun, play what is missing.

    Example::

        spec = lg.ContestSpec(env="alfworld-v0", agents=("random", "expert"), size=20)
        for row in lg.evaluate(spec, "runs/two").rows:
            print(row.agent, row.score, row.difference)

    Args:
        spec: the environment, the panel and the agents, by name: "random", "expert", "tiny", a
            model folder, a hub id, or "openai:MODEL@URL".
        folder: keeps every episode and its turns; absent, empty, or begun with the same settings.

    Returns:
        One row per agent: success rates from 0 to 1 with 95 % intervals, and the difference to
        the first agent, paired over tasks. Episodes that ended in errors count in no score and are
        played again by the next call; where too many did, `score` is None and `refused` says why.

    Raises:
        InputError: an agent, the environment or a setting is unknown, the folder holds something
            else, or another process works in it.
    """
    from layergym.evals.score.contest import Contest
    from layergym.evals.score.standings import standings

    with locked(Path(folder)):
        contest = Contest.open(spec, Path(folder))
        contest.play()
    return standings(contest)


def every_layer(run: RunSpec, *, seeds: Sequence[int] = (0,)) -> SweepSpec:
    """Describe a sweep that trains every layer of the run's model alone, once per seed.

    Change other settings with `dataclasses.replace`, or write a `SweepSpec` yourself.

    Example::

        spec = lg.every_layer(lg.RunSpec(env="alfworld-v0", steps=24), seeds=(0, 1, 2))

    Args:
        run: what all runs of the sweep share; the depth is that of its model's configuration.
        seeds: one run per arm and seed. A single seed says nothing about layers.

    Raises:
        InputError: there is no such model, or a seed is given twice.
    """
    from layergym.agents.names import num_layers
    from layergym.evals.sweep.spec import SweepSpec

    depth = num_layers(run.model)
    return SweepSpec(
        run=run, layers=tuple(range(depth)), num_layers=depth, seeds=tuple(map(int, seeds))
    )


def sweep(spec: SweepSpec, folder: str | Path, *, launch: Launch | None = None) -> LayerProfile:
    """Train and score every arm of a sweep, and write its report to `folder`/report.

    In a folder that was begun with the same settings, what is not finished is run. The runs are
    processes of their own: in a script, call this under ``if __name__ == "__main__":``.

    Example::

        run = lg.RunSpec(env="alfworld-v0", steps=24)
        profile = lg.sweep(lg.SweepSpec(run=run, layers=(0, 3, 7), seeds=(0, 1, 2)), "runs/mine")
        print(profile.measures[0].gain)  # of full training, from 0 to 1

    Args:
        spec: which layers are trained, how, and what they are scored on. Where its `num_layers`
            is 0, the model's configuration says how many there are.
        folder: absent, empty, or begun with the same settings.
        launch: where the runs are executed; by default in one process per core or GPU.

    Returns:
        What `contributions` reads: scores, gains and contributions, with 95 % intervals.

    Raises:
        InputError: the sweep cannot be carried out, the folder holds something else, another
            process works in it, or a run failed. The other runs are finished then, and the next
            call tries the failed ones again.
    """
    from layergym.evals.report.build import build
    from layergym.evals.report.write import write_report
    from layergym.evals.sweep.executors.choose import open_executor
    from layergym.evals.sweep.executors.launch import Launch
    from layergym.evals.sweep.folder import begin_folder, note_executor, run_sweep
    from layergym.evals.sweep.resolve import resolve

    root = Path(folder)
    launch = launch or Launch()
    launch.check(spec.run.sampler)
    resolved = resolve(spec, root)
    with locked(root):
        begin_folder(resolved)
        chosen = open_executor(launch, resolved)
        note_executor(root, chosen)
        failures = run_sweep(resolved, chosen.executor)
        if failures:
            raise InputError(f"{'; '.join(failures)}; mend the cause and call sweep again")
        made = build([root])
        write_report(made, root / "report")
        return made.profiles[0]


def contributions(path: str | Path) -> tuple[ArmScore, ...]:
    """How much of the gain of full training each layer recovers when it is trained alone.

    Example::

        for arm in lg.contributions("runs/demo"):
            print(arm.layer, arm.contribution)

    Args:
        path: a sweep folder, a `profile.json`, or a published table (CSV).

    Returns:
        One value per layer, by index, in the report's main measure (temperature 1 where it was
        scored). `contribution` is (layer - base) / (full - base), without a unit, with a 95 %
        interval; None where full - base is not distinguishably above 0. `gain` is layer - base,
        as a difference of scores from 0 to 1.

    Raises:
        InputError: `path` is none of these, is damaged, or base or full has no score yet.
    """
    from layergym.evals.contribution.profile import profile
    from layergym.evals.contribution.profile_file import read_profile
    from layergym.evals.contribution.published import read_table
    from layergym.evals.result_files import read_sweep

    root = Path(path)
    if root.suffix.lower() == ".json":
        return read_profile(root).measures[0].layers
    if root.suffix.lower() == ".csv":
        return read_table(root).profile.measures[0].layers
    return profile(read_sweep(root)).measures[0].layers


def report(*paths: str | Path, out: str | Path | None = None) -> Report:
    """Read what runs left on disk, as one report.

    Example::

        lg.report("runs/gigpo", "runs/grpo", out="runs/both")  # report.html, .json and .md

    Args:
        paths: folders of sweeps, runs or evaluations, `profile.json` files, published tables (CSV).
        out: a folder for the report as HTML, JSON and Markdown; None writes nothing.

    Returns:
        Sections of texts, tables and plots, and `profiles`, one per sweep.

    Raises:
        InputError: no path is given, or a path is damaged or something else.
    """
    from layergym.evals.report.build import build
    from layergym.evals.report.write import write_report

    made = build([Path(path) for path in paths])
    if out is not None:
        write_report(made, Path(out))
    return made
