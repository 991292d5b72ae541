"""The layer bank: every variant is the run that it would have been alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from layergym.agents.llm import LLMAgent
from layergym.agents.models.load import load_model
from layergym.agents.names import source
from layergym.agents.rollouts import Job, rollout
from layergym.base.errors import Notice
from layergym.envs import InputError, panel
from layergym.trainer.bank import Bank, groups
from layergym.trainer.run import agent_of, train
from layergym.trainer.spec import RunSpec, make_env_of
from tests.trainer.bank.pairs import Done, Pair, differences, folders, lines


def test_variants_are_the_runs_they_would_have_been_alone(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    before = done.bank.base.state_dict()
    for spec, folder, trained in zip(specs, done.folders, done.trained, strict=True):
        alone = tmp_path / folder.name
        other = train(spec, alone)
        assert float(differences(alone, folder).max()) < 1e-5
        assert (alone / "config.json").read_text() == (folder / "config.json").read_text()
        assert trained.selection == other.selection
        assert [row["step"] for row in lines(folder)] == [1, 2, 3, 4]
        for ours, theirs in zip(lines(folder), lines(alone), strict=True):
            # Rewards, tokens, successes ... are equal; sums of floats differ in their last bits.
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
        moved = load_file(folder / "delta.safetensors")
        assert max(float((v - before[n]).abs().max()) for n, v in moved.items()) > 3e-3


def test_variants_of_a_bfloat16_bank_are_stepped_in_float32(
    specs: list[RunSpec], policy: str, tmp_path: Path
) -> None:
    """At a rate that bfloat16 shows nothing of, as runs alone."""
    chosen = [
        replace(spec, dtype="bfloat16", learning_rate=1e-6, steps=2)
        for spec in (specs[0], specs[4])
    ]
    places = folders(tmp_path / "bank", 2)
    with pytest.warns(Notice, match="below its rounding"):
        bank = Bank(chosen)
        bank.train(places)
    assert {p.dtype for p in bank.base.parameters()} == {torch.bfloat16}
    before = bank.base.state_dict()
    for spec, folder in zip(chosen, places, strict=True):
        with pytest.warns(Notice, match="below its rounding"):
            train(spec, tmp_path / "alone" / folder.name)
        moved = []
        for place in (folder, tmp_path / "alone" / folder.name):
            found = load_file(place / "delta.safetensors")
            assert {value.dtype for value in found.values()} == {torch.float32}
            moved.append(torch.cat([(found[n] - before[n].float()).flatten() for n in found]))
        shares = [float((one != 0).float().mean()) for one in moved]
        assert min(shares) > 0.9 and shares[0] == pytest.approx(shares[1], abs=0.01)
        assert torch.cosine_similarity(moved[0], moved[1], dim=0) > 0.9


def episodes(agent: LLMAgent, spec: RunSpec) -> list[Any]:
    jobs = [Job(task, seed) for seed, task in enumerate(Pair.tasks)]
    played = rollout(agent, make_env_of(spec, "train"), jobs)
    return [[(turn.reply.ids, turn.reward) for turn in t.turns] for t in played]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_trained_variants_play_in_common_batches_as_alone(
    done: Done, specs: list[RunSpec], temperature: float
) -> None:
    together = done.bank.each(lambda i, agent_at: episodes(agent_at(temperature), specs[i]))
    for spec, trained, played in zip(specs, done.trained, together, strict=True):
        agent = agent_of(spec, trained.model, trained.tokenizer, temperature)
        assert played == episodes(agent, spec)
    assert any(played != together[0] for played in together[1:])


def test_a_resumed_bank_ends_bit_equal(specs: list[RunSpec], done: Done, tmp_path: Path) -> None:
    broken = folders(tmp_path, len(specs))
    for folder, place in zip(done.folders, broken, strict=True):
        shutil.copytree(folder, place)
        (place / "delta.safetensors").unlink()
    # As if it had been killed when two of the runs had saved their last checkpoint and two had not.
    for folder in broken[:2]:
        shutil.rmtree(folder / "checkpoint-4")
    Bank(specs).train(broken, resume=True)
    for left, right in zip(done.folders, broken, strict=True):
        name = "delta.safetensors"
        assert (left / name).read_bytes() == (right / name).read_bytes()
        assert lines(left) == lines(right)


def test_groups_hold_runs_that_can_share_a_bank(specs: list[RunSpec]) -> None:
    full = replace(specs[0], layers="all")
    scattered = replace(specs[0], layers="random")
    longer = replace(specs[0], steps=5)
    listed = [full, *specs, longer, scattered]
    assert groups(listed) == [(1, 2, 3, 4, 5), (6,)]
    assert groups(listed, variants=3) == [(1, 2, 3), (4, 5), (6,)]
    large = [replace(spec, tasks_per_step=64, group_size=8) for spec in specs]
    assert groups(large) == [(0, 1), (2, 3), (4,)]
    with pytest.raises(InputError, match="must agree on model"):
        Bank([specs[0], longer])


# ---- slow ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "layers"), [(torch.float64, range(8)), (torch.float32, (1, 6))])
def test_the_default_model_layer_by_layer_for_four_updates(
    dtype: torch.dtype, layers: Sequence[int], tmp_path: Path
) -> None:
    """In float64 weights are equal; in float32 a few differ, those whose gradient is only rounding.

    AdamW's first steps are the learning rate times g / |g|: where the true gradient is 0, what a
    sum in another order leaves of it counts in full.
    """
    model, tokenizer = load_model(source("tiny"), dtype=dtype)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "recipe.json").write_text('{"model": "new"}')
    games = {"size": 2000, "max_receptacles": 8, "num_objects": 8, "max_turns": 9}
    spec = RunSpec(
        env="alfworld-v0",
        env_args=games,
        model=str(tmp_path / "model"),
        steps=4,
        tasks_per_step=4,
    )
    alike = [replace(spec, layers=str(layer)) for layer in layers]
    places = folders(tmp_path / "bank", len(alike))
    bank = Bank(alike)
    bank.train(places)
    tasks = panel(make_env_of(spec, "test")(), 4).tasks

    def greedy(agent: LLMAgent) -> list[Any]:
        jobs = [Job(task, seed) for seed, task in enumerate(tasks)]
        played = rollout(agent, make_env_of(spec, "test"), jobs)
        return [[turn.reply.ids for turn in t.turns] for t in played]

    together = bank.each(lambda i, agent_at: greedy(agent_at(0.0)))
    for one, folder, played in zip(alike, places, together, strict=True):
        place = tmp_path / "alone" / folder.name
        alone = train(one, place)
        assert [row["reward"] for row in lines(place)] == [row["reward"] for row in lines(folder)]
        assert played == greedy(agent_of(one, alone.model, alone.tokenizer, 0.0))
        apart = differences(place, folder)
        if dtype == torch.float64:
            assert float(apart.max()) <= 1e-5
        else:
            assert float((apart > 1e-5).double().mean()) < 1e-3


ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

from layergym.envs import register
from layergym.trainer.bank import Bank
from tests.trainer.bank.pairs import Pair, folders, variants

register("test/BankPair-v0", Pair)
specs = [replace(spec, steps=20, save_every=1) for spec in variants(sys.argv[1])]
bank = Bank(specs)
print("ready", flush=True)
bank.train(folders(Path(sys.argv[2]), len(specs)), resume=True)
"""


@pytest.mark.slow
def test_kills_change_nothing(policy: str, tmp_path: Path) -> None:
    def start(root: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, policy, str(root)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        return run

    with start(tmp_path / "straight") as run:
        began = time.monotonic()
        assert run.wait() == 0
        lasted = time.monotonic() - began
    killed = 0
    for share in (0.3, 0.5, 0.4):
        with start(tmp_path / "broken") as run:
            try:
                run.wait(timeout=share * lasted)
            except subprocess.TimeoutExpired:
                run.kill()
                killed += 1
    with start(tmp_path / "broken") as run:
        assert run.wait() == 0
    assert killed
    for left, right in zip(
        *(folders(tmp_path / name, 4) for name in ("straight", "broken")), strict=True
    ):
        name = "delta.safetensors"
        assert (left / name).read_bytes() == (right / name).read_bytes()
        assert lines(left) == lines(right)
