"""Scoring a model at several temperatures: all together, and one after another.

    python benchmarks/scoring.py smollm2 --tasks 64

The questions are those of docs/results.md. Every result is checked to be the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from layergym.agents.names import open_model
from layergym.evals.score.evaluate import Label, play_panel, play_temperatures
from layergym.evals.sweep.panels import EvalSpec, scored_panel
from layergym.trainer.run import agent_of
from layergym.trainer.spec import RunSpec, make_env_of

PROMPT = Path(__file__).parents[1] / "docs" / "results" / "smollm2-135m-math" / "prompt.jinja"
ARMS = {"a trained arm": (1.0, 0.0), "the base": (1.0, 0.7, 0.5, 0.25, 0.0)}


def compare(run: RunSpec, tasks: int, temperatures: Sequence[float]) -> tuple[float, float]:
    """CPU seconds together, and one after another."""
    model, tokenizer = open_model(run.model, dtype="float32", device="cpu")
    make = make_env_of(run, "test")
    panel = scored_panel(run, EvalSpec(split="test", size=tasks))
    labels = [Label("base", one) for one in temperatures]
    repeats = [2 if one else 1 for one in temperatures]
    agent_at = partial(agent_of, run, model, tokenizer)
    began = time.process_time()
    found = play_temperatures(
        agent_at, make, panel, labels, repeats=repeats, on_played=[None] * len(labels)
    )
    between = time.process_time()
    for label, times, result in zip(labels, repeats, found, strict=True):
        agent = agent_at(label.temperature)
        assert play_panel(agent, make, panel, label, repeats=times) == result
    return between - began, time.process_time() - between


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("--tasks", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = RunSpec(
        env="layergym/Math-v0",
        env_args={"families": ["number_sequence"], "levels": [1], "size": 500},
        model=options.model,
        format="plain",
        prompt=PROMPT.read_text(encoding="utf-8"),
        max_new_tokens=12,
    )
    for arm, temperatures in ARMS.items():
        together, apart = compare(run, options.tasks, temperatures)
        print(
            f"{arm} at {', '.join(map(str, temperatures))}: together {together:.1f} s CPU, one "
            f"after another {apart:.1f} s: {apart / together:.2f}x"
        )


if __name__ == "__main__":
    main()
