"""A base in 8 or 4 bits under layers that train exactly."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from layergym.agents.names import Speech, open_model
from layergym.base.errors import InputError
from layergym.evals.score.policies import open_trained
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.bank import groups
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.selection import quantization
from layergym.trainer.layers.stored import stored_hash
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec, make_env_of
from tests.small_runs import small_run

SPEC = small_run(max_turns=6, steps=2, tasks_per_step=2, save_every=1, quantize="int8")
LIBRARY = {"int8": "torchao", "nf4": "bitsandbytes"}


@pytest.fixture(params=["int8", "nf4"])
def spec(request: pytest.FixtureRequest) -> RunSpec:
    if importlib.util.find_spec(LIBRARY[request.param]) is None:
        pytest.skip(f"{LIBRARY[request.param]} is not installed")
    return replace(SPEC, quantize=request.param)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore")
def test_what_trains_is_exact_and_all_else_is_in_fewer_bits(spec: RunSpec, tmp_path: Path) -> None:
    whole = dict(open_model("tiny")[0].named_parameters())
    done = train(spec, tmp_path / "run")
    held = dict(done.model.named_parameters())
    delta = LayerDelta.load(tmp_path / "run")
    assert delta.base == stored_hash("tiny") and delta.layers == (3,)
    for name, tensor in delta.tensors.items():
        assert torch.equal(held[name], tensor) and not torch.equal(whole[name], tensor)
    others = [name for name in held if ".layers." in name and name not in delta.tensors]
    packed = [name for name in others if type(held[name]) is not torch.nn.Parameter]
    assert {name.split(".")[-2] for name in packed} >= {"q_proj", "o_proj", "up_proj", "down_proj"}
    assert all("proj" not in name for name in set(others) - set(packed))
    assert all(row["mismatch"] < 1e-5 for row in done.metrics)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_and_a_later_score_see_the_same_base(spec: RunSpec, tmp_path: Path) -> None:
    once = train(spec, tmp_path / "once")
    train(spec, tmp_path / "twice", until=1)
    train(spec, tmp_path / "twice", resume=True)
    one, two = (load_file(tmp_path / name / "delta.safetensors") for name in ("once", "twice"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    make_env = make_env_of(spec, "test")
    agent = open_trained(str(tmp_path / "once"), Speech(), make_env, make_env)
    ids = torch.arange(1, 40)[None]
    with torch.no_grad():
        opened = agent.sampler.model(ids).logits  # type: ignore[attr-defined]
        assert torch.equal(opened, once.model(ids).logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantize": "int3"}, "int8"),
        ({"lora": 2}, "--lora"),
        ({"sampler": "vllm"}, "--sampler"),
        ({"overlap": True}, "--overlap"),
    ],
)
def test_what_does_not_go_with_it_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SPEC, **change)  # type: ignore[arg-type]


def test_where_nothing_is_frozen_nothing_can_be_quantised() -> None:
    with pytest.raises(InputError, match="no layer is frozen"):
        quantization("tiny", "all", "int8")
    with pytest.raises(InputError, match="share one base"):
        SweepSpec(run=SPEC, layers=(3,))
    assert groups([SPEC, replace(SPEC, layers="4")]) == []


def test_a_missing_library_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(InputError, match=r"layergym\[quantize\]"):
        train(SPEC, tmp_path / "run")
    assert not (tmp_path / "run").exists()
