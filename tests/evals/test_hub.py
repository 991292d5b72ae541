"""There and back: what is pushed to a hub is used by its name, also offline later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import load_dataset

from layergym.__main__ import main
from layergym.agents.trajectories import read_records
from layergym.base.errors import InputError
from layergym.base.hub import fetched
from layergym.evals.contribution.profile_file import read_profile
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.grammar import layer_indices
from tests.hub_server import StandIn

ROOMS = "alfworld-v0 --env-arg max_turns=4 --env-arg size=12 --env-arg max_receptacles=5"


def test_a_delta_goes_to_the_hub_and_plays_from_there(
    hub: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    train = f"train {ROOMS} --layers 3 --steps 1 --tasks 1 --group 2 --quiet --out {run}"
    assert main(train.split()) == 0
    assert main(f"publish {run} --out {tmp_path / 'p'} --push me/delta".split()) == 0
    assert set(hub.held["me/delta"]) == {"README.md", "delta.safetensors", "layergym.json"}
    hub.held["me/delta"]["evil.py"] = b"raise SystemExit"
    score = f"eval {ROOMS} --agent {run} hf://me/delta --eval-tasks 3 --json"
    capsys.readouterr()
    assert main(score.split()) == 0
    here, there = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert here["score"] == there["score"] and here["turns"] == there["turns"]
    assert LayerDelta.load("hf://me/delta").base == LayerDelta.load(run / "delta.safetensors").base
    assert not (fetched("hf://me/delta") / "evil.py").exists(), "only what cannot run is fetched"
    hub.held.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetched("hf://me/delta").is_dir(), "what was fetched before is there offline"


def test_a_profile_goes_to_the_hub_and_ranks_layers_from_there(
    hub: StandIn, sweep_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(sweep_folder), "--out", str(tmp_path / "p")]) == 2
    assert main(["report", str(sweep_folder), "--md"]) == 0
    push = ["publish", str(sweep_folder), "--out", str(tmp_path / "p"), "--push", "me/profile"]
    assert main(push) == 0
    name = "hf://datasets/me/profile"
    mine = read_profile(sweep_folder / "report" / "profile.json")
    assert read_profile(fetched(name) / "profile.json") == mine
    ranked = sorted(mine.measures[0].layers, key=lambda arm: -arm.score.value)
    assert layer_indices(f"top:1@{name}", mine.num_layers) == (ranked[0].layer,)
    capsys.readouterr()
    assert main(["report", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profiles"][0]["num_layers"] == mine.num_layers
    assert main(["report", name, "--html"]) == 2, "there is no folder beside it to write into"


def test_episodes_go_to_the_hub_as_a_dataset_and_as_conversations(
    hub: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played = tmp_path / "played"
    score = f"eval {ROOMS} --agent expert random --eval-tasks 3 --quiet --out {played}"
    assert main(score.split()) == 0
    push = f"publish {played} --out {tmp_path / 'p'} --push me/episodes"
    assert main(push.split()) == 0
    rows = load_dataset(str(tmp_path / "p"), split="train")
    assert len(rows) == 6
    for row in rows:
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"] * len(row["turns"])
        assert row["messages"][0]["content"] == row["turns"][0]["observation"]
    capsys.readouterr()
    assert main(["trajectories", "hf://datasets/me/episodes", "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    own = [r.trajectory.task for f in played.rglob("*.jsonl") for r in read_records(f)]
    assert sorted(line["task"] for line in shown) == sorted(own)


@pytest.mark.parametrize(
    "name", ["hf://", "hf://x", "hf://a/b/c", "hf://../x/y", "hf://a/..", "hf://me/nothing", "hf:x"]
)
def test_what_is_not_on_the_hub_is_refused(hub: StandIn, name: str) -> None:
    if name == "hf:x":
        assert fetched(name) == Path(name), "a file may be called so"
    else:
        with pytest.raises(InputError):
            fetched(name)
