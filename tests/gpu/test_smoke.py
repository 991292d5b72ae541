"""What must hold on a GPU. The same tests run on the CPU with the ordinary ones.

`pytest -m gpu` on a machine with a GPU runs them there; elsewhere they run on the CPU.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.models.compute import repeatable, repeatable_attention
from layergym.agents.models.requests import Request
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.names import open_model
from layergym.agents.trajectories import read_records
from layergym.trainer.bank import Bank
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec

pytestmark = pytest.mark.gpu

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SPEC = RunSpec(
    env="layergym/ALFWorld-v0",
    env_args={"size": 40, "max_receptacles": 5, "max_turns": 4},
    layers="4",
    steps=3,
    tasks_per_step=2,
    group_size=4,
    save_every=1,
    device=DEVICE,
)


@pytest.fixture
def tiny() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return open_model("tiny", dtype="float32", device=DEVICE)


def delta(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "delta.safetensors")


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_model_is_where_it_was_asked_to_be(
    tiny: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, _ = tiny
    tensors = [*model.parameters(), *model.buffers()]
    assert {tensor.device.type for tensor in tensors} == {DEVICE}


def test_greedy_replies_over_ragged_turns_are_those_of_whole_prompts(
    tiny: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = tiny
    sampler = TransformersSampler(model, tokenizer, max_new_tokens=6, temperature=0.0)
    contexts = {0: [5, 6, 7], 1: [8, 9], 2: list(range(5, 25))}
    for turn in range(3):
        new = {e: tuple(10 + e + turn + k for k in range(e + 1)) for e in contexts}
        for episode, ids in new.items():
            contexts[episode].extend(ids)
        asked = [
            Request(e, tuple(contexts[e]) if turn == 0 else new[e], turn > 0, seed=e)
            for e in contexts
        ]
        for request, sample in zip(asked, sampler.sample(asked), strict=True):
            context = contexts[request.episode]
            for token in sample.ids:
                prompt = torch.tensor([context], device=model.device)
                with torch.no_grad():
                    logits = model(input_ids=prompt).logits[0, -1].float()
                assert logits[token] >= logits.max() - 1e-3
                context.append(token)


def test_a_seeded_reply_does_not_depend_on_the_batch(
    tiny: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = tiny
    asked = [Request(e, tuple(range(5, 9 + e % 7)), False, seed=e) for e in range(64)]
    together = TransformersSampler(model, tokenizer, max_new_tokens=4).sample(asked)
    same = 0
    for request, sample in zip(asked[:16], together, strict=False):
        (alone,) = TransformersSampler(model, tokenizer, max_new_tokens=4).sample([request])
        same += alone.ids == sample.ids
    assert same >= 15  # A probability may sit on the edge of rounding.


@pytest.mark.parametrize(
    "change",
    [{"layers": "4"}, {"layers": "all"}, {"layers": "3-4", "lora": 4}, {"layers": "random"}],
    ids=lambda change: "-".join(map(str, change.values())),
)
def test_a_step_moves_only_what_was_chosen(change: dict[str, object], tmp_path: Path) -> None:
    """`train` itself proves that every other tensor is bit-identical, and raises otherwise."""
    done = train(replace(SPEC, steps=2, **change), tmp_path)  # type: ignore[arg-type]
    assert done.ended == "steps"
    assert all(torch.isfinite(tensor).all() for tensor in delta(tmp_path).values())
    assert all(row.get("mismatch", 0.0) < 1e-3 for row in rows(tmp_path))


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    train(SPEC, tmp_path / "whole")
    train(SPEC, tmp_path / "halves", until=2)
    train(SPEC, tmp_path / "halves", resume=True)
    whole, halves = delta(tmp_path / "whole"), delta(tmp_path / "halves")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


@pytest.mark.parametrize("masked", [False, True])
def test_attentions_gradients_repeat_to_the_bit(masked: bool) -> None:
    """Of long rows, whose parts a GPU works on side by side."""
    length = 1024 if DEVICE == "cuda" else 64
    generator = torch.Generator().manual_seed(0)

    def drawn() -> torch.Tensor:
        values = torch.randn(2, 4, length, 64, generator=generator, dtype=torch.float32)
        return values.to(DEVICE, torch.bfloat16).requires_grad_()

    queries, keys, values = drawn(), drawn(), drawn()
    mask = torch.ones(length, length, dtype=torch.bool, device=DEVICE).tril() if masked else None
    repeatable_attention(torch.device(DEVICE))
    found = []
    for _ in range(4):
        mixed = scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=not masked
        )
        with repeatable():
            gradients = torch.autograd.grad(mixed.float().square().sum(), (queries, keys, values))
        found.append(gradients)
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], again, strict=True))


def test_a_bank_is_the_runs_alone(tmp_path: Path) -> None:
    specs = [replace(SPEC, layers=layer, steps=2) for layer in ("2", "5")]
    bank = Bank(specs)
    bank.train([tmp_path / f"bank-{spec.layers}" for spec in specs])
    for spec in specs:
        train(spec, tmp_path / f"alone-{spec.layers}")
        mine, alone = (delta(tmp_path / f"{kind}-{spec.layers}") for kind in ("bank", "alone"))
        apart = max(float((mine[n] - alone[n]).abs().max()) for n in alone)
        moved = max(float(tensor.abs().max()) for tensor in alone.values())
        assert apart <= 0.05 * moved


@pytest.mark.filterwarnings(
    "ignore::layergym.base.errors.Notice"
)  # Updates this small hardly show.
def test_a_model_stored_in_bfloat16_learns_like_its_float32_values(tmp_path: Path) -> None:
    model, tokenizer = open_model("tiny", device="cpu")
    for name, types in (("half", (torch.bfloat16,)), ("single", (torch.bfloat16, torch.float32))):
        kept: Any = copy.deepcopy(model)
        for dtype in types:
            kept = kept.to(dtype)
        kept.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    spec = replace(SPEC, learning_rate=5e-6, format="plain", max_new_tokens=8, steps=4)
    moved = {}
    for name in ("half", "single"):
        computes = "bfloat16" if name == "half" else "float32"
        train(replace(spec, model=str(tmp_path / name), dtype=computes), tmp_path / f"run-{name}")
        tensors = delta(tmp_path / f"run-{name}").values()
        moved[name] = float(torch.stack([t.float().abs().mean() for t in tensors]).mean())
    assert moved["half"] == pytest.approx(moved["single"], rel=0.2)


@pytest.mark.timeout(150)  # Each of its processes takes 10 to 16 s to start on a GPU machine.
def test_a_sweep_in_children_ends_in_a_report(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "layergym", "sweep", "alfworld-v0"]
    command += ["--env-arg", "size=40", "--env-arg", "max_receptacles=5", "--layers", "3,4"]
    command += ["--steps", "1", "--tasks", "2", "--group", "2", "--eval-tasks", "4"]
    command += ["--device", DEVICE, "--jobs", "2", "--quiet", "--out", str(tmp_path / "sweep")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "sweep/report/report.json").read_text(encoding="utf-8"))
    assert report["format"] == 1


def test_what_was_played_can_be_read(tmp_path: Path) -> None:
    train(replace(SPEC, steps=1), tmp_path)
    assert list(read_records(tmp_path / "trajectories.jsonl"))


@pytest.mark.skipif(DEVICE != "cuda", reason="counts synchronisations of a GPU")
def test_a_token_costs_at_most_two_synchronisations(
    tiny: tuple[PreTrainedModel, PreTrainedTokenizerBase], recwarn: pytest.WarningsRecorder
) -> None:
    model, tokenizer = tiny
    sampler = TransformersSampler(model, tokenizer, max_new_tokens=16)
    requests = [Request(e, (5, 6, 7 + e % 3), False, seed=e) for e in range(8)]
    torch.cuda.set_sync_debug_mode("warn")
    try:
        samples = sampler.sample(requests)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    tokens = max(len(sample.ids) for sample in samples)
    waits = sum("synchroniz" in str(warning.message) for warning in recwarn.list)
    assert waits <= 2 * tokens + 20
