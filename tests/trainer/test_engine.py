"""Rollouts through a server that speaks vLLM's protocol, small enough for every test run.

`test_vllm_real.py` has the real one; here the tiny model answers behind the same addresses.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, Qwen3MoeConfig, Qwen3MoeForCausalLM

from layergym.agents import Job, LLMAgent, PromptStyle, Trajectory, TransformersSampler, rollout
from layergym.agents.names import open_model
from layergym.agents.servers.vllm_server import VLLMServer
from layergym.envs import InputError, TextEnv, make, panel
from layergym.trainer.engine import in_checkpoint_form, open_engine, through
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec, check_sampler
from tests.trainer.vllm_backend import Backend, serving


@pytest.fixture
def backend() -> Iterator[Backend]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return open_model("tiny")[0]


def agents(
    backend: Backend, model: PreTrainedModel, folder: Path, temperature: float
) -> tuple[LLMAgent, LLMAgent]:
    here = TransformersSampler(model, backend.words, max_new_tokens=8, temperature=temperature)
    there = through(open_engine(f"vllm@{backend.url}", folder, model), here)
    backend.asked.clear()
    style = PromptStyle("plain")
    return LLMAgent(here, backend.words, style), LLMAgent(there, backend.words, style)


def played(agent: LLMAgent, turns: int = 3) -> list[Trajectory]:
    def env() -> TextEnv:
        return make("alfworld-v0", max_turns=turns)

    return rollout(agent, env, [Job(task, n) for n, task in enumerate(panel(env(), 3).tasks)])


def test_greedy_replies_are_the_models_own(
    backend: Backend, model: PreTrainedModel, tmp_path: Path
) -> None:
    here, there = agents(backend, model, tmp_path, 0.0)
    for mine, theirs in zip(played(here), played(there), strict=True):
        assert [t.reply.ids for t in mine.turns] == [t.reply.ids for t in theirs.turns]
        for a, b in zip(mine.turns, theirs.turns, strict=True):
            assert a.reply.logprobs == pytest.approx(b.reply.logprobs, abs=1e-4)
            assert (a.reply.extends, a.reply.finish) == (b.reply.extends, b.reply.finish)


def test_prompts_carry_the_whole_context_and_replies_have_seeds_of_their_own(
    backend: Backend, model: PreTrainedModel, tmp_path: Path
) -> None:
    _, there = agents(backend, model, tmp_path, 1.0)
    trajectories = played(there)
    asked = {tuple(body["prompt"]): body["seed"] for body in backend.asked}
    assert len(set(asked.values())) == len(asked) == 9
    assert {body["top_p"] for body in backend.asked} == {1.0}
    for trajectory in trajectories:
        context: tuple[int, ...] = ()
        for turn in trajectory.turns:
            context += turn.reply.prompt_ids
            assert context in asked
            context += turn.reply.ids
    assert played(there) == trajectories
    assert {tuple(body["prompt"]): body["seed"] for body in backend.asked} == asked


def spec(backend: Backend, **more: Any) -> RunSpec:
    return RunSpec(
        env="alfworld-v0",
        env_args={"max_turns": 3},
        sampler=f"vllm@{backend.url}",
        layers="4",
        steps=2,
        tasks_per_step=2,
        group_size=4,
        invalid_penalty=0.1,
        learning_rate=1e-2,
        save_every=1,
        **more,
    )


def test_training_sends_the_chosen_layer_before_each_rollout_and_at_the_end(
    backend: Backend, tmp_path: Path
) -> None:
    done = train(spec(backend), tmp_path)
    assert len(backend.loaded) == 3
    names = {name for tensors in backend.loaded for name in tensors}
    assert names
    assert all(".layers.4." in name for name in names)
    for before, after in pairwise(backend.loaded):
        assert any(not torch.equal(before[name], after[name]) for name in names)
    trained = LayerDelta.load(tmp_path).tensors
    assert {name: backend.loaded[-1][name].tolist() for name in trained} == {
        name: value.tolist() for name, value in trained.items()
    }
    assert isinstance(done.engine, VLLMServer), "which has what was trained, to be scored"
    mismatch = [row["mismatch_max"] for row in done.metrics if "mismatch_max" in row]
    assert mismatch
    assert max(mismatch) < 1e-4, "on policy, although the weights move a lot"
    assert not list(tmp_path.glob("weights-*"))


def test_rollouts_that_are_played_ahead_have_the_weights_of_one_step_before(
    backend: Backend, tmp_path: Path
) -> None:
    done = train(replace(spec(backend), overlap=True, save_every=10, steps=3), tmp_path)
    first, second, third, _ = backend.loaded
    assert all(torch.equal(first[name], value) for name, value in second.items())
    assert any(not torch.equal(first[name], value) for name, value in third.items())
    assert [row["policy_age"] for row in done.metrics] == [0, 1, 1]
    fresh, *older = (row["mismatch_max"] for row in done.metrics)
    assert fresh < 1e-4 < min(older), "what the older policy said is weighed by TRL's correction"


def test_a_stopped_run_goes_on_with_its_own_weights(backend: Backend, tmp_path: Path) -> None:
    whole = train(spec(backend), tmp_path / "whole")
    train(spec(backend), tmp_path / "parts", until=1)
    train(spec(backend, seed=9), tmp_path / "other", until=1)  # Leaves other weights behind.
    parts = train(spec(backend), tmp_path / "parts", resume=True)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, atol=1e-5, rtol=0)


def test_what_is_wrong_is_said_before_the_run(
    backend: Backend, model: PreTrainedModel, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match='no sampler "vlm"'):
        check_sampler("vlm")
    if not importlib.util.find_spec("vllm"):
        with pytest.raises(InputError, match="vLLM cannot be imported here"):
            open_engine("vllm", tmp_path, model)
    with pytest.raises(InputError, match="is not an address"):
        VLLMServer("localhost:8000")
    with torch.no_grad():
        other = open_model("tiny")[0]
        for weight in other.parameters():
            weight.mul_(0.7)
    with pytest.raises(InputError, match="serves another model"):
        open_engine(f"vllm@{backend.url}", tmp_path, other)
    backend.busy = True
    with pytest.raises(InputError, match="busy with other requests"):
        open_engine(f"vllm@{backend.url}", tmp_path, model)


def test_experts_travel_under_their_names_in_checkpoints(tmp_path: Path) -> None:
    config = Qwen3MoeConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=16,
        moe_intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_experts=4,
    )
    mixture = Qwen3MoeForCausalLM(config)
    mixture.save_pretrained(tmp_path)
    stored = {
        n: t for n, t in load_file(tmp_path / "model.safetensors").items() if "layers.1." in n
    }
    held = {n: p.data for n, p in mixture.named_parameters() if "layers.1." in n}
    sent = in_checkpoint_form(mixture, held)
    assert sent.keys() == stored.keys()
    assert all(torch.equal(sent[name], stored[name]) for name in stored)
