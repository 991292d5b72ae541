"""ALFWorld: speed and memory, beside alfworld's own engine in the same run.

Both play random admissible commands of the same games. Times are CPU times (of the process that
plays), so that other work on the machine hardly counts; only `AsyncVectorEnv`, which has several
processes, is timed by the clock.

    python benchmarks/alfworld_steps.py                                    # a minute, no data
    python benchmarks/alfworld_steps.py --games ~/.cache/alfworld --split valid_seen
    python benchmarks/alfworld_steps.py --flat 1000000                     # memory, minutes
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from layergym.envs.alfworld import ALFWorld
from layergym.envs.alfworld.game import build_game
from layergym.envs.alfworld.reference import ReferenceServer

GAMES = 100
STEPS = 50_000
ORIGINAL_GAMES = 6
ORIGINAL_STEPS = 20
FLAT_GAMES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", default="generated")
    parser.add_argument("--split", default="train")
    parser.add_argument("--flat", type=int, metavar="STEPS", help="only watch the memory")
    options = parser.parse_args()
    make = partial(ALFWorld, games=options.games, split=options.split)
    if options.flat:
        flat(make, options.flat)
        return
    ours, theirs = native(make), original(make)
    print(f"{'':24}{'layergym':>14}{'alfworld':>14}{'ratio':>12}")
    for name, (value, unit) in theirs.items():
        mine = ours[name][0]
        ratio = mine / value if unit == "/s" else value / mine
        print(f"{name:24}{mine:>11,.6g} {unit:3}{value:>10,.4g} {unit:3}{ratio:>11,.0f}x")
    print(f"{'one game in memory':24}{ours['game'][0]:>11,.0f} KB")
    for name, rate in vectors(make).items():
        print(f"{name:24}{rate:>11,.0f} /s")


def native(make: Callable[[], ALFWorld]) -> dict[str, tuple[float, str]]:
    """The engine here, through `env.step`."""
    env = make()
    tasks = pick(env, GAMES)
    sources = [env._games.load(task) for task in tasks]
    load_s = cpu(lambda: [build_game(*source) for source in sources]) / len(tasks)
    resets(env, tasks)
    reset_s = cpu(lambda: resets(env, tasks)) / len(tasks)
    steps_s = cpu(lambda: random_steps(env, tasks, STEPS))
    game_mb = allocated_mb(lambda: [build_game(*source) for source in sources]) / len(tasks)
    copy_mb = allocated_mb(lambda: [env.clone() for _ in tasks]) / len(tasks)
    return {
        "load": (load_s * 1000, "ms"),
        "reset": (reset_s * 1000, "ms"),
        "steps": (STEPS / steps_s, "/s"),
        "memory per environment": (copy_mb, "MB"),
        "game": (game_mb * 1024, "KB"),
    }


def original(make: Callable[[], ALFWorld]) -> dict[str, tuple[float, str]]:
    """Alfworld's engine as it is, in a process of its own."""
    env = make()
    spent = {"load": 0.0, "reset": 0.0, "steps": 0.0}
    rng = random.Random(0)
    with ReferenceServer() as server:

        def timed(what: str, **request: Any) -> dict[str, Any]:
            before = server.ask(usage=True)["cpu_s"]
            reply = server.ask(**request)
            spent[what] += server.ask(usage=True)["cpu_s"] - before
            return reply

        def begin(task: str) -> dict[str, Any]:
            problem, sentence = env._games.load(task)
            return {"problem": problem, "sentence": sentence, "version": "0.4"}

        tasks = pick(env, ORIGINAL_GAMES)
        server.ask(**begin(tasks[0]), shuffle_seed=None)
        for task in tasks:
            timed("load", **begin(task), shuffle_seed=None)
            reply = timed("reset", again=True)
            for _ in range(ORIGINAL_STEPS):
                reply = timed("steps", command=rng.choice(reply["admissible"]))
        peak_mb = server.ask(usage=True)["peak_mb"]
    games, steps = len(tasks), len(tasks) * ORIGINAL_STEPS
    return {
        # Beginning a game loads and resets it.
        "load": ((spent["load"] - spent["reset"]) / games * 1000, "ms"),
        "reset": (spent["reset"] / games * 1000, "ms"),
        "steps": (steps / spent["steps"], "/s"),
        "memory per environment": (peak_mb, "MB"),
    }


def vectors(make: Callable[[], ALFWorld]) -> dict[str, float]:
    """Steps per second of Gymnasium's vector environments."""
    rates = {}
    sync = SyncVectorEnv([make] * 64)
    sync.reset(seed=0)
    actions = np.array(["look"] * 64, dtype=object)
    rates["SyncVectorEnv(64), CPU"] = (
        64 * 100 / cpu(lambda: [sync.step(actions) for _ in range(100)])
    )
    sync.close()
    several = AsyncVectorEnv([make] * 2)
    several.reset(seed=0)
    started = time.perf_counter()
    for _ in range(1000):
        several.step(np.array(["look"] * 2, dtype=object))
    rates["AsyncVectorEnv(2), clock"] = 2 * 1000 / (time.perf_counter() - started)
    several.close()
    return rates


def flat(make: Callable[[], ALFWorld], steps: int) -> None:
    """Print the memory while random play goes on over many games."""
    env = make()
    tasks = pick(env, FLAT_GAMES)
    resets(env, tasks)
    for part in range(11):
        print(f"{part * steps // 10:>9,} steps: {memory_mb():7.1f} MB", flush=True)
        if part < 10:
            random_steps(env, tasks, steps // 10, seed=part)


def pick(env: ALFWorld, number: int) -> list[str]:
    """`number` tasks spread over the panel."""
    tasks = list(env.tasks)
    return random.Random(0).sample(tasks, min(number, len(tasks)))


def resets(env: ALFWorld, tasks: list[str]) -> None:
    for task in tasks:
        env.reset(options={"task": task})


def random_steps(env: ALFWorld, tasks: list[str], steps: int, seed: int = 0) -> None:
    """Random admissible commands; listing them is part of the work."""
    rng = random.Random(seed)
    taken = episode = 0
    while taken < steps:
        env.reset(options={"task": tasks[episode % len(tasks)]})
        episode += 1
        over = False
        while not over and taken < steps:
            _, _, terminated, truncated, _ = env.step(rng.choice(env.admissible()))
            over = terminated or truncated
            taken += 1


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds that `work` takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def allocated_mb(work: Callable[[], object]) -> float:
    """Memory that Python allocated for the result of `work`."""
    tracemalloc.start()
    result = work()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return size / 2**20


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
