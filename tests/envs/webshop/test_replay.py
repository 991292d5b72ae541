"""Episodes recorded in the original code, replayed step by step."""

import gzip
import json
from pathlib import Path

from layergym.envs.webshop import WebShop
from layergym.envs.webshop.tasks import CatalogueGoals


def test_recorded_episodes_replay_without_a_difference(webshop_data: Path) -> None:
    envs = {
        split: WebShop(
            data=webshop_data,
            goals=webshop_data / "golden_goals.json.gz",
            order="original",
            split=split,
            max_turns=10**6,
        )
        for split in ("test", "valid", "train")
    }
    differences, steps = [], 0
    with gzip.open(webshop_data / "golden_episodes.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            episode = json.loads(line)
            number = episode["goal"]
            split = "test" if number < 500 else "valid" if number < 1500 else "train"
            env = envs[split]
            first, *rest = episode["steps"]
            text, _ = env.reset(options={"task": f"goal-{number:08d}"})
            seen = [(text, 0.0, False, env.shop.clickables(env.state))]
            wanted = [(first["obs"], 0.0, False, first["clickables"])]
            for step in rest:
                text, reward, done, _, _ = env.step(step["action"])
                seen.append((text, reward, done, env.shop.clickables(env.state)))
                wanted.append((step["obs"], step["reward"], step["done"], step["clickables"]))
            steps += len(rest)
            differences += [number for a, b in zip(seen, wanted, strict=True) if a != b]
    assert steps > 1500
    assert differences == []


def test_goals_come_in_the_order_of_the_original(webshop_data: Path) -> None:
    recorded = json.loads(gzip.decompress((webshop_data / "golden_goals.json.gz").read_bytes()))
    env = WebShop(data=webshop_data, order="original", split="test")
    goals = CatalogueGoals(env.shop.catalogue, "synthetic")
    assert len(recorded["goals"]) == 6910
    for number, goal in enumerate(recorded["goals"]):
        own = goals.goal(number)
        assert (own.asin, own.options) == (goal["asin"], tuple(goal["goal_options"].items()))
        # Price bounds were drawn unseeded, so only what stands before them is comparable.
        words = own.instruction.partition(", and price")[0]
        assert words == goal["instruction_text"].partition(", and price")[0]
