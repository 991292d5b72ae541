"""What a study is, and where studies are found.

A study asks something of sweeps that are finished: it is one file with a command of its own and a
section of the report. The files of `evals/studies/` are found by their names, those of other
packages by the entry-point group `layergym.studies`. Nothing lists them.
"""

from __future__ import annotations

import ast
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from layergym.base.announced import announced
from layergym.base.errors import InputError, Notice, error_line, faults

if TYPE_CHECKING:
    from layergym.command.console import Output
    from layergym.evals.arms import ArmName
    from layergym.evals.contribution.profile import LayerProfile
    from layergym.evals.report.model import Section
    from layergym.evals.results import Sweep
    from layergym.evals.stats.board import Board
    from layergym.evals.sweep.executors.launch import Launch

GROUP = "layergym.studies"
"""The entry-point group in which other packages announce studies."""
PACKAGE = "layergym.evals.studies"
VALUE = "STUDY"
"""What the study in a file is called."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A sweep that a report reads, its scores and its contributions."""

    sweep: Sweep
    profile: LayerProfile
    board: Board[ArmName]
    """All arms at the main temperature, on which the profile's first measure rests."""

    @classmethod
    def of(cls, sweep: Sweep) -> Finished:
        """Draw once, for the profile and for every section of the report.

        Raises:
            InputError: base or full has not been scored yet at a common temperature.
        """
        from layergym.evals.contribution.profile import main_temperature, profile
        from layergym.evals.stats.board import sweep_board

        board = sweep_board(sweep, main_temperature(sweep))
        return cls(sweep, profile(sweep, board), board)


@dataclass(frozen=True, slots=True)
class Begun:
    """A sweep that a study has begun, for the command line to run and report on."""

    folder: Path
    launch: Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A question after a sweep: its command, and its sections of the report."""

    examples: str
    """What `layergym NAME --help` ends with."""
    add_arguments: Callable[[ArgumentParser], None]
    """Declares the command's arguments. `--json` and `--quiet` are there already."""
    run: Callable[[Namespace, Output], Begun | None]
    """Carries the study out and shows what it found. A study that trains begins a sweep and returns
    it: the command line then runs it as `layergym sweep` does."""
    of_sweep: Callable[[Finished], Sequence[Section]] = lambda finished: ()
    """Sections about one sweep, made from its folder; none where the study was not carried out."""
    over_sweeps: Callable[[Sequence[Finished]], Sequence[Section]] = lambda several: ()
    """Sections about all sweeps of a report together."""


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """Where a study is. It is imported when it is used."""

    name: str
    """The name of its command too."""
    module: str
    value: str = VALUE

    @property
    def about(self) -> str:
        """What it does, in a line: the first of its file's docstring, read without importing it."""
        try:
            spec = find_spec(self.module)
            text = Path(str(spec and spec.origin)).read_text(encoding="utf-8")
            first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        except faults():
            first = ""
        return (first[:1].lower() + first[1:]).rstrip(".") or f"a study in {self.module}"

    def load(self) -> Study:
        """Import the study.

        Raises:
            InputError: its module cannot be imported, or holds no `Study`.
        """
        try:
            study = getattr(import_module(self.module), self.value)
        except faults() as error:
            raise InputError(
                f'the study "{self.name}" cannot be imported ({error_line(error)}); mend '
                f"{self.module}, or uninstall its package"
            ) from error
        if not isinstance(study, Study):
            raise InputError(
                f'the study "{self.name}" is not one: {self.module}.{self.value} is a '
                f"{type(study).__name__}, not a {Study.__module__}.Study"
            )
        return study


def find_studies() -> dict[str, FoundStudy]:
    """All studies by name: ours, then those of other packages. None is imported.

    Warns:
        Notice: a package announces a study that cannot be one, or whose name is taken.
    """
    folder = Path(__file__).parents[1] / "studies"
    names = sorted(path.stem for path in folder.glob("[!_]*.py"))
    studies = {name: FoundStudy(name, f"{PACKAGE}.{name}") for name in names}
    others, troubles = announced(GROUP)
    for trouble in troubles:
        warnings.warn(Notice(f"a study was left out: {trouble}"), stacklevel=2)
    for other in others:
        if other.id in studies:
            text = f'the study "{other.id}" of {other.package} was left out: that name is taken'
            warnings.warn(Notice(text), stacklevel=2)
        else:
            studies[other.id] = FoundStudy(other.id, *other.place.split(":"))
    return studies


def usable_studies() -> tuple[Study, ...]:
    """All studies that can be imported.

    Warns:
        Notice: one cannot be.
    """
    usable = []
    for study in find_studies().values():
        try:
            usable.append(study.load())
        except InputError as error:
            warnings.warn(Notice(str(error)), stacklevel=2)
    return tuple(usable)
