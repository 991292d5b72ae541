"""`layergym referee`: a score on fixed panels that others can check."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layergym import InputError
from layergym.base.files import undone
from layergym.base.locks import locked, vacant
from layergym.cli.presets import fixed_panels, note_differences, preset_values
from layergym.command.console import Output, add_output, output
from layergym.command.options import add_compute, env_args
from layergym.command.values import TASKS, text

if TYPE_CHECKING:
    from layergym.agents.types import Trajectory
    from layergym.evals.report.model import Section
    from layergym.evals.score.referee import PanelAsked

EXAMPLES = """
examples:
  layergym referee runs/gigpo --preset gigpo-alfworld --out runs/referee
  layergym referee openai:my-model@http://localhost:8000/v1 --preset gigpo-webshop
  layergym referee --check runs/referee/referee.json               play its actions again
  layergym referee --check one/referee.json other/referee.json     and compare the two

MODEL is a run's folder, or an agent as in layergym eval. All tasks of a panel are played once, with
the preset's prompt and temperature. The result file holds every action, so that it can be checked
without the model.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", nargs="?", type=text, help="who is scored")
    parser.add_argument("--preset", type=text, help="whose panels and prompt")
    parser.add_argument(
        "--env-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="where the data are, such as games=FOLDER or data=FOLDER; repeatable",
    )
    parser.add_argument("--eval-tasks", type=TASKS, help="a part of every panel, to try it out")
    parser.add_argument(
        "--out",
        type=text,
        default="runs/referee",
        help="folder to keep; the same command goes on there (default runs/referee)",
    )
    parser.add_argument(
        "--check", nargs="+", type=Path, metavar="FILE", help="check results, and compare two"
    )
    add_compute(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Score, or check what others scored; 1 where a result does not hold."""
    out = output(args)
    if args.check is None:
        return _score(args, out)
    if args.model is not None or args.preset is not None:
        raise InputError("--check looks at files alone; leave out MODEL and --preset")
    if len(args.check) > 2:
        raise InputError("--check takes one file, or two to compare")
    return _check(args.check, env_args(args.env_arg), out)


def _score(args: argparse.Namespace, out: Output) -> int:
    from layergym.evals.report.model import Report
    from layergym.evals.report.render.terminal import show
    from layergym.evals.score.referee import FILE, referee

    if args.model is None or args.preset is None:
        raise InputError("referee needs MODEL and --preset, or --check FILE")
    asked = panels_asked(args)
    note_differences(args, out)
    folder = Path(args.out)
    counted = 0

    def over(_: str, trajectory: Trajectory) -> None:
        nonlocal counted
        counted += 1
        if counted % 20 == 0:
            out.note(f"{counted} episodes, the last of task {trajectory.task}")

    ours = any((folder / one.name / "eval.json").is_file() for one in asked)
    if not ours and not vacant(folder):
        raise InputError(f"{folder} holds something that is not a referee's; give another --out")
    with locked(folder), undone(folder, where=lambda _: counted == 0):
        values = referee(args.preset, asked, folder, on_episode=over)
    sections = tuple(_section(one) for one in values["panels"])
    show(Report(f"Referee: {args.preset}", values["model"], sections, ()), out.results)
    out.show(f"result: {folder / FILE}, digest {values['digest'][:16]}")
    panels = [{n: v for n, v in one.items() if n != "episodes"} for one in values["panels"]]
    out.record(event="referee", path=folder / FILE, **{**values, "panels": panels})
    return 0


def panels_asked(args: argparse.Namespace) -> list[PanelAsked]:
    """The panels of a preset, with its prompt, temperature and environment."""
    from layergym.evals.score.contest import ContestSpec
    from layergym.evals.score.referee import PanelAsked

    fixed = fixed_panels(args.preset)
    known = (
        *("env", "env_arg", "format", "context", "admissible", "prompt", "max_new_tokens"),
        "temperature",
    )
    given = preset_values(args.preset, "eval", known)
    prompt = given.pop("prompt", None)
    settings = given.pop("env_arg", [])
    return [
        PanelAsked(
            name=one.name,
            tasks=one.tasks,
            data=one.data,
            spec=ContestSpec(
                agents=(args.model,),
                split=one.split,
                size=args.eval_tasks,
                env_args=env_args([*settings, *one.env_arg, *args.env_arg]),
                prompt=prompt.read_text(encoding="utf-8") if prompt else "",
                dtype=args.dtype,
                device=args.device,
                **given,
            ),
        )
        for one in fixed
    ]


def _section(scores: Mapping[str, Any]) -> Section:
    """A panel's scores: all tasks, then types of tasks."""
    from layergym.evals.report.model import Section, Table
    from layergym.evals.report.words import figure, percent_with_interval
    from layergym.evals.stats import Estimate

    def shown(estimate: Mapping[str, Any]) -> str:
        return percent_with_interval(Estimate(estimate["value"], estimate["low"], estimate["high"]))

    rows = [("all", figure(scores["tasks"]), shown(scores["success"]), shown(scores["reward"]))]
    for kind, of_kind in scores["kinds"].items():
        rows.append((kind, figure(of_kind["tasks"]), shown(of_kind), ""))
    caption = (
        f"Percent, with 95 % intervals over tasks; panel {scores['hash'][:16]}, {_data(scores)}"
    )
    columns = ("tasks of type", "tasks", "success", "mean return")
    return Section(scores["name"], (Table(caption, columns, tuple(rows)),))


def _data(scores: Mapping[str, Any]) -> str:
    """Which data the panel is of, and whether its hash tells."""
    if not scores["whole"]:
        return "a part of the panel"
    told = "by its recorded hash" if scores["recorded"] else "whose hash is not recorded"
    return f"{scores['data']}, {told}" if scores["data"] else told


def _check(files: Sequence[Path], settings: Mapping[str, Any], out: Output) -> int:
    from layergym.evals.report.words import points
    from layergym.evals.score.referee_check import check_result, compare_results, read_result

    results = [read_result(file) for file in files]
    wrong = 0
    for file, values in zip(files, results, strict=True):
        out.show(f"{file}: {values['model']}, {values['preset']}", "bold")
        for finding in check_result(values, settings):
            mark = {True: "holds", False: "WRONG", None: "not checked"}[finding.holds]
            style = {True: None, False: "red", None: "yellow"}[finding.holds]
            out.show(f"  {mark}: {finding.what}", style)
            out.record(event="check", file=file, what=finding.what, holds=finding.holds)
            wrong += finding.holds is False
    if len(results) == 2:
        for name, difference in compare_results(results[0], results[1]).items():
            out.show(f"{name}: second minus first, points of success: {points(difference)}")
            out.record(event="difference", panel=name, difference=asdict(difference))
    return int(wrong > 0)
