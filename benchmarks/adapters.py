"""Every adapter: the package it was run with, an episode played, and steps a second.

    python benchmarks/adapters.py
    python benchmarks/adapters.py --python openenv-v0=other-venv/bin/python

Each adapter runs in a process of its own, where wanted under another interpreter: the packages do
not all resolve together. One whose package is not installed is listed as such. Steps are counted
over repeated episodes of the same agent, resets left out; waiting for a process counts.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import layergym as lg

SECONDS = 3.0
SERVER = """
import sys, uvicorn
from layergym.envs.adapters.openenv import app
uvicorn.run(app("alfworld-v0", max_receptacles=5), port=int(sys.argv[1]), log_level="critical")
"""
MODULE = """
from layergym.envs.adapters import verifiers

def load_environment():
    return verifiers.load_environment("alfworld-v0", size=3, max_receptacles=5)
"""


@dataclass(frozen=True)
class Case:
    """One adapter with the settings to run it with."""

    env: str
    package: str
    settings: dict[str, Any] = field(default_factory=dict)
    say: Callable[[lg.TextEnv, np.random.Generator], str] | None = None
    """What to do where neither expert nor admissible actions are known."""


def cell(_: lg.TextEnv, rng: np.random.Generator) -> str:
    row, column = rng.integers(8, size=2)
    return f"[{row} {column}]"


def number(_: lg.TextEnv, rng: np.random.Generator) -> str:
    return f"<answer>{rng.integers(100)}</answer>"


def household(env: lg.TextEnv, rng: np.random.Generator) -> str:
    return str(rng.choice(["look", "inventory", "go to drawer 1", "open drawer 1"]))


CASES = [
    Case("gymnasium-v0", "gymnasium", {"env_id": "FrozenLake-v1"}),
    Case("minigrid-v0", "minigrid", {"env_id": "MiniGrid-GoToDoor-5x5-v0"}),
    Case("minigrid-v0", "minigrid", {"env_id": "BabyAI-GoToLocal-v0"}),
    Case("textworld-v0", "textworld"),
    Case("reasoninggym-v0", "reasoning-gym", {"dataset": "chain_sum", "size": 50}, number),
    Case("textarena-v0", "textarena", {"game": "Minesweeper-v0"}, cell),
    Case("scienceworld-v0", "scienceworld", {"topics": ["find-plant"], "simplifications": "easy"}),
    Case("verifiers-v0", "verifiers", {"environment": "layergym_household"}, household),
    Case("openenv-v0", "openenv-core", {}, household),
]


@dataclass(frozen=True)
class Measured:
    """What a case showed."""

    turns: int
    reward: float
    solved: bool
    steps_per_s: float


def choose(case: Case, env: lg.TextEnv, rng: np.random.Generator) -> str:
    if action := env.expert():
        return action
    if choices := env.admissible():
        return str(choices[int(rng.integers(len(choices)))])
    assert case.say
    return case.say(env, rng)


def measure(case: Case, settings: dict[str, Any]) -> Measured:
    """Play one task again and again; the first episode is the one reported."""
    env = lg.make(case.env, **settings)
    first: Measured | None = None
    rng, steps, spent = np.random.default_rng(0), 0, 0.0
    while first is None or spent < SECONDS:
        env.reset(seed=0, options={"task": env.tasks[0]})
        turns, earned, over, solved = 0, 0.0, False, False
        while not over:
            action = choose(case, env, rng)
            began = time.perf_counter()
            _, reward, terminated, truncated, info = env.step(action)
            spent += time.perf_counter() - began
            turns, earned = turns + 1, earned + reward
            over, solved = terminated or truncated, info["success"]
        steps += turns
        if first is None:  # What starts up in it is not counted.
            first, steps, spent = Measured(turns, earned, solved, 0.0), 0, 0.0
    env.close()
    return Measured(first.turns, first.reward, first.solved, steps / spent)


@contextmanager
def prepared(case: Case, folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a case, with what it needs beside its package."""
    if case.env == "textworld-v0":
        game = folder / "game.z8"
        make = ["tw-make", "tw-simple", "--rewards", "dense", "--goal", "detailed", "--seed", "1"]
        tool = Path(sys.executable).with_name(make[0])
        subprocess.run([tool, *make[1:], "--output", game], check=True, capture_output=True)
        yield {"path": str(game)}
    elif case.env == "verifiers-v0":
        (folder / "layergym_household.py").write_text(MODULE)
        sys.path.insert(0, str(folder))
        yield case.settings
        sys.path.remove(str(folder))
    elif case.env == "openenv-v0":
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
        try:
            wait_for(port)
            yield {"url": f"http://localhost:{port}"}
        finally:
            server.terminate()
            server.wait()
    else:
        yield case.settings


def wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("the OpenEnv server did not start")


def row(case: Case) -> list[str]:
    shown = ", ".join(str(v) for v in case.settings.values()) or "-"
    try:
        package = f"{case.package} {version(case.package)}"
    except PackageNotFoundError:
        return [case.env, shown, f"{case.package} is not installed", "", "", "", ""]
    with tempfile.TemporaryDirectory() as folder, prepared(case, Path(folder)) as settings:
        found = measure(case, settings)
    return [
        case.env,
        shown,
        package,
        str(found.turns),
        f"{found.reward:.2f}",
        "yes" if found.solved else "no",
        f"{found.steps_per_s:,.0f}" if found.steps_per_s >= 10 else f"{found.steps_per_s:.1f}",
    ]


def apart(number: int, python: str) -> list[str]:
    """The row of case `number`, from a process of its own."""
    command = [python, __file__, "--case", str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", nargs="*", default=[], metavar="ADAPTER=PATH")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case is not None:
        print(json.dumps(row(CASES[args.case])))
        return
    pythons = dict(pair.split("=", 1) for pair in args.python)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("adapter", "of", "run with"):
        table.add_column(name, no_wrap=True)
    for name in ("turns", "return", "solved", "steps/s"):
        table.add_column(name, justify="right")
    for number, case in enumerate(CASES):
        table.add_row(*apart(number, pythons.get(case.env, sys.executable)))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
