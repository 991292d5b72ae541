"""Rows go through the layers of their variants, forwards and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.trainer.bank import passes
from layergym.trainer.bank.passes import Asked, JointPasses, all_scored
from layergym.trainer.bank.paths import Rows
from layergym.trainer.bank.routing import routed, view
from layergym.trainer.layers.selection import decoder_layers, select
from layergym.trainer.rows.prefix import sampled_logprobs
from layergym.trainer.rows.trees import lay_out


def shaken(base: PreTrainedModel, layers: str, seed: int) -> PreTrainedModel:
    """A view whose own parameters differ from the base's."""
    one = view(base, layers)
    select(one, layers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in one.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return one


@pytest.fixture(scope="module")
def base(family: str, tiny_model: Callable[..., PreTrainedModel]) -> PreTrainedModel:
    model = tiny_model(family)
    model.requires_grad_(False)
    return model


def test_routed_rows_are_those_of_their_views(base: PreTrainedModel) -> None:
    views = [shaken(base, layers, i) for i, layers in enumerate(("0", "3", "3", "1-4"))]
    rows = Rows()
    model = routed(base, views, rows)
    ids = torch.randint(4, 24, (6, 7), generator=torch.Generator().manual_seed(0))
    whose = [3, 0, 1, 0, 2, 1]
    rows.set(whose, ids.device)
    with torch.no_grad():
        together = model(input_ids=ids).logits
        for row, variant in enumerate(whose):
            alone = views[variant](input_ids=ids[row : row + 1]).logits[0]
            torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)
        away = model(input_ids=ids).logits - base(input_ids=ids).logits
    assert bool((away.abs().amax((1, 2)) > 1e-3).all())


@pytest.mark.parametrize("most", [1, 1024])
def test_each_view_gets_its_own_gradient(
    base: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Also where passes take one variant at a time; rows begin alike in part."""
    monkeypatch.setitem(passes._TOGETHER, "cpu", most)
    layers = ("0", "2", "4")
    views = [shaken(base, one, i) for i, one in enumerate(layers)]
    rows = Rows()
    model = routed(base, views, rows)
    seen: Counter[int] = Counter()
    for i, layer in enumerate(decoder_layers(model)):
        mlp = layer.get_submodule("mlp")
        mlp.register_forward_hook(lambda m, x, y, i=i: seen.update({i: y[..., 0].numel()}))
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    shared, todo = JointPasses(model, rows), [asked(int(one), i) for i, one in enumerate(layers)]
    below = shared.below(todo)
    # Layer 0 runs the rows of two variants, 2 and 4; layers 2 and 3 those of one; nothing twice.
    once, slots = _beginnings(todo[1:]), todo[2].trees.ids.numel()
    assert [seen[i] for i in range(5)] == [once, once, slots, slots, 0]
    todo = [replace(one, entering=hidden) for one, hidden in zip(todo, below, strict=True)]
    while todo:
        scored = all_scored(shared.score(todo))
        for one, part in zip(todo, scored, strict=False):
            (part.logprobs.sum() * (1 + one.variant)).backward()
        shared.backward(scored)
        todo = todo[len(scored) :]
    for number, (mine, first) in enumerate(zip(views, map(int, layers), strict=True)):
        together = {n: p.grad.clone() for n, p in mine.named_parameters() if p.grad is not None}
        mine.zero_grad()
        add_fused_lm_head(mine, outputs=("log_probs", "entropy"))
        alone = asked(first, number)
        logprobs = sampled_logprobs(mine, mine, alone.trees, alone.sampled)[0]
        (logprobs.sum() * (1 + number)).backward()
        for name, parameter in mine.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(together[name], parameter.grad, rtol=1e-3, atol=1e-4)


def asked(start: int, variant: int) -> Asked:
    """Two rows, as long as `variant` says, of which all begin with the same three tokens."""
    rows = [(4, 5, 6, *range(7, 9 + variant)), (4, 5, 6, 20, *range(9, 13 + variant))]
    trees = lay_out([rows])
    sampled = torch.zeros(trees.places.shape, dtype=torch.bool)
    sampled[0, 2 : len(rows[0])], sampled[1, 3:-1] = True, True
    return Asked(variant, start, trees, sampled, nullcontext)


def _beginnings(parts: Sequence[Asked]) -> int:
    rows = [row for part in parts for row in part.trees.rows]
    return len({row[: n + 1] for row in rows for n in range(len(row))})
