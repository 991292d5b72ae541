"""Memory that `layergym plan` counts, beside what processes on a CPU take.

The shape of SmolLM2-135M, stored, opened and trained for two optimiser steps on four fixed episodes
of 256 tokens, in one pass. Each way is a process of its own. "measured" is how far its peak in the
step lies above what it held before it opened the model; "opening" is how far its peak lay above
that until the step. Nobody samples here, so nothing is counted for a key-value cache.

    python benchmarks/memory.py             # Linux, which can tell a peak from a later one
    python benchmarks/memory.py --plans     # counted only: Qwen2.5 from 0.5B to 72B
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM
from update_step import (  # type: ignore[import-not-found]
    SHAPES,
    build_config,
    episodes,
    tokenizer_of,
)

from layergym.agents.models.load import load_model
from layergym.agents.models.shapes import published
from layergym.envs.panels import Panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.plan import DEVICES, Plan, Workload, plan
from layergym.trainer.trainer import GiGPOTrainer

WAYS = ("15", "middle:5", "all")
QWEN = ("0.5b", "1.5b", "7b", "14b", "32b", "72b")
ROWS, TOKENS = 4, 256
TURN, SAID = 53, 8
"""Tokens of a turn in `update_step.episodes`, and how many of them are sampled."""


def counted(layers: str, dtype: torch.dtype) -> Plan:
    """What the plan says."""
    work = Workload(
        episodes=ROWS,
        tokens=TOKENS,
        sampled=TOKENS // TURN * SAID,
        rows_per_pass=ROWS,
        tokens_per_pass=ROWS * TOKENS,
        dtype=dtype,
    )
    return plan(build_config(SHAPES["smollm2-135m"]), layers, work, DEVICES["h100"])


def two_steps(folder: Path, layers: str, dtype: torch.dtype) -> dict[str, float]:
    """Bytes of two steps in this process, and of opening the model."""
    held = _status("VmRSS")
    model, tokenizer = load_model(folder, dtype=dtype)
    args = GiGPOConfig(
        output_dir=str(folder / "run"),
        algorithm="grpo",
        layers=layers,
        tasks_per_step=1,
        num_generations=ROWS,
        per_device_train_batch_size=ROWS,
        tokens_per_pass=ROWS * TOKENS,
        max_steps=2,  # From the second step on, moments are held while activations are.
        learning_rate=1e-6,
        use_cpu=True,
        bf16=False,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
    )
    played = episodes(replace(SHAPES["smollm2-135m"], rows=ROWS, tokens=TOKENS))
    trainer = GiGPOTrainer(
        model, args, Panel("E", "train", ("task",), ""), lambda jobs: played, tokenizer
    )
    opening = _status("VmHWM") - held
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # The peak starts again.
    trainer.train()
    return {"opening": opening, "measured": _status("VmHWM") - held}


def _status(name: str) -> int:
    """Bytes, as Linux counts them for this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return int(status[name].split()[0]) * 1024


def measure(ways: Sequence[str], dtypes: Sequence[str]) -> None:
    """Print both, for every way."""
    head = f"{'layers':10}{'type':10}{'counted MB':>12}{'measured MB':>13}"
    print(f"{head}{'ratio':>7}{'opening MB':>12}")
    with tempfile.TemporaryDirectory() as name:
        torch.manual_seed(0)
        config = build_config(SHAPES["smollm2-135m"])
        for dtype in dtypes:
            folder = Path(name) / dtype
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
            model.save_pretrained(folder)
            tokenizer_of().save_pretrained(folder)
            for layers in ways:
                with ProcessPoolExecutor(1, mp_context=get_context("fork")) as alone:
                    found = alone.submit(two_steps, folder, layers, getattr(torch, dtype)).result()
                peak = counted(layers, getattr(torch, dtype)).peak
                print(
                    f"{layers:10}{dtype:10}{peak / 1e6:>12,.0f}{found['measured'] / 1e6:>13,.0f}"
                    f"{found['measured'] / peak:>7.2f}{found['opening'] / 1e6:>12,.0f}",
                    flush=True,
                )


def plans(sizes: Sequence[str]) -> None:
    """Print what the plan counts for the sizes of one family, in GB."""
    print("GB, 128 episodes of 4,096 tokens, 1,024 of them sampled, one row per pass;")
    print("in brackets what remains if no cache were held\n")
    ways = {"one layer": "middle", "five layers": "middle:5", "all": "all"}
    print("| model | " + " | ".join(ways) + " |\n|---|" + "---|" * len(ways), flush=True)
    for size in sizes:
        config = published(f"qwen2.5-{size}")
        assert config is not None
        cells = []
        for layers in ways.values():
            found = plan(config, layers, Workload(), DEVICES["h200"])
            without = sum(found.memory.values()) - found.memory["key-value cache"]
            cells.append(f"{found.peak / 1e9:,.0f} ({without / 1e9:,.0f})")
        print(f"| Qwen2.5-{size.upper()} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plans", nargs="*", choices=QWEN, help="count published sizes only")
    parser.add_argument("--layers", nargs="+", default=list(WAYS))
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    if args.plans is not None:
        plans(args.plans or QWEN)
    else:
        measure(args.layers, args.dtypes)


if __name__ == "__main__":
    main()
