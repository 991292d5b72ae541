"""Every path is walked on a GPU that is not there: it raises where two memories mix.

What the host asks of the device has a budget, so that it is noticed when it grows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from layergym.agents.models.requests import Request
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.names import open_model
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.run_arm import run_arm
from layergym.trainer.bank import Bank
from layergym.trainer.callbacks import Watch
from layergym.trainer.run import Policy, agent_of, train, train_policy
from layergym.trainer.spec import RunSpec
from layergym.trainer.trainer import GiGPOTrainer
from tests.gpu.fake_gpu import Counts, FakeGPU, fake_gpu

LAUNCHES_PER_TOKEN = 440
"""Of `TransformersSampler.sample`, however many rows: the embedded policy has eight layers."""
WAITS_PER_TOKEN = 1
WAITS_PER_TURN = 20
LAUNCHES_PER_UPDATE = {"4": 1200, "all": 3150}
"""Of one pass and the optimiser's step, by what trains."""
WAITS_PER_UPDATE = 35

SPEC = RunSpec(
    env="layergym/ALFWorld-v0",
    env_args={"size": 40, "max_receptacles": 5, "max_turns": 2},
    layers="4",
    steps=2,
    tasks_per_step=2,
    group_size=4,
    invalid_penalty=0.1,  # So that rewards differ and there is something to learn.
    save_every=1,
    device="cuda",
)


@pytest.fixture
def gpu() -> Iterator[FakeGPU]:
    with fake_gpu() as found:
        yield found


def moved(folder: Path) -> float:
    """How far the last step had moved the least moved of what trains, as a share."""
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    return min(float(value) for name, value in last.items() if name.startswith("change/"))


def delta(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "delta.safetensors")


# ---- every path -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"layers": "all", "beta": 0.01},
        {"layers": "3-4", "lora": 2},
        {"layers": "random"},
        {"boost": "2*3", "layers": "all", "dtype": "bfloat16"},
    ],
    ids=lambda change: "-".join(map(str, change.values())),
)
@pytest.mark.filterwarnings("ignore::layergym.base.errors.Notice")  # So short a run hardly moves.
def test_training_stays_on_the_device(gpu: FakeGPU, tmp_path: Path, change: dict[str, Any]) -> None:
    trained = train(replace(SPEC, **change), tmp_path)
    assert {parameter.device.type for parameter in trained.model.parameters()} == {"cuda"}
    assert moved(tmp_path) > 0


def test_what_was_trained_and_resumed_there_is_what_is_trained_here(tmp_path: Path) -> None:
    with fake_gpu():
        train(SPEC, tmp_path / "whole")
        train(SPEC, tmp_path / "halves", until=1)
        train(SPEC, tmp_path / "halves", resume=True)
    train(replace(SPEC, device="cpu"), tmp_path / "here")
    whole, halves, here = (delta(tmp_path / name) for name in ("whole", "halves", "here"))
    assert all(torch.equal(whole[name], halves[name]) for name in here)
    assert all(torch.allclose(whole[name], here[name], atol=1e-3) for name in here)


def test_a_bank_stays_on_the_device(gpu: FakeGPU, tmp_path: Path) -> None:
    specs = [replace(SPEC, layers=layer, beta=0.01) for layer in ("2", "5")]
    bank = Bank(specs)
    bank.train([tmp_path / spec.layers for spec in specs])
    assert moved(tmp_path / "2") > 0 and moved(tmp_path / "5") > 0


def test_an_arm_is_trained_and_scored_on_the_device(gpu: FakeGPU, tmp_path: Path) -> None:
    panel = EvalSpec(size=2, repeats=1, temperatures=(1.0, 0.0))
    run_arm(replace(SPEC, steps=1), panel, "layer-04", tmp_path)
    scores = [json.loads(path.read_text()) for path in tmp_path.glob("evals/*.json")]
    assert len(scores) == 2


# ---- budgets ----------------------------------------------------------------------------------


def sampled(gpu: FakeGPU, tokens: int) -> tuple[int, int]:
    """Launches and waits of one turn of eight rows whose replies have this many tokens."""
    model, tokenizer = open_model("tiny", dtype="float32", device="cuda")
    sampler = TransformersSampler(model, tokenizer, max_new_tokens=tokens)
    sampler.stop_ids = frozenset({len(tokenizer)})  # No such token: replies have full length.
    gpu.counts.clear()
    sampler.sample([Request(e, (5, 6, 7 + e % 3), False, seed=e) for e in range(8)])
    return gpu.counts.launches.total(), gpu.counts.waits.total()


def test_a_decoded_token_keeps_its_budget(gpu: FakeGPU) -> None:
    (few_launches, few_waits), (launches, waits) = sampled(gpu, 4), sampled(gpu, 12)
    assert (launches - few_launches) / 8 <= LAUNCHES_PER_TOKEN
    assert (waits - few_waits) / 8 <= WAITS_PER_TOKEN
    assert few_waits - 4 * WAITS_PER_TOKEN <= WAITS_PER_TURN


class Recorder(TrainerCallback):
    """What each optimiser step asked of the device, from the end of its rollout on."""

    def __init__(self, counts: Counts) -> None:
        """Read from `counts`."""
        self.counts = counts
        self.launches: list[int] = []
        self.waits: list[int] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Keep the counts."""
        self.launches.append(self.counts.launches.total())
        self.waits.append(self.counts.waits.total())


@pytest.mark.parametrize("layers", ["4", "all"])
def test_an_update_keeps_its_budget(gpu: FakeGPU, tmp_path: Path, layers: str) -> None:
    recorder = Recorder(gpu.counts)

    def trainer(*args: Any, **kwargs: Any) -> GiGPOTrainer:
        made = GiGPOTrainer(*args, **kwargs)
        made.add_callback(recorder)
        return made

    spec = replace(SPEC, layers=layers)
    model, tokenizer = open_model(spec.model, dtype=spec.dtype, device=spec.device)
    policy = Policy(model, tokenizer, agent_of(spec, model, tokenizer, 1.0), trainer=trainer)
    watch = Watch(on_turn=lambda *_: gpu.counts.clear())  # All that a rollout's last turn begins.
    train_policy(spec, tmp_path, policy, None, watch=watch)
    assert moved(tmp_path) > 0 and len(recorder.launches) == spec.steps
    assert max(recorder.launches) <= LAUNCHES_PER_UPDATE[layers]
    assert max(recorder.waits) <= WAITS_PER_UPDATE
