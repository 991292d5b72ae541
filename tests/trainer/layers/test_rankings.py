"""Layer profiles that ship with the package."""

import warnings
from pathlib import Path

import pytest

from layergym.agents.names import open_model
from layergym.base.errors import InputError
from layergym.evals.contribution.profile_file import read_profile
from layergym.trainer.layers.frozen import base_hash, digests
from layergym.trainer.layers.grammar import layer_indices, notice_origin
from layergym.trainer.layers.rankings import SHIPPED, read_ranking, shipped_profiles


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_shipped_profile_ranks_by_name_and_says_how_it_was_made(name: str) -> None:
    profile = read_profile(SHIPPED / name / "profile.json")
    assert profile.name == name
    assert (SHIPPED / name / "manifest.json").is_file()
    scores = {entry["layer"]: entry["contribution"] for entry in read_ranking(Path(name))["layers"]}
    best, *_ = layer_indices(f"top:1@{name}", profile.num_layers)
    assert scores[best] == max(scores.values())


def test_the_embedded_policy_is_what_its_profile_was_made_with() -> None:
    model, _ = open_model("tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notice_origin("top:1@tiny-alfworld", base_hash(digests(model)))


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny-alfworld").write_text('{"num_layers": 8, "layers": []}')
    assert read_ranking(Path("tiny-alfworld"))["layers"] == []
    with pytest.raises(InputError, match="tiny-alfworld"):
        read_ranking(Path("nowhere"))
