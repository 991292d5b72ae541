"""Games for the tests of ALFWorld."""

import json
from pathlib import Path

import pytest

from layergym.envs.alfworld.dialect_files import domain_and_grammar
from layergym.envs.alfworld.generator import generate
from layergym.envs.alfworld.records import Listed, read_compact

GENERATED = "gen/train/r8/pick_and_place_simple/000001"


@pytest.fixture(scope="session")
def valid_seen(shared_data: Path) -> Listed:
    """The 140 real games of valid_seen."""
    return Listed(read_compact(shared_data / "alfworld" / "valid_seen_problems.jsonl.xz"))


@pytest.fixture(scope="session")
def train(shared_data: Path) -> Listed:
    """The 3,553 real games for training."""
    return Listed(read_compact(shared_data / "alfworld" / "train_problems.jsonl.xz"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A split's folder in ALFWorld's own layout, with one game."""
    split = tmp_path / "json_2.1.1" / "valid_seen"
    trial = split / "pick_and_place_simple-Book-None-Desk-1" / "trial_1"
    trial.mkdir(parents=True)
    problem, sentence = generate(GENERATED)
    domain, grammar = domain_and_grammar("0.4", sentence)
    game = {
        "pddl_domain": domain,
        "grammar": grammar,
        "pddl_problem": problem,
        "solvable": True,
        "walkthrough": [],
    }
    (trial / "game.tw-pddl").write_text(json.dumps(game), encoding="utf-8")
    (trial / "traj_data.json").write_text("{}", encoding="utf-8")
    return split
