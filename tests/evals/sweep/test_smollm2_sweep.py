"""A real pretrained model, six of its layers in one bank, on the embedded ALFWorld."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from layergym.__main__ import main
from layergym.agents.names import open_model
from layergym.base.files import read_json, read_lines

LAYERS = (0, 6, 12, 18, 24, 29)
SETTINGS = """
    --env-arg max_receptacles=8 --env-arg num_objects=8 --env-arg max_turns=2 --env-arg size=64
    --format plain --max-new-tokens 8 --steps 2 --tasks 2 --group 4 --invalid-penalty 0.1
    --lr-full 1e-5 --lr-layer 1e-4 --eval-tasks 2 --eval-repeats 1 --on bank --jobs 1
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_bank_sweep_of_six_layers(smollm2: str, tmp_path: Path) -> None:
    """SmolLM2 wins no game in two turns; unequal penalties give it something to learn from."""
    layers = ",".join(map(str, LAYERS))
    command = f"sweep alfworld-v0 --model {smollm2} --layers {layers} {SETTINGS} --quiet"
    assert main([*command.split(), "--out", str(tmp_path)]) == 0
    base = open_model(smollm2)[0].state_dict()
    for layer in LAYERS:
        run = tmp_path / "arms" / f"layer-{layer:02d}" / "seed-0"
        rows = read_lines(run / "metrics.jsonl")
        assert [row["step"] for row in rows] == [1, 2]
        assert max(row["mismatch"] for row in rows) < 1e-3
        trained = load_file(run / "delta.safetensors")
        moved = {name for name, values in trained.items() if not torch.equal(values, base[name])}
        assert moved and all(f".layers.{layer}." in name for name in moved)
    profile = read_json(tmp_path / "report" / "profile.json")
    assert [row["layer"] for row in profile["layers"]] == list(LAYERS)
