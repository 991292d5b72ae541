"""The demo on a real LLM: SmolLM2-135M-Instruct learns to continue sequences of numbers.

The model is warmed up on the expert's answers to seven kinds of question, so that it answers in the
right form and is right now and then; full training and single layers go on from there. Prompts and
replies are short, so that two cores are enough.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layergym.envs.math.generated import FAMILIES
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.spec import RunSpec
from layergym.trainer.warmup.spec import WarmupSpec

MODEL = "smollm2"
DEPTH = 30
LAYERS = (2, 7, 12, 17, 22, 27)
"""The six that are trained alone."""
_STYLE: dict[str, Any] = {
    "format": "plain",
    "prompt": "{% set system %}Answer in \\boxed{}.{% endset %}{{ observation }}",
}


def _questions(families: tuple[str, ...], size: int) -> dict[str, Any]:
    return {
        "env": "layergym/Math-v0",
        "env_args": {"families": list(families), "levels": [1], "size": size},
    }


def smollm2_start(*, fast: bool = False) -> WarmupSpec:
    """The warm start; `fast` shows only that it runs."""
    return WarmupSpec(
        **_questions(FAMILIES, 3500),
        **_STYLE,
        model=MODEL,
        steps=2 if fast else 48,
        batch_size=16,
        learning_rate=1e-4,
        random_actions=0,
    )


def smollm2_sweep(seeds: tuple[int, ...], start: Path, *, fast: bool = False) -> SweepSpec:
    """Base, full, and six layers alone, from the model in the folder `start`."""
    return SweepSpec(
        run=RunSpec(
            **_questions(("number_sequence",), 500),
            **_STYLE,
            model=str(start),
            max_new_tokens=12,
            steps=1 if fast else 12,
            tasks_per_step=2 if fast else 16,
        ),
        eval=EvalSpec(split="test", size=8 if fast else 300),
        layers=LAYERS[:1] if fast else LAYERS,
        num_layers=DEPTH,
        seeds=seeds,
        lr_full=2e-5,
        lr_layer=3e-4,
    )
