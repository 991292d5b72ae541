"""What trains is stepped in float32, whatever the model computes with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.agents.models.compute import choose_device, choose_dtype
from layergym.agents.models.save import save_model
from layergym.agents.names import open_model, open_stored
from layergym.base.errors import InputError, Notice
from layergym.evals.sweep.demo import demo_sweep
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.frozen import base_hash, digests
from layergym.trainer.layers.lora import with_lora
from layergym.trainer.parts.memory import prefix_must_leave
from layergym.trainer.run import train
from layergym.trainer.trainer import GiGPOTrainer
from tests.trainer.rows.test_trees import laid, scores

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
HALF = torch.bfloat16
CPU = torch.device("cpu")


def halved(make: Tiny) -> PreTrainedModel:
    """The tiny model as most checkpoints are stored."""
    model: Any = make()
    return model.to(HALF)  # type: ignore[no-any-return]


@pytest.fixture
def half(tiny_model: Tiny) -> PreTrainedModel:
    return halved(tiny_model)


def trained(build: Build, model: PreTrainedModel, **settings: Any) -> GiGPOTrainer:
    """A run whose step is far below what bfloat16 shows of a weight of 0.2."""
    trainer = build(model=model, max_steps=4, **{"learning_rate": 1e-6, **settings})
    with pytest.warns(Notice, match="bfloat16"):
        trainer.train()
    return trainer


def update(trainer: GiGPOTrainer, base: PreTrainedModel) -> torch.Tensor:
    """The change of everything that trained, in one vector."""
    old, new = dict(base.named_parameters()), trainer.delta().tensors
    return torch.cat([(new[n] - old[n].float()).flatten() for n in sorted(new)]).detach()


@pytest.mark.parametrize("layers", ["3", "all"])
def test_steps_below_bfloat16s_rounding_are_kept(
    build: Build, tiny_model: Tiny, half: PreTrainedModel, layers: str
) -> None:
    moved = update(trained(build, half, layers=layers), halved(tiny_model))
    assert (moved != 0).float().mean() > 0.9
    assert 1e-6 < moved.abs().max() < 5e-6


def test_the_model_computes_with_the_rounding_of_what_is_stepped(
    build: Build, half: PreTrainedModel
) -> None:
    trainer = trained(build, half, layers="3", learning_rate=1e-5)
    delta, now = trainer.delta(), dict(half.named_parameters())
    assert {value.dtype for value in delta.tensors.values()} == {torch.float32}
    for name, value in delta.tensors.items():
        assert now[name].dtype == HALF and torch.equal(now[name], value.to(HALF))


def test_float32_and_bfloat16_take_the_same_step_on_the_same_rows(
    build: Build, tiny_model: Tiny, sampling: Callable[..., Any], half: PreTrainedModel
) -> None:
    """The same starting values and the same episodes: only the passes differ."""
    full = halved(tiny_model).float()
    play = sampling(halved(tiny_model))
    moved = []
    for model in (half, full):
        trainer = build(model=model, rollout=play, layers="3", max_steps=1, learning_rate=1e-6)
        if model is half:
            with pytest.warns(Notice, match="bfloat16"):
                trainer.train()
        else:
            trainer.train()
        moved.append(update(trainer, halved(tiny_model)))
    shares = [float((one != 0).float().mean()) for one in moved]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)
    # Adam's first step is the sign of the gradient: nearly all agree.
    assert torch.cosine_similarity(moved[0], moved[1], dim=0) > 0.9


@pytest.mark.parametrize("layers", ["3", "all"])
def test_a_resumed_run_is_bit_equal(
    build_in: Build, tiny_model: Tiny, tmp_path: Path, layers: str
) -> None:
    def run(name: str, stop: int) -> GiGPOTrainer:
        trainer = build_in(
            model=halved(tiny_model),
            output_dir=str(tmp_path / name),
            layers=layers,
            learning_rate=1e-6,
            max_steps=stop,
            save_strategy="steps",
            save_steps=2,
        )
        with pytest.warns(Notice, match="bfloat16"):
            trainer.train(resume_from_checkpoint=(name == "parts" and stop == 4) or None)
        return trainer

    whole = run("whole", 4)
    run("parts", 2)
    parts = run("parts", 4)
    ours, theirs = whole.delta().tensors, parts.delta().tensors
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    kept = load_file(tmp_path / "parts" / "checkpoint-4" / "layer_delta.safetensors")
    assert all(torch.equal(kept[name], ours[name]) for name in ours)


def test_adapters_are_stepped_in_float32(build: Build, half: PreTrainedModel) -> None:
    trainer = build(model=with_lora(half, "3", 2, 0), layers="3", learning_rate=1e-6)
    trainer.train()
    delta = trainer.delta()
    assert {value.dtype for value in delta.tensors.values()} == {torch.float32}
    ups = [value for name, value in delta.tensors.items() if name.endswith("lora_B")]
    assert all((up != 0).any() for up in ups)


def test_a_model_in_another_precision_is_the_same_base(tiny_model: Tiny) -> None:
    half = halved(tiny_model)
    assert base_hash(digests(half)) == base_hash(digests(halved(tiny_model).float()))
    assert base_hash(digests(half)) != base_hash(digests(tiny_model()))


def test_applying_to_16_bits_says_what_is_lost_and_to_float32_loses_nothing(
    build: Build, tiny_model: Tiny, half: PreTrainedModel, tmp_path: Path
) -> None:
    trainer = trained(build, half, layers="3")
    trainer.delta().save(tmp_path / "delta")
    delta = LayerDelta.load(tmp_path / "delta")
    again = halved(tiny_model)
    before = digests(again)
    with pytest.warns(Notice, match="of the trained entries differ from the base"):
        undo = delta.apply(again)
    assert digests(again) == digests(half)
    undo.put(again)
    assert digests(again) == before
    full = halved(tiny_model).float()
    delta.apply(full)
    assert all(torch.equal(dict(full.named_parameters())[n], v) for n, v in delta.tensors.items())


def test_every_step_says_how_far_each_layer_is_from_the_start(
    build: Build, half: PreTrainedModel
) -> None:
    trainer = trained(build, half, layers="2,3")
    rows = [row for row in trainer.state.log_history if "loss" in row]
    for layer in ("layer_2", "layer_3"):
        assert [row[f"changed/{layer}"] > 0.9 for row in rows] == [True] * 4
        assert all(row[f"changed_bf16/{layer}"] < 0.05 for row in rows)
        assert 0 < rows[0][f"change/{layer}"] < rows[3][f"change/{layer}"] < 1e-3


# ---- memory -------------------------------------------------------------------------------------


def test_memory_that_runs_out_is_met_with_smaller_passes(build: Build, tiny_model: Tiny) -> None:
    """A model that cannot hold 40 tokens with grad: 8 rows of 13 do not go in one pass."""

    def limited(_: Any, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled() and kwargs["input_ids"].numel() > 40:
            raise torch.OutOfMemoryError("no memory for this many tokens")

    done = []
    for limit in (False, True):
        model = tiny_model()
        if limit:
            model.register_forward_pre_hook(limited, with_kwargs=True)
        trainer = build(model=model, layers="3", tokens_per_pass=256)
        if limit:
            with pytest.warns(Notice, match="memory ran out"):
                trainer.train()
            assert trainer.tokens_per_pass < 256
        else:
            trainer.train()
        done.append(trainer.delta().tensors)
    for name, value in done[0].items():
        torch.testing.assert_close(done[1][name], value, rtol=1e-3, atol=1e-4)


def test_a_row_that_does_not_fit_alone_is_an_error_in_a_sentence(
    build: Build, tiny_model: Tiny
) -> None:
    def limited(*_: Any) -> None:
        if torch.is_grad_enabled():
            raise torch.OutOfMemoryError("none at all")

    model = tiny_model()
    trainer = build(model=model, layers="3")
    model.register_forward_pre_hook(limited)
    with pytest.warns(Notice), pytest.raises(InputError, match="--tokens-per-pass"):
        trainer.train()


def test_activations_cached_for_a_rollout_leave_where_they_take_a_fifth_of_what_is_free(
    tiny_model: Tiny,
) -> None:
    taken = 1000 * 32 * 4  # Tokens of 32 channels of float32.
    assert prefix_must_leave(tiny_model(), 1000, 5 * taken - 5)
    assert not prefix_must_leave(tiny_model(), 1000, 5 * taken)
    assert not prefix_must_leave(halved(tiny_model), 1000, 5 * taken // 2)


# ---- sampler and trainer ------------------------------------------------------------------------


def test_sampler_and_trainer_agree_in_bfloat16(tmp_path: Path) -> None:
    model, tokenizer = open_stored("tiny")
    save_model(cast(Any, model).to(HALF), tmp_path / "stored", tokenizer)
    spec = replace(
        demo_sweep((0,)).run,
        model=str(tmp_path / "stored"),
        dtype="bfloat16",
        layers="3",
        tasks_per_step=4,
        steps=1,
        learning_rate=1e-3,
    )
    (row,) = train(spec, tmp_path / "run").metrics
    assert 0 < row["mismatch"] < 5e-4


def test_in_bfloat16_a_large_tree_gives_most_tokens_what_rows_alone_give_to_the_bit() -> None:
    """900 slots: a CPU's own 16-bit attention, which rounds by blocks of 512 keys, gives half."""
    model, _ = open_model("tiny", dtype="bfloat16", device="cpu")
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    draw = torch.Generator().manual_seed(0)
    words = (5, model.config.vocab_size)
    stem = torch.randint(*words, (24,), generator=draw).tolist()
    rows = [(*stem, *end) for end in torch.randint(*words, (10, 90), generator=draw).tolist()]
    trees = laid(rows)
    assert trees.ids.shape[1] > 900
    with torch.no_grad():
        (alone, _), (together, _) = scores(model, laid(rows, None)), scores(model, trees)
    equal = torch.cat([alone[row] == together[row] for row in rows])
    assert equal.float().mean() > 0.8


# ---- rules --------------------------------------------------------------------------------------


def test_the_automatic_type_changes_no_value() -> None:
    assert choose_dtype("auto", torch.float32, CPU) == torch.float32
    assert choose_dtype("auto", torch.float16, CPU) == torch.float32
    assert choose_dtype("auto", HALF, CPU) in (torch.float32, HALF)
    assert choose_dtype("bfloat16", torch.float32, CPU) == HALF
    with pytest.raises(InputError, match="float32"):
        choose_dtype("fp32", torch.float32, CPU)


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        assert choose_device().type == "cpu"
        with pytest.raises(InputError, match="cuda"):
            choose_device("cuda")
