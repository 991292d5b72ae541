"""Rows in trees: each row gets what it would get alone, and what is shared is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.agents.models.attend import use_own_attention
from layergym.agents.models.attention import DENSE
from layergym.trainer.rows.prefix import sampled_logprobs
from layergym.trainer.rows.trees import (
    Ids,
    Trees,
    arrange,
    attention_reach,
    choose_trees,
    lay_out,
    relocate,
    side_by_side,
)

Tiny = Callable[..., PreTrainedModel]
FAR = 1e9
"""A reach at which every common beginning is worth sharing."""

PROMPT = (5, 6, 7, 8, 9, 10)
ROWS: list[Ids] = [
    (*PROMPT, 11, 12, 13, 14),
    (*PROMPT, 11, 12, 15),
    (*PROMPT, 16),
    (*PROMPT, 11, 12, 13, 14),
    (20, 21, 22, 23, 4, 5, 6, 7, 8),
]

some_rows = st.lists(
    st.lists(st.integers(1, 3), min_size=2, max_size=8).map(tuple), min_size=1, max_size=12
)


def laid(rows: Sequence[Ids], reach: float | None = FAR, most: int = 99) -> Trees:
    return arrange(rows, choose_trees(rows, reach, most), reach)[1]


def beginnings(rows: Sequence[Ids]) -> int:
    return len({row[: n + 1] for row in rows for n in range(len(row))})


@given(some_rows)
def test_every_row_can_be_read_back(rows: list[Ids]) -> None:
    trees = laid(rows)
    assert sorted(trees.rows) == sorted(rows)
    for row, places in zip(trees.rows, trees.places, strict=True):
        own = places[: len(row)]
        assert trees.ids.flatten()[own].tolist() == list(row)
        assert trees.depths.flatten()[own].tolist() == list(range(len(row)))


@given(some_rows)
def test_a_token_sees_its_own_way_from_the_root(rows: list[Ids]) -> None:
    trees = laid(rows)
    slots = trees.ids.shape[1]
    for row, places in zip(trees.rows, trees.places, strict=True):
        for length in range(1, len(row) + 1):
            tree, slot = divmod(int(places[length - 1]), slots)
            seen = [j for j in range(slot + 1) if slot < trees.ends[tree, j]]
            assert [tree * slots + j for j in seen] == places[:length].tolist()


@given(some_rows)
def test_a_common_beginning_has_one_slot(rows: list[Ids]) -> None:
    (tree,) = choose_trees([(9, *row) for row in rows], FAR, 99)
    assert lay_out([[(9, *rows[i]) for i in tree]]).ids.shape == (
        1,
        1 + beginnings(rows),
    )


@given(some_rows, st.floats(0, 50), st.integers(1, 5))
def test_planting_keeps_every_row_once_and_never_costs_more(
    rows: list[Ids], reach: float, most: int
) -> None:
    trees = choose_trees(rows, reach, most)
    assert sorted(i for tree in trees for i in tree) == list(range(len(rows)))
    assert all(1 <= len(tree) <= most for tree in trees)
    sizes = [beginnings([rows[i] for i in tree]) for tree in trees]
    assert sizes == sorted(sizes)
    alone = sum(len(row) * (reach + len(row)) for row in rows)
    assert sum(size * (reach + size) for size in sizes) <= alone + 1e-6


def test_trees_are_the_cheapest_cut_of_the_rows() -> None:
    rows = [(1, 2, 3, token, *([token] * length)) for token, length in ((4, 1), (5, 1), (6, 9))]
    reach = 6

    def cost(*trees: Sequence[Ids]) -> float:
        return sum(n * (reach + n) for n in map(beginnings, trees))

    a, b, c = rows
    cuts = {cost([a], [b], [c]), cost([a, b], [c]), cost([a], [b, c]), cost([a, b, c])}
    planted = choose_trees(rows, reach, 99)
    assert cost(*([rows[i] for i in tree] for tree in planted)) == min(cuts)
    assert planted == [[0, 1], [2]]


def test_long_rows_with_a_short_common_beginning_stay_apart() -> None:
    rows = [(1, 2, *([token] * 50)) for token in (3, 4, 5)]
    assert len(choose_trees(rows, 10, 99)) == 3
    assert len(choose_trees(rows, FAR, 99)) == 1
    assert choose_trees([(1, 2, 3), (1, 2), (1, 2, 4, 5)], None, 99) == [[1], [0], [2]]
    assert choose_trees([], FAR, 99) == []


def scores(model: PreTrainedModel, trees: Trees) -> tuple[dict[Ids, torch.Tensor], torch.Tensor]:
    """Log-probabilities by row, and their sum of squares to differentiate."""
    lengths = torch.tensor([len(row) for row in trees.rows])
    width = trees.places.shape[1]
    sampled = (torch.arange(width) >= 3) & (torch.arange(width) < lengths[:, None])
    found, _, _ = sampled_logprobs(model, model, trees, sampled)
    by_row = {row: one[: len(row) - 1].detach() for row, one in zip(trees.rows, found, strict=True)}
    return by_row, found.square().sum()


@pytest.mark.parametrize("reach", [FAR, 30.0])
def test_log_probabilities_and_gradients_are_those_of_rows_alone(
    tiny_model: Tiny, family: str, reach: float
) -> None:
    model = tiny_model(family)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    results = []
    for trees in (laid(ROWS, None), laid(ROWS, reach)):
        by_row, total = scores(model, trees)
        total.backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        results.append((trees.shared, by_row, gradients))
        model.zero_grad()
    (plain, expected, wanted), (shared, found, got) = results
    assert not plain and shared
    for row in ROWS:
        assert torch.allclose(found[row], expected[row], atol=1e-5)
    for name, gradient in wanted.items():
        # The head computes in float32.
        assert (got[name] - gradient).abs().max() <= 1e-5 * gradient.abs().max(), name


def test_trees_of_many_slots_have_no_mask_of_all_of_them(tiny_model: Tiny, family: str) -> None:
    """Two trees, one of more slots than `DENSE`: attention goes in blocks and gives the same."""
    draw = torch.Generator().manual_seed(0)
    stem, other = torch.randint(4, 20, (2, 24), generator=draw).tolist()
    tails = torch.randint(4, 20, (14, 90), generator=draw).tolist()
    rows: list[Ids] = [(*stem, *tail) for tail in tails]
    rows += [(*other, *tail[:9]) for tail in tails[:3]]
    model = tiny_model(family)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    results = []
    for own in (False, True):
        if own:
            use_own_attention(model)
        trees = laid(rows)
        assert trees.ids.shape[1] > DENSE
        masks = trees.inputs(model)["attention_mask"]
        mask = masks["full_attention"] if isinstance(masks, dict) else masks
        assert mask.numel() == (len(mask) * trees.ids.shape[1] * (3 if own else len(mask[0, 0])))
        by_row, total = scores(model, trees)
        total.backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        results.append((by_row, gradients))
        model.zero_grad()
    (expected, wanted), (found, got) = results
    for row in rows:
        assert torch.allclose(found[row], expected[row], atol=1e-5)
    for name, gradient in wanted.items():
        assert (got[name] - gradient).abs().max() <= 1e-5 * gradient.abs().max(), name


def test_trees_side_by_side_keep_their_rows(tiny_model: Tiny) -> None:
    model = tiny_model()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    parts = [laid(ROWS[:3]), laid(ROWS[4:]), laid(ROWS[2:], most=2)]
    together = side_by_side(parts)
    assert together.rows == tuple(row for part in parts for row in part.rows)
    found, expected = scores(model, together)[0], scores(model, laid(ROWS, None))[0]
    for row in ROWS:
        assert torch.allclose(found[row], expected[row], atol=1e-5)


def test_activations_move_from_one_layout_to_another() -> None:
    old, new = laid(ROWS), laid(ROWS[1:], None)
    rows = [old.rows.index(row) for row in new.rows]
    # An activation that says whose it is: its token and depth.
    hidden = torch.stack([old.ids, old.depths], -1)
    there = relocate(hidden, old, new, rows)
    for row, places in zip(new.rows, new.places, strict=True):
        found = there.flatten(0, 1)[places[: len(row)]].tolist()
        assert found == [[token, depth] for depth, token in enumerate(row)]


def test_a_model_without_masks_of_our_own_shares_nothing(tiny_model: Tiny) -> None:
    model = tiny_model("llama")
    projections, mlp, norms = 32 * (32 + 16 + 16 + 32), 3 * 32 * 48, 2 * 32
    assert attention_reach(model) == 4 * (projections + mlp + norms) / (14 * 4 * 8)
    model.config._attn_implementation = "flash_attention_2"
    assert attention_reach(model) is None
