"""A real pretrained model on real games."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from layergym.agents.names import open_model
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_one_layer_of_smollm2_takes_two_steps_on_real_games(
    smollm2: str, tmp_path: Path, shared_data: Path
) -> None:
    games = str(shared_data / "alfworld" / "valid_seen_problems.jsonl.xz")
    spec = RunSpec(
        env="layergym/ALFWorld-v0",
        env_args={"games": games, "max_turns": 4},
        model=smollm2,
        format="plain",
        admissible=True,
        layers="15",
        steps=2,
        tasks_per_step=2,
        group_size=4,
        max_new_tokens=12,
        rows_per_pass=4,
        # SmolLM2 wins no game in four turns; unequal penalties give it something to learn from.
        invalid_penalty=0.1,
        learning_rate=1e-4,
    )
    done = train(spec, tmp_path)
    assert done.selection.layers == (15,)
    assert [row["step"] for row in done.metrics] == [1, 2]
    base, _ = open_model(smollm2)
    before, after = base.state_dict(), done.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(".layers.15." in name for name in moved)
    assert set(load_file(tmp_path / "delta.safetensors")) >= moved
    assert max(row["mismatch"] for row in done.metrics if "mismatch" in row) < 1e-3
