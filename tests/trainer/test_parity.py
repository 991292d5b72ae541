"""Against TRL's own trainer on the same rows: the same weights, for a fraction of the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]

from layergym.agents.rollouts import Job
from layergym.agents.types import CUT, Trajectory
from layergym.envs.panels import Panel
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.credit.schedule import jobs_of
from layergym.trainer.layers.selection import select
from layergym.trainer.rows.packing import pack
from layergym.trainer.trainer import GiGPOTrainer

Build = Callable[..., GiGPOTrainer]
Weights = dict[str, torch.Tensor]

LOSSES = ("grpo", "dapo", "dr_grpo")
SHARED: dict[str, Any] = {
    "learning_rate": 0.02,
    "optim": "sgd",
    "max_grad_norm": 0.0,  # clipping would hide a wrong scale
    "max_completion_length": 16,
    "num_generations": 4,
    "max_steps": 2,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "lr_scheduler_type": "constant",
}


@pytest.fixture(scope="module")
def stored(tiny_model: Callable[..., PreTrainedModel], tmp_path_factory: Any) -> Path:
    """A tiny model on disk: TRL loads its reference model from there."""
    folder: Path = tmp_path_factory.mktemp("model")
    tiny_model("llama").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def recorded(
    stored: Path, echo_panel: Panel, sampling: Callable[[PreTrainedModel], Rollout]
) -> list[list[Trajectory]]:
    """Two rollouts of two tasks with four episodes each."""
    play = sampling(load(stored))
    with torch.no_grad():
        return [
            play(list(jobs_of(echo_panel.tasks, 42, i, per_rollout=2, repeats=4))) for i in range(2)
        ]


def load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model


def weights(model: PreTrainedModel) -> Weights:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def difference(a: Weights, b: Weights) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def train_stock(
    model: PreTrainedModel,
    recorded: list[list[Trajectory]],
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    **settings: Any,
) -> None:
    """TRL's trainer, told what to roll out; it computes advantages and losses itself."""
    left = iter(recorded)

    def rollout_func(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        trajectories = next(left)
        rows = pack(trajectories, [[0.0] * len(t.turns) for t in trajectories])
        return {
            "prompt_ids": [list(row.ids[:2]) for row in rows],
            "completion_ids": [list(row.ids[2:]) for row in rows],
            "env_mask": [[int(s) for s in row.sampled[2:]] for row in rows],
            "logprobs": None,
            "total": [t.total_reward for t in trajectories],
        }

    args = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        gradient_checkpointing=False,
        bf16=False,
        **SHARED | settings,
    )
    GRPOTrainer(
        model=model,
        reward_funcs=lambda total, **_: total,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["x", "y"] * 4}),
        processing_class=tokenizer,
        rollout_func=rollout_func,
    ).train()


def train_ours(
    build: Build, model: PreTrainedModel, recorded: list[list[Trajectory]], **settings: Any
) -> None:
    build(
        model,
        replay(recorded),
        invalid_penalty=0.0,
        per_device_train_batch_size=3,
        **SHARED | settings,
    ).train()


def replay(recorded: list[list[Trajectory]]) -> Rollout:
    left = iter(recorded)

    def play(jobs: Sequence[Job]) -> list[Trajectory]:
        return next(left)

    return play


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    monkeypatch.setenv("CI", "1")


WHOLE = [("all", loss, beta, mu) for loss in LOSSES for beta in (0.0, 0.1) for mu in (1, 2)]
PARTS = [(layers, loss, 0.1, 2) for loss in LOSSES for layers in ("2", "1-5")]
OTHERS = [("1,3", "bnpo", 0.1, 2), ("3", "dapo", 0.0, 1)]
FINER = [(layers, "grpo", 0.1, 2) for layers in ("4.attn", "1.o+down", "embed", "norm", "head")]


@pytest.fixture(params=WHOLE + PARTS + OTHERS + FINER, ids=lambda case: "-".join(map(str, case)))
def case(request: pytest.FixtureRequest) -> tuple[str, str, float, int]:
    """Layers, loss, beta and number of epochs."""
    found: tuple[str, str, float, int] = request.param
    return found


def test_two_updates_equal_stock_trl(
    case: tuple[str, str, float, int],
    build: Build,
    stored: Path,
    recorded: list[list[Trajectory]],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    layers, loss, beta, epochs = case
    settings = {"beta": beta, "num_iterations": epochs, "loss_type": loss}
    stock, ours = load(stored), load(stored)
    before = weights(stock)
    if layers != "all":
        select(stock, layers)
    scale = "none" if loss == "dr_grpo" else "group"
    train_stock(stock, recorded, tokenizer, tmp_path, scale_rewards=scale, **settings)

    algorithm = "dr_grpo" if loss == "dr_grpo" else "grpo"
    train_ours(build, ours, recorded, algorithm=algorithm, layers=layers, **settings)

    assert difference(weights(stock), weights(ours)) <= 1e-6
    assert difference(weights(ours), before) > 1e-3
    moved = {name for name, w in weights(ours).items() if not torch.equal(w, before[name])}
    assert moved == {name for name, p in stock.named_parameters() if p.requires_grad}


GSPO = {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4}
NAMED: list[tuple[str, dict[str, Any]]] = [
    ("gspo", GSPO | {"epsilon_high": 4e-4}),
    ("dapo", {"epsilon_high": 0.28}),
    ("grpo", {"loss_type": "cispo"}),
    ("grpo", {"loss_type": "sapo"}),
    ("grpo", {"loss_type": "luspo", "importance_sampling_level": "sequence"}),
    ("grpo", {"loss_type": "vespo"}),
    ("grpo", {"epsilon_high": 0.28, "delta": 1.5}),
]
"""An algorithm here, and what TRL has to be told in its place."""


@pytest.mark.parametrize("named", NAMED, ids=str)
def test_losses_by_name_equal_stock_trl(
    named: tuple[str, dict[str, Any]],
    build: Build,
    stored: Path,
    recorded: list[list[Trajectory]],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    assert not any(t.ended in CUT for rollout in recorded for t in rollout)
    algorithm, theirs = named
    stock, ours = load(stored), load(stored)
    train_stock(stock, recorded, tokenizer, tmp_path, num_iterations=2, **theirs)
    mine = theirs if algorithm == "grpo" else {}
    train_ours(build, ours, recorded, algorithm=algorithm, num_iterations=2, **mine)
    assert difference(weights(stock), weights(ours)) <= 1e-6
    assert difference(weights(ours), weights(load(stored))) > 1e-3
