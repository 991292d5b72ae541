"""Groups whose episodes all earn the same are replaced by groups of other tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from transformers import (
    PreTrainedModel,
)

from layergym.trainer.credit.collect import Rollout
from layergym.trainer.trainer import GiGPOTrainer
from tests.trainer.small_trainers import history, rewarded, same, weights

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
Sampling = Callable[[PreTrainedModel], Rollout]


def odd_tasks_differ(play: Rollout) -> Rollout:
    """Episodes of even tasks all earn 1."""
    return rewarded(
        play, lambda t: float(t.turns[0].reply.ids[0] % 2) if int(t.task[-1]) % 2 else 1.0
    )


def test_groups_that_earn_the_same_are_replaced(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    results = []
    for rounds in (0, 5, 5):
        model = tiny_model()
        trainer = build(
            model,
            odd_tasks_differ(sampling(model)),
            algorithm="grpo",
            layers="2",
            max_steps=1,
            tasks_per_step=4,
            dynamic_sampling=rounds,
        )
        trainer.train()
        results.append((history(trainer)[0], weights(trainer)))
    without, first, second = (line for line, _ in results)
    assert without["groups_zero_variance"] > 0 and without["rows"] == 16
    assert first["groups_kept"] == 4 < first["groups_played"] and first["rows"] == 16
    assert first["groups_zero_variance"] == pytest.approx(1 - 4 / first["groups_played"])
    assert first == second and same(results[1][1], results[2][1])


def test_what_no_round_can_replace_stays_missing(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    model = tiny_model()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    same_throughout = rewarded(sampling(model), lambda t: 1.0)
    trainer = build(
        model, same_throughout, algorithm="grpo", layers="2", max_steps=1, dynamic_sampling=3
    )
    trainer.train()
    line = history(trainer)[0]
    assert (line["groups_played"], line["groups_kept"], line["rows"]) == (8, 0, 0)
    assert same(weights(trainer), before)
