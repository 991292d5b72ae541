"""Reused activations, a head on loss positions, a swapped reference: same numbers, less work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.base.errors import InputError
from layergym.trainer.layers.selection import decoder_layers, select
from layergym.trainer.rows.prefix import Prefix, Reference, refuse_dropout, sampled_logprobs
from layergym.trainer.rows.trees import lay_out

Tiny = Callable[..., PreTrainedModel]

GENERATOR = torch.Generator().manual_seed(0)
IDS = torch.randint(4, 24, (3, 12), generator=GENERATOR)
SAMPLED = torch.rand(IDS.shape, generator=GENERATOR) < 0.4
SAMPLED[:, 0] = False
SAMPLED[1, 9:] = False  # padding
IDS[1, 9:] = 0
ROWS = lay_out([[tuple(row)] for row in IDS.tolist()])


def fused(model: PreTrainedModel) -> PreTrainedModel:
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model


def logprobs(model: PreTrainedModel) -> torch.Tensor:
    return sampled_logprobs(model, model, ROWS, SAMPLED)[0]


def backward(model: PreTrainedModel) -> None:
    logprobs(model).sum().backward()


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def count_passes(layers: nn.ModuleList) -> Counter[int]:
    """Counts forward passes per layer from now on."""
    seen: Counter[int] = Counter()
    for i, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, i=i: seen.update([i]))
    return seen


def test_log_probabilities_are_the_models_own(tiny_model: Tiny, family: str) -> None:
    model = fused(tiny_model(family))
    found, entropy, _ = sampled_logprobs(model, model, ROWS, SAMPLED)
    mask = (IDS != 0).long()
    expected = model(input_ids=IDS, attention_mask=mask).logits[:, :-1].log_softmax(-1)
    chosen = expected.gather(-1, IDS[:, 1:, None])[..., 0]
    wanted = SAMPLED[:, 1:]
    assert torch.allclose(found[wanted], chosen[wanted], atol=1e-5)
    assert torch.allclose(entropy[wanted], -(expected.exp() * expected).sum(-1)[wanted], atol=1e-5)
    assert not found[~wanted].any() and not entropy[~wanted].any()


@pytest.mark.parametrize("layers", ["3", "2-4", "1,4", "5"])
def test_gradients_from_reused_activations_equal_those_without(
    tiny_model: Tiny, family: str, layers: str
) -> None:
    model = fused(tiny_model(family))
    selection = select(model, layers)
    backward(model)
    plain = gradients(model)

    prefix = Prefix(decoder_layers(model), selection.first)
    with torch.no_grad(), prefix.reused():
        logprobs(model)
    with prefix.reused():
        backward(model)
    reused = gradients(model)

    assert plain.keys() == reused.keys() == set(selection.names)
    for name, expected in plain.items():
        assert torch.allclose(reused[name], expected, rtol=1e-5, atol=1e-6), name


def test_frozen_layers_below_run_once(tiny_model: Tiny) -> None:
    model = fused(tiny_model())
    layers, seen = decoder_layers(model), count_passes(decoder_layers(model))
    originals = list(layers)
    prefix = Prefix(layers, 4)
    for _ in range(3):
        with torch.no_grad(), prefix.reused():
            logprobs(model)
    assert [seen[i] for i in range(6)] == [1, 1, 1, 1, 3, 3]
    assert list(layers) == originals


def test_layers_come_back_after_an_error(tiny_model: Tiny) -> None:
    layers = decoder_layers(tiny_model())
    originals, prefix = list(layers), Prefix(layers, 2)
    prefix._hidden = torch.zeros(1)
    with pytest.raises(RuntimeError), prefix.reused():
        raise RuntimeError
    assert list(layers) == originals


def test_offloaded_activations_give_the_same(tiny_model: Tiny) -> None:
    model = fused(tiny_model())
    kept, away = (Prefix(decoder_layers(model), 3, offload=o) for o in (False, True))
    with torch.no_grad():
        for prefix in (kept, away):
            with prefix.reused():
                first = logprobs(model)
            with prefix.reused():
                assert torch.equal(logprobs(model), first)


def test_the_head_sees_only_the_positions_with_loss(
    tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    multiply = torch.mm

    def recording(a: torch.Tensor, b: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        if b.shape[1] == tiny.config.vocab_size:
            seen.append(len(a))
        return multiply(a, b, **kwargs)

    tiny = fused(tiny_model())
    monkeypatch.setattr(torch, "mm", recording)
    logprobs(tiny)
    assert seen == [int(SAMPLED.sum())]


def test_the_reference_is_the_model_as_it_was(tiny_model: Tiny) -> None:
    model = fused(tiny_model())
    selection = select(model, "3")
    before = logprobs(model).detach()
    trained = [p for p in model.parameters() if p.requires_grad]
    reference = Reference(model)
    with torch.no_grad():
        for p in trained:
            p.add_(0.1)
    after = logprobs(model).detach()
    with torch.no_grad(), reference.active():
        assert torch.equal(logprobs(model), before)
    assert torch.equal(logprobs(model), after) and not torch.equal(before, after)
    assert selection.trained < selection.total / 4


def test_attention_dropout_is_refused(tiny_model: Tiny) -> None:
    model = tiny_model("llama")
    refuse_dropout(model)
    decoder_layers(model)[1].self_attn.attention_dropout = 0.1  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"attention_dropout=0\.1"):
        refuse_dropout(model)
    with pytest.raises(InputError, match=r"p=0\.2"):
        refuse_dropout(nn.Sequential(nn.Dropout(0.2)))
