"""How hard WebShop's goals are: score and success of scripted shoppers, as a table.

Score is the mean reward times 100, success the share of full rewards in percent; an episode that
ends without a purchase counts 0. All tasks of a split are played, up to `--limit`.

    python benchmarks/webshop_policies.py                          # the generated catalogue
    python benchmarks/webshop_policies.py --data path/to/webshop   # WebShop's files as well
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from layergym.envs.webshop import WebShop
from layergym.envs.webshop.expert import POLICIES, ShopPolicy
from layergym.envs.webshop.generated import DIFFICULTIES
from layergym.envs.webshop.splits import SPLITS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="WebShop's files, played as well")
    parser.add_argument("--limit", type=int, default=500, help="tasks per split")
    options = parser.parse_args()
    print("| goals | split | tasks |" + "".join(f" {name} |" for name in POLICIES))
    print("|---|---|--:|" + "--:|" * len(POLICIES))
    for name, env in panels(options.data):
        tasks = env.tasks[: options.limit]
        cells = [cell(env, policy, tasks) for policy in POLICIES.values()]
        print(f"| {name} | {env.split} | {len(tasks):,} | {' | '.join(cells)} |", flush=True)


def panels(data: Path | None) -> Iterator[tuple[str, WebShop]]:
    for goals in DIFFICULTIES:
        for split in SPLITS:
            yield f"generated, {goals}", WebShop(goals=goals, split=split)
    for order in ("product", "original") if data else ():
        for split in SPLITS:
            yield f"real, by {order}", WebShop(data=data, order=order, split=split)


def cell(env: WebShop, policy: ShopPolicy, tasks: Sequence[str]) -> str:
    """Score / success."""
    results = [play(env, policy, task) for task in tasks]
    return f"{100 * mean(results):.1f} / {100 * mean(r == 1 for r in results):.1f}"


def play(env: WebShop, policy: ShopPolicy, task: str) -> float:
    """The reward of an episode."""
    env.reset(options={"task": task})
    while action := policy(env.shop, env.state, env.goal):
        _, reward, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            return reward
    return 0.0


if __name__ == "__main__":
    main()
