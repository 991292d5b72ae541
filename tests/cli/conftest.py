"""What tests of several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from layergym.envs.alfworld.generator import generate
from layergym.envs.alfworld.records import GameRecord, write_compact

KINDS = ("pick_and_place_simple", "look_at_obj_in_light")


@pytest.fixture(scope="session")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small games under the names of ALFWorld's two validation splits."""
    folder = tmp_path_factory.mktemp("games")
    for split, first in (("valid_seen", 1), ("valid_unseen", 5)):
        records = []
        for kind in KINDS:
            for number in (first, first + 1):
                problem, sentence = generate(f"gen/train/r5-o5/{kind}/{number:06d}")
                id = f"{kind}-Any-None-Any-1/trial_{number}"
                records.append(GameRecord.of(id, sentence, problem))
        write_compact(records, folder / f"{split}_problems.jsonl.xz")
    return folder
