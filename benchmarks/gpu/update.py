"""Time and peak memory of one whole update phase on a GPU, side by side in one process.

    full          TRL with every parameter trained, gradient checkpointing on (its default)
    frozen        TRL, all but one middle layer frozen, gradient checkpointing off
    ours          GiGPOTrainer with layers=<middle>

The phase: old and reference log-probabilities, two epochs, KL term, AdamW, on fixed rows of
`--tokens` tokens of which 15 % are sampled. Weights are random, drawn on the device, in bfloat16
(float32 on a CPU, where this is only rehearsed); what ours trains has float32 masters. The second
of two rollouts is timed. TFLOP are those of the multiplications by weights
(`update_step.operations`); "of_matmul" relates the rate that was reached to a bare bfloat16 product
on the same device.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, TrainerCallback
from trl.trainer import grpo_trainer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from update_step import (  # type: ignore[import-not-found]  # One folder up.
    EPOCHS,
    Shape,
    arguments,
    operations,
    ours,
    stock,
    tokenizer_of,
)

from layergym.agents.models.shapes import published

ARMS = {"ours": ours, "frozen, tuned": stock, "full": stock}


def shape_of(name: str, rows: int, tokens: int, action: int) -> Shape:
    config = published(name)
    if config is None:
        raise SystemExit(f"no published shape {name}")
    return Shape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        inner=config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        vocabulary=config.vocab_size,
        rows=rows,
        tokens=tokens,
        rows_per_pass=1,
        action=action,
        observation=round(action / 0.15) - action,
    )


def drawn(name: str, device: str) -> PreTrainedModel:
    """A model with random weights, drawn where it computes."""
    torch.manual_seed(0)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            published(name), dtype=torch.bfloat16 if device == "cuda" else torch.float32
        )
    return model


class Clock(TrainerCallback):
    """When each optimiser step began, and when the last ended."""

    def __init__(self, device: str) -> None:
        """On this kind of device."""
        self.device = device
        self.marks: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self._mark()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self._mark()

    def _mark(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())


def measure(arm: str, name: str, shape: Shape, device: str) -> dict[str, float]:
    """Seconds and peak memory of one arm: one rollout to warm up, one to time."""
    model = drawn(name, device)
    clock = Clock(device)
    # TRL would load its reference model from the folder that the policy came from; there is none.
    vars(grpo_trainer)["create_model_from_path"] = lambda *_, **__: copy.deepcopy(model).eval()
    with tempfile.TemporaryDirectory() as output:
        settings = arguments(shape, output, device) | {"max_steps": 2 * EPOCHS}
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer = ARMS[arm](arm, shape, model, tokenizer_of(), settings)
        trainer.add_callback(clock)
        trainer.train()
    found = {"s": clock.marks[-1] - clock.marks[EPOCHS]}
    if device == "cuda":
        found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def matmul_tflops(device: str, size: int) -> float:
    """What a bare bfloat16 product reaches here."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    for repeats in (3, 20):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(repeats):
            a @ a
        if device == "cuda":
            torch.cuda.synchronize()
    return 20 * 2 * size**3 / (time.perf_counter() - began) / 1e12


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", default="qwen2.5-1.5b")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="SmolLM2's shape, two short rows")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    name = "smollm2-135m" if options.small else options.shape
    rows, tokens = (2, 64) if options.small else (options.rows, options.tokens)
    shape = shape_of(name, rows, tokens, action=8 if options.small else 32)
    peak = matmul_tflops(options.device, 256 if options.small else 8192)
    mine = None
    for arm in options.arms:
        about = {"shape": name, "rows": rows, "tokens": tokens, "arm": arm}
        try:
            found = measure(arm, name, shape, options.device)
        except torch.OutOfMemoryError as error:
            print(json.dumps({**about, "error": str(error).split(".")[0]}), flush=True)
        else:
            mine = mine or found
            tflop = operations(arm, shape)
            print(
                json.dumps(
                    {
                        **about,
                        **{key: round(value, 3) for key, value in found.items()},
                        "times_ours": round(found["s"] / mine["s"], 2),
                        "tflop": round(tflop, 1),
                        "of_matmul": round(tflop / found["s"] / peak, 3),
                    }
                ),
                flush=True,
            )
        gc.collect()
        if options.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
