"""A small environment, runs in it that can share a bank, and what of them can be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from layergym.envs import Outcome, TextEnv
from layergym.trainer.bank import Bank
from layergym.trainer.run import Trained
from layergym.trainer.spec import RunSpec


class Pair(TextEnv):
    """Say something of an odd length, twice: half of what an untrained policy says."""

    max_turns = 2
    tasks = tuple(f"t{i}" for i in range(6))

    def start(self) -> str:
        self.word = int(self.task[1:])
        return f"Say {self.word} ."

    def play(self, action: str) -> Outcome:
        self.word += 1
        return Outcome(
            f"Say {self.word} .", reward=float(len(action) % 2), terminated=self.turn == 1
        )


def variants(policy: str) -> list[RunSpec]:
    """Several layers, seeds and algorithms; two variants train the same layer."""
    spec = RunSpec(
        env="test/BankPair-v0",
        model=policy,
        steps=4,
        tasks_per_step=3,
        group_size=4,
        max_new_tokens=2,
        learning_rate=3e-3,
        save_every=2,
        tokens_per_pass=1 << 16,  # Not what is free when each run begins.
    )
    return [
        replace(spec, layers="0"),
        replace(spec, layers="2", beta=0.1),
        replace(spec, layers="2", seed=1, algorithm="grpo"),
        replace(spec, layers="1,3", boost="3*2"),
        replace(spec, layers="1.o+down", beta=0.1),
    ]


def folders(root: Path, count: int) -> list[Path]:
    return [root / str(i) for i in range(count)]


def lines(folder: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    own = ("time/", "memory")  # the clock's and the process's, not the run's
    return [{k: v for k, v in row.items() if not k.startswith(own)} for row in rows]


def differences(left: Path, right: Path) -> torch.Tensor:
    """How far each trained scalar of one run is from the other's."""
    a, b = (load_file(folder / "delta.safetensors") for folder in (left, right))
    assert a.keys() == b.keys()
    return torch.cat([(a[name] - b[name]).abs().flatten() for name in a])


@dataclass(frozen=True)
class Done:
    """A bank, and what it trained."""

    bank: Bank
    folders: list[Path]
    trained: list[Trained]
