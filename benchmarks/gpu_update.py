"""One whole update phase on a GPU: full parameters, stock TRL with frozen layers, ours.

    python benchmarks/gpu_update.py [--shapes qwen2.5-1.5b qwen2.5-7b] [--rows 8] [--tokens 4096]

Random weights of published shapes in bf16; one middle layer trains; reference log-probabilities,
two epochs, KL term, AdamW. One process per arm, the second of two rollouts is timed. TFLOP are
those of the multiplications by weights (`update_step.operations`), and "of peak" relates the rate
reached to the GPU's data sheet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from update_step import (  # type: ignore[import-not-found]  # The script beside this one.
    ARMS,
    EPOCHS,
    Shape,
    build,
    operations,
    trainer_of,
)

from layergym.agents.models.shapes import published
from layergym.trainer.plan import DEVICES


def shape_of(name: str, rows: int, tokens: int, rows_per_pass: int) -> Shape:
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
        rows_per_pass=rows_per_pass,
        action=32,
        observation=181,
    )


def measure(arm: str, shape: Shape, folder: Path, device: str) -> dict[str, float]:
    """Run one arm in this process: one rollout to warm up, one to time."""
    import torch
    from transformers import TrainerCallback

    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            synchronize()
            marks.append(time.perf_counter())

        def on_train_end(self, *args: Any, **kwargs: Any) -> None:
            synchronize()
            marks.append(time.perf_counter())

    def synchronize() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    with tempfile.TemporaryDirectory() as output:
        trainer = trainer_of(arm, shape, folder, output, device)
        trainer.args.max_steps = 2 * EPOCHS
        trainer.add_callback(Clock())
        trainer.train()
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
    return {"s": marks[-1] - marks[EPOCHS], "peak_gb": peak}


def run_arm(
    arm: str, name: str, folder: Path, options: argparse.Namespace
) -> dict[str, float] | None:
    """Measure one arm in a process of its own; None where it does not fit."""
    command = [sys.executable, __file__, "--arm", arm, "--shapes", name]
    command += ["--model", str(folder)]
    for option in ("rows", "tokens", "rows_per_pass", "device"):
        command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        print(f"  {arm}: {done.stderr.strip().splitlines()[-1][:100]}", flush=True)
        return None
    found: dict[str, float] = json.loads(lines[0].removeprefix("RESULT "))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shapes", nargs="+", default=["qwen2.5-1.5b", "qwen2.5-7b"])
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--rows-per-pass", type=int, default=1)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--gpu", choices=DEVICES, default="h200", help="whose peak to compare with")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = (options.rows, options.tokens, options.rows_per_pass)
    if options.arm:
        warnings.simplefilter("ignore")
        shape = shape_of(options.shapes[0], *sizes)
        found = measure(options.arm, shape, options.model, options.device)
        print("RESULT " + json.dumps(found))
        return
    import torch

    for name in options.shapes:
        print(f"{name}: {options.rows} x {options.tokens} tokens, bf16", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
            build(published(name), dtype, Path(folder))
            results = {arm: run_arm(arm, name, Path(folder), options) for arm in ARMS}
        mine = results["ours"]
        for arm, one in results.items():
            if one and mine:
                tflop = operations(arm, shape_of(name, *sizes))
                print(
                    f"  {arm:15}{one['s']:8.2f} s {one['s'] / mine['s']:6.2f}x ours"
                    f"{one['peak_gb']:8.1f} GB{tflop:10.1f} TFLOP"
                    f"{tflop / one['s'] / DEVICES[options.gpu].tflops:7.0%} of peak"
                )


if __name__ == "__main__":
    main()
