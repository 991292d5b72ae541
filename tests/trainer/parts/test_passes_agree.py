"""How a step is cut into passes changes neither what is learnt nor what is logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from layergym.agents.rollouts import Job
from layergym.agents.types import EpisodeEnd, Trajectory
from layergym.base.errors import InputError
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.parts.pass_means import PassLog, over_passes
from layergym.trainer.rows.importance import Importance
from layergym.trainer.trainer import GiGPOTrainer

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
Sampling = Callable[[PreTrainedModel], Rollout]
STEPS: dict[str, Any] = {"optim": "sgd", "learning_rate": 0.5, "max_steps": 2}


def uneven(play: Rollout, *, cut: EpisodeEnd = "terminated") -> Rollout:
    """Rows of different lengths: every other episode loses its later turns."""

    def shorter(jobs: Sequence[Job]) -> list[Trajectory]:
        return [
            replace(t, turns=t.turns[:1], ended=cut) if i % 2 else t
            for i, t in enumerate(play(jobs))
        ]

    return shorter


def trained(
    build: Build, tiny_model: Tiny, sampling: Sampling, **settings: Any
) -> tuple[torch.Tensor, dict[str, Any]]:
    """What layer 2 became, and the last step's log."""
    model = tiny_model()
    cut = settings.pop("cut", "terminated")
    trainer = build(model, uneven(sampling(model), cut=cut), layers="2", **STEPS | settings)
    trainer.train()
    weights = torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])
    return weights, [row for row in trainer.state.log_history if "loss" in row][-1]


@pytest.mark.parametrize("loss", ["grpo", "dapo", "bnpo"])
def test_the_entropy_bonus_and_the_log_do_not_depend_on_the_pass_size(
    build: Build, tiny_model: Tiny, sampling: Sampling, loss: str
) -> None:
    given = {"loss_type": loss, "entropy_coef": 0.1, "beta": 0.1, "num_iterations": 2}
    one, many = (
        trained(build, tiny_model, sampling, per_device_train_batch_size=size, **given)
        for size in (64, 1)
    )
    assert torch.allclose(one[0], many[0], atol=1e-6)
    names = ("kl", "entropy", "clip_ratio/region_mean", "clip_ratio/high_max", "policy_loss")
    for name in (*names, "entropy_coef"):
        assert one[1][name] == pytest.approx(many[1][name], rel=1e-4, abs=1e-6), name
    assert one[1]["entropy_coef"] == pytest.approx(0.1)


def test_the_entropy_quantile_wants_all_rows_in_one_pass(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    given = {"top_entropy_quantile": 0.5, "max_steps": 1}
    trained(build, tiny_model, sampling, per_device_train_batch_size=64, **given)
    with pytest.raises(InputError, match="top_entropy_quantile"):
        trained(build, tiny_model, sampling, per_device_train_batch_size=2, **given)


@pytest.mark.filterwarnings("ignore::layergym.base.errors.Notice")  # half of them are cut
@pytest.mark.parametrize("cut", ["truncated", "context"])
def test_masked_episodes_are_compared_but_not_learnt_from(
    build: Build, tiny_model: Tiny, sampling: Sampling, cut: str
) -> None:
    given = {"algorithm": "grpo", "beta": 0.1, "cut": cut}
    plain, log = trained(build, tiny_model, sampling, **given)
    masked, less = trained(build, tiny_model, sampling, mask_truncated_completions=True, **given)
    assert not torch.allclose(plain, masked, atol=1e-5)
    assert less["tokens"] < log["tokens"] and less["rows"] == log["rows"]


@pytest.mark.parametrize("scale", ["none", "batch"])
def test_scaling_of_rewards_is_not_ignored(
    build: Build, tiny_model: Tiny, sampling: Sampling, scale: str
) -> None:
    usual, _ = trained(build, tiny_model, sampling, algorithm="grpo")
    other, _ = trained(build, tiny_model, sampling, algorithm="grpo", scale_rewards=scale)
    assert not torch.allclose(usual, other, atol=1e-5)


# ---- what an engine sampled ---------------------------------------------------------------------

TRAINER = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, -1.0]])
SAMPLER = torch.tensor([[-1.0, -1.0, -9.0], [-1.0, -3.0, float("nan")]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])
E = torch.e


@pytest.mark.parametrize(
    ("mode", "low", "high", "weights"),
    [
        ("sequence_mask", None, 3.0, [[1 / E], [0.0]]),
        ("sequence_truncate", None, 3.0, [[1 / E], [3.0]]),
        ("token_mask", 0.5, 3.0, [[1, 0, 1], [1, 0, 1]]),
        ("token_truncate", 0.5, 3.0, [[1, 0.5, 1], [1, 3.0, 1]]),
    ],
)
def test_importance_by_hand(
    mode: str, low: float | None, high: float, weights: list[list[float]]
) -> None:
    found = Importance(mode, low, high).weights(TRAINER, SAMPLER, MASK)
    assert torch.allclose(found, torch.tensor(weights).float())


def test_an_external_engine_is_corrected_for_and_the_model_itself_is_not(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    def run(shift: float, **settings: Any) -> torch.Tensor:
        model = tiny_model()
        play = sampling(model)

        def off(jobs: Sequence[Job]) -> list[Trajectory]:
            return [
                replace(
                    t,
                    turns=tuple(
                        replace(
                            turn,
                            reply=replace(
                                turn.reply,
                                logprobs=tuple(p - shift for p in turn.reply.logprobs),
                            ),
                        )
                        for turn in t.turns
                    ),
                )
                for t in play(jobs)
            ]

        trainer = build(
            model, off, layers="2", **STEPS | settings | {"max_steps": 1, "max_grad_norm": 1e9}
        )
        trainer.train()
        return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])

    apart = {"external_engine": True, "vllm_importance_sampling_mode": "token_truncate"}
    uncorrected = {**apart, "vllm_importance_sampling_correction": False}
    assert torch.equal(run(0.5), run(0.0))
    assert torch.equal(run(0.5, **uncorrected), run(0.0))
    assert torch.allclose(run(0.0, **apart), run(0.0), atol=1e-5)
    assert not torch.allclose(run(0.5, **apart), run(0.0), atol=1e-4)


# ---- means over passes --------------------------------------------------------------------------


def test_means_over_passes_are_weighted_by_what_they_average() -> None:
    logs = [
        PassLog({"kl": [1.0], "clip_ratio/low_min": [0.2], "policy_loss": [2.0]}, 0.25, 0.5, 0.25),
        PassLog({"kl": [5.0], "clip_ratio/low_min": [0.1], "policy_loss": [4.0]}, 0.75, 0.5, 0.75),
    ]
    assert over_passes(logs, per_row=False) == {
        "kl": 4.0,
        "clip_ratio/low_min": 0.1,
        "policy_loss": 3.5,
    }


def test_clip_ratios_of_whole_rows_are_weighted_by_rows() -> None:
    logs = [
        PassLog({"clip_ratio/low_mean": [1.0]}, 0.25, 0.5, 0.25),
        PassLog({"clip_ratio/low_mean": [0.0, float("nan")]}, 0.75, 0.5, 0.75),
    ]
    assert over_passes(logs, per_row=True) == {"clip_ratio/low_mean": 0.5}
