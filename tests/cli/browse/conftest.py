"""A run, a sweep and an evaluation of seconds, and the page's answers about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.cli.browse.library import Library

ROOMS = (
    "alfworld-v0 --env-arg max_turns=9 --env-arg max_receptacles=5 --env-arg num_objects=5 "
    "--env-arg size=12"
)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browse")
    steps = "--steps 1 --tasks 1 --quiet"
    scored = "--eval-tasks 2 --eval-repeats 2 --jobs 1"
    lines = [
        f"train {ROOMS} --layers 3 --group 4 {steps} --out {folder / 'run'}",
        f"sweep {ROOMS} --layers 0 --group 4 {steps} {scored} --out {folder / 'sweep'}",
        f"eval {ROOMS} --agent random expert --eval-tasks 3 --quiet --out {folder / 'eval'}",
    ]
    for line in lines:
        assert main(line.split()) == 0
    return folder


@pytest.fixture
def library(runs: Path) -> Library:
    return Library([runs])


@pytest.fixture
def number(library: Library) -> dict[str, int]:
    """Numbers of folders by their names."""
    return {row["name"]: row["id"] for row in library.answer("runs")["runs"]}
