"""Variants of a trained model, and what training did to its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.evals.score.weights import likeness, movement
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.frozen import base_hash, digests
from layergym.trainer.layers.lora import with_lora
from layergym.trainer.layers.selection import parameters_named
from layergym.trainer.layers.variants import (
    dense,
    directions,
    exchanged,
    part_of,
    rounded,
    scaled,
    stacked,
    values_of,
    without,
)

Tiny = Callable[..., PreTrainedModel]
Values = dict[str, torch.Tensor]


@pytest.fixture
def model(tiny_model: Tiny) -> PreTrainedModel:
    return tiny_model("llama")


@pytest.fixture
def before(model: PreTrainedModel) -> Values:
    return values_of(model, parameters_named(model, "all"))


def run_of(model: PreTrainedModel, before: Values, spec: str, seed: int) -> LayerDelta:
    """As if a run had trained `spec`: a little of everything, from private random numbers."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: before[name] + 0.01 * torch.randn(before[name].shape, generator=generator)
        for name in parameters_named(model, spec)
    }
    return LayerDelta(base_hash(digests(model, buffers=False)), tuple(range(6)), tensors)


def applied(model: PreTrainedModel, delta: LayerDelta) -> Values:
    undo = delta.apply(model)
    found = values_of(model, parameters_named(model, "all"))
    undo.put(model)
    return found


def equal(one: Values, other: Values) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_a_layer_moved_and_the_rest_make_up_the_whole(
    model: PreTrainedModel, before: Values
) -> None:
    full, names = run_of(model, before, "all", 0), set(parameters_named(model, "2.attn"))
    moved, back = part_of(full, names), without(full, names)
    assert moved.changes == names and moved.changes | back.changes == full.changes
    there = applied(model, moved)
    assert all(torch.equal(there[n], (full.tensors if n in names else before)[n]) for n in before)
    there = applied(model, back)
    assert all(torch.equal(there[n], (before if n in names else full.tensors)[n]) for n in before)
    assert equal(stacked([moved, back], before).tensors, full.tensors)


def test_scaling_by_nothing_is_the_base_and_by_one_the_run(
    model: PreTrainedModel, before: Values
) -> None:
    full = run_of(model, before, "all", 0)
    assert equal(applied(model, scaled(full, before, 0)), before)
    assert equal(applied(model, scaled(full, before, 1)), full.tensors)
    half = scaled(full, before, 0.5).tensors
    for name, old in before.items():
        torch.testing.assert_close(half[name] - old, (full.tensors[name] - old) / 2)


def test_rounding_keeps_what_bfloat16_shows(model: PreTrainedModel, before: Values) -> None:
    full = run_of(model, before, "2", 0)
    name = "model.layers.2.mlp.up_proj.weight"
    tiny = replace(full, tensors={name: before[name] * (1 + 2**-14)})
    shown = rounded(tiny, before).tensors[name]
    kept = tiny.tensors[name].bfloat16() != before[name].bfloat16()
    assert torch.equal(shown[~kept], before[name][~kept])
    open_in_16_bits = full.tensors[name].bfloat16().float() - before[name].bfloat16().float()
    torch.testing.assert_close(rounded(full, before).tensors[name] - before[name], open_in_16_bits)


def test_directions_add_up_to_the_update(model: PreTrainedModel, before: Values) -> None:
    full, name = run_of(model, before, "all", 0), "model.layers.2.self_attn.q_proj.weight"
    first = directions(full, before, 2)
    assert torch.linalg.matrix_rank(first.tensors[name] - before[name], atol=1e-5) == 2
    norm = "model.norm.weight"
    assert torch.equal(first.tensors[norm], full.tensors[norm])
    whole = directions(full, before, 10_000)
    torch.testing.assert_close(whole.tensors[name], full.tensors[name])


def test_single_layer_runs_stack(model: PreTrainedModel, before: Values) -> None:
    alone = [run_of(model, before, str(i), i) for i in range(3)]
    total, mean = stacked(alone, before), stacked(alone, before, mean=True)
    for run in alone:
        for name, new in run.tensors.items():
            assert torch.equal(total.tensors[name], new)
            torch.testing.assert_close(
                mean.tensors[name] - before[name], (new - before[name]) / 3, atol=1e-6, rtol=1e-4
            )
    twice = stacked([alone[0], run_of(model, before, "0", 9)], before, mean=True)
    assert twice.changes == alone[0].changes
    with pytest.raises(InputError, match="different base"):
        stacked([alone[0], replace(alone[1], base="other")], before, mean=True)


def test_one_runs_layer_stands_in_for_anothers(model: PreTrainedModel, before: Values) -> None:
    one, other = (run_of(model, before, "all", seed) for seed in (0, 1))
    names = set(parameters_named(model, "4"))
    mixed = exchanged(one, other, names).tensors
    assert all(torch.equal(mixed[n], (other if n in names else one).tensors[n]) for n in before)


def test_low_rank_updates_become_values(tiny_model: Tiny, before: Values) -> None:
    from layergym.trainer.layers.lora import lora_delta

    adapted = with_lora(tiny_model("llama"), "1", 2, seed=0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter += 0.1
    low = lora_delta(adapted, "base", (1,), lambda parameter: parameter)
    whole = dense(low, before)
    assert whole.tensors.keys() == low.changes
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.linalg.matrix_rank(whole.tensors[name] - before[name], atol=1e-5) <= 2


def test_how_far_and_in_how_many_directions_weights_moved(
    model: PreTrainedModel, before: Values
) -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    new = before[name].clone()
    new[0, 0] += 1
    new[1, 1] += 1
    new[2, 2] *= 1 + 2**-14  # Too little for bfloat16.
    found = movement(LayerDelta("", (2,), {name: new}), before, [name])
    assert found
    assert found.change == pytest.approx(2**0.5 / float(before[name].norm()), rel=1e-4)
    assert found.changed == 3 / new.numel() and found.changed_bf16 == 2 / new.numel()
    assert found.rank == pytest.approx(2 / min(new.shape), rel=0.01)
    assert movement(LayerDelta("", (2,), {name: new}), before, ["other"]) is None


def test_how_alike_two_runs_moved_the_same_layer(model: PreTrainedModel, before: Values) -> None:
    one, other = (run_of(model, before, "2", seed) for seed in (0, 1))
    names = parameters_named(model, "2")
    same, apart = likeness(one, one, before, names), likeness(one, other, before, names)
    assert same and apart and same.cosine == pytest.approx(1) and same.overlap == 1
    assert apart.cosine is not None and abs(apart.cosine) < 0.1
    assert apart.overlap == pytest.approx(apart.by_chance, abs=0.02)
    back = scaled(one, before, -1)
    turned = likeness(one, back, before, names)
    assert turned and turned.cosine == pytest.approx(-1, abs=1e-4)
    assert likeness(one, run_of(model, before, "3", 0), before, names) is None
