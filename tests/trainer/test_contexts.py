"""Training in windows: its rows are as good as stock TRL's, it resumes, and a bank can do it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]

from layergym.agents import CONTEXTS, LLMAgent, PromptStyle, Trajectory, rollout
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.models.tiny import build_model, build_tokenizer
from layergym.envs import Outcome, Panel, TextEnv, panel, register
from layergym.trainer.bank import Bank
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.schedule import jobs_of
from layergym.trainer.rows.packing import pack
from layergym.trainer.rows.trees import lay_out
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec
from layergym.trainer.trainer import GiGPOTrainer
from tests.small_runs import logged
from tests.trainer.test_parity import SHARED, difference, load, replay, weights

POLICIES = ("whole", "last:0", "last:1", "no-thoughts")


class Talk(TextEnv):
    """Say something, three times; words of an odd length are rewarded."""

    max_turns = 3
    tasks = tuple(f"t{i}" for i in range(6))
    instructions = "w4 w5"

    def start(self) -> str:
        self.word = 6 + int(self.task[1:])
        return f"w{self.word} w{self.word + 1}"

    def play(self, action: str) -> Outcome:
        self.word += 1
        return Outcome(f"w{self.word}", reward=float(len(action) % 2))


@pytest.fixture(scope="module")
def stored(tiny_model: Callable[..., PreTrainedModel], tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("model")
    tiny_model("llama").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def talk_panel() -> Panel:
    return panel(Talk(), 6)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    monkeypatch.setenv("CI", "1")


def played(
    policy: str, stored: Path, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[str]
) -> list[Trajectory]:
    sampler = TransformersSampler(load(stored), tokenizer, max_new_tokens=3)
    style = PromptStyle("plain", context=CONTEXTS.open(policy))
    jobs = list(jobs_of(tasks, 42, 0, per_rollout=2, repeats=4))
    return rollout(LLMAgent(sampler, tokenizer, style), Talk, jobs)


@pytest.mark.parametrize("loss", ["dapo", "dr_grpo"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_step_on_the_rows_of_a_policy_equals_stock_trl(
    policy: str,
    loss: str,
    stored: Path,
    talk_panel: Panel,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    """Every episode has as many rows, so a mean over rows is one over episodes."""
    from datasets import Dataset

    episodes = played(policy, stored, tokenizer, talk_panel.tasks)
    rows = pack(episodes, [[0.0] * len(t.turns) for t in episodes])
    assert len(rows) == 8 * {"whole": 1, "last:0": 3, "last:1": 2, "no-thoughts": 1}[policy]
    each = len(rows) // 8
    totals = [t.total_reward for t in episodes for _ in range(each)]
    stock, ours = load(stored), load(stored)
    before = weights(stock)

    def told(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        return {
            "prompt_ids": [list(row.ids[:2]) for row in rows],
            "completion_ids": [list(row.ids[2:]) for row in rows],
            "env_mask": [[int(s) for s in row.sampled[2:]] for row in rows],
            "logprobs": None,
            "total": totals,
        }

    one = SHARED | {"loss_type": loss, "beta": 0.1, "max_steps": 1, "max_completion_length": 64}
    GRPOTrainer(
        model=stock,
        reward_funcs=lambda total, **_: total,
        args=GRPOConfig(
            output_dir=str(tmp_path / "stock"),
            per_device_train_batch_size=len(rows),
            gradient_checkpointing=False,
            bf16=False,
            scale_rewards="none",
            **one | {"num_generations": 4 * each},
        ),
        train_dataset=Dataset.from_dict({"prompt": ["x", "y"] * 4}),
        processing_class=tokenizer,
        rollout_func=told,
    ).train()
    settings = GiGPOConfig(
        output_dir=str(tmp_path / "ours"),
        algorithm="dr_grpo" if loss == "dr_grpo" else "grpo",
        norm="std" if loss == "dr_grpo" else "none",
        tasks_per_step=2,
        per_device_train_batch_size=3,
        **one,
    )
    GiGPOTrainer(ours, settings, talk_panel, replay([episodes]), tokenizer).train()
    assert difference(weights(stock), weights(ours)) <= 1e-6
    assert difference(weights(ours), before) > 1e-4


@pytest.fixture(scope="module")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    register("test/Chat-v0", Talk)
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = build_tokenizer([" ".join(f"w{n}" for n in range(20))])
    build_model(tokenizer, layers=3, width=32, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text('{"model": "new"}')
    return str(folder)


def spec(folder: str, context: str, **more: Any) -> RunSpec:
    return RunSpec(
        env="test/Chat-v0",
        model=folder,
        context=context,
        steps=4,
        tasks_per_step=3,
        group_size=4,
        max_new_tokens=2,
        learning_rate=3e-3,
        save_every=2,
        **more,
    )


ASKS = "{% if left_out %}{{ task }} {{ note }} {% endif %}{{ observation }} w9"
HISTORY = "{{ task }}{% for one in history %} {{ one.observation }} {{ one.action }}{% endfor %}"


@pytest.mark.parametrize(
    "settings",
    [{"context": name} for name in ("last:0", "last:1", "no-thoughts")]
    + [{"context": "last:1", "prompt": ASKS, "shots": 0}, {"context": "last:2", "prompt": HISTORY}],
)
def test_a_killed_run_resumes_to_the_same_bits(
    settings: dict[str, Any], policy_folder: str, tmp_path: Path
) -> None:
    one = spec(policy_folder, layers="1", **settings)
    train(one, tmp_path / "whole")
    broken = tmp_path / "broken"
    shutil.copytree(tmp_path / "whole", broken)
    (broken / "delta.safetensors").unlink()
    shutil.rmtree(broken / "checkpoint-4")
    assert RunSpec.read(broken) == replace(
        one, tokens_per_pass=RunSpec.read(broken).tokens_per_pass
    )
    train(RunSpec.read(broken), broken, resume=True)
    name = "delta.safetensors"
    assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert logged(broken) == logged(tmp_path / "whole")


@pytest.mark.parametrize("context", ["last:0", "last:1", "no-thoughts"])
def test_variants_of_a_bank_are_the_runs_alone(
    context: str, policy_folder: str, tmp_path: Path
) -> None:
    specs = [spec(policy_folder, context, layers="0"), spec(policy_folder, context, layers="2")]
    together = [tmp_path / "bank" / str(i) for i in range(2)]
    Bank(specs).train(together)
    for one, folder in zip(specs, together, strict=True):
        alone = tmp_path / "alone" / folder.name
        train(one, alone)
        left, right = (load_file(f / "delta.safetensors") for f in (alone, folder))
        assert max(float((left[n] - right[n]).abs().max()) for n in left) < 1e-5
        for ours, theirs in zip(logged(folder), logged(alone), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
        assert (
            logged(folder)[0]["rows"] == 12 * {"last:0": 3, "last:1": 2, "no-thoughts": 1}[context]
        )


def test_windows_of_a_group_share_their_equal_beginnings(
    stored: Path, tokenizer: PreTrainedTokenizerFast, talk_panel: Panel
) -> None:
    episodes = played("last:0", stored, tokenizer, talk_panel.tasks)[:4]
    rows = sorted(row.ids for row in pack(episodes, [[1.0] * len(t.turns) for t in episodes]))
    beginnings = {row[: n + 1] for row in rows for n in range(len(row))}
    tree = lay_out([rows])
    assert tree.ids.shape == (1, len(beginnings))
    assert len(beginnings) < 0.7 * sum(map(len, rows))
