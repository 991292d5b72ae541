"""A third-party environment, trained through the public API."""

import sys
from pathlib import Path

import torch

import layergym as lg
from layergym.agents import LLMAgent, PromptStyle, TransformersSampler, rollout
from layergym.agents.models.tiny import build_model, build_tokenizer
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.trainer import GiGPOTrainer

sys.path.insert(0, str(Path(__file__).parents[1] / "plugin_package"))


def test_a_policy_learns_the_vault(tmp_path: Path) -> None:
    from vault_env import Vault

    lg.register("test/Vault-v0", Vault)
    tokenizer = build_tokenizer(["The note says 1 2 3 4 5 6 7 8 9 ."])
    model = build_model(tokenizer, layers=2, width=32, seed=1)
    sampler = TransformersSampler(model, tokenizer, max_new_tokens=1)
    agent = LLMAgent(sampler, tokenizer, PromptStyle("plain"))
    panel = lg.panel(lg.make("vault-v0"), 64)
    trainer = GiGPOTrainer(
        model,
        GiGPOConfig(
            output_dir=str(tmp_path),
            layers="all",
            max_steps=60,
            tasks_per_step=8,
            num_generations=8,
            learning_rate=1e-2,
            invalid_penalty=0.0,
            exact_sampler=True,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        panel,
        lambda jobs: rollout(agent, lambda: lg.make("vault-v0"), jobs),
        tokenizer,
    )
    trainer.train()
    reward = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    assert sum(reward[-5:]) / 5 > sum(reward[:5]) / 5 + 0.3


def test_seeds_are_not_global(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    build_model(build_tokenizer(["a b"]), layers=1, width=32, seed=3)
    assert torch.equal(before, torch.get_rng_state())
