"""TRL's own GRPOTrainer on whole episodes of an environment."""

from trl import GRPOConfig, GRPOTrainer

from layergym.agents import PromptStyle
from layergym.agents.names import open_model
from layergym.trainer.bridges import episode_reward, rollout_func, task_dataset

if __name__ == "__main__":
    rooms = {"max_receptacles": 8, "num_objects": 8, "max_turns": 9}
    model, tokenizer = open_model("tiny")
    play = rollout_func("alfworld-v0", style=PromptStyle("plain"), max_new_tokens=12, **rooms)
    trainer = GRPOTrainer(
        model,
        reward_funcs=episode_reward,
        rollout_func=play,
        train_dataset=task_dataset("alfworld-v0", 16, **rooms),
        processing_class=tokenizer,
        args=GRPOConfig(
            "runs/trl",
            max_steps=2,
            per_device_train_batch_size=8,
            num_generations=8,
            learning_rate=5e-4,
            use_cpu=True,
            bf16=False,
            report_to=[],
        ),
    )
    trainer.train()
    for row in trainer.state.log_history:
        if "reward" in row:
            print(f"reward {row['reward']:.2f}")
