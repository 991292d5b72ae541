"""Solved episodes as conversations, in the form that trl.SFTTrainer and `datasets` read."""

import json
from pathlib import Path

import layergym as lg

FILE = Path("runs/solved.jsonl")


def env() -> lg.TextEnv:
    """One environment."""
    return lg.make("alfworld-v0", max_receptacles=8, num_objects=8, max_turns=12)


if __name__ == "__main__":
    jobs = [lg.Job(task, seed=0) for task in lg.panel(env(), 16).tasks]
    episodes = lg.rollout(lg.open_agent("expert"), env, jobs)  # Or any model by name.
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("w", encoding="utf-8") as file:
        for episode in (e for e in episodes if e.success):
            messages = [{"role": "system", "content": env().instructions}]
            for turn in episode.turns:
                messages.append({"role": "user", "content": turn.observation})
                messages.append({"role": "assistant", "content": turn.action})
            file.write(json.dumps({"messages": messages}) + "\n")
    print(f"{sum(e.success for e in episodes)} conversations: {FILE}")
