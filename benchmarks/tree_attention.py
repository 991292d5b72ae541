"""Passes over one large tree: a dense mask beside attention in blocks. CPU time and memory.

Eight rows share a quarter of the slots. The model has the shape of SmolLM2-135M, fewer layers and
random weights; the middle one trains, and a pass goes forward and backward. Each pass is a process
of its own, on one thread; memory is how far its peak lies above what it held before the pass.

    python benchmarks/tree_attention.py                     # 2,048, 4,096 and 8,192 slots
    python benchmarks/tree_attention.py --slots 512 --depth 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.agents.models.attend import use_own_attention
from layergym.agents.models.shapes import published
from layergym.trainer.layers.selection import select
from layergym.trainer.rows.prefix import sampled_logprobs
from layergym.trainer.rows.trees import Trees, lay_out

ROWS, SAMPLED = 8, 16
"""Rows, and how many tokens at the end of a row carry loss: the head is not what is measured."""
PATHS = ("dense", "blocks")


def tree(slots: int) -> Trees:
    """One tree of this many slots."""
    draw = torch.Generator().manual_seed(0)
    shared = torch.randint(1, 1000, (slots // 4,), generator=draw).tolist()
    own = (slots - len(shared)) // ROWS
    ends = torch.randint(1, 1000, (ROWS, own), generator=draw)
    ends[:, 0] = torch.arange(ROWS)  # They part there, in ascending order.
    return lay_out([[(*shared, *end) for end in ends.tolist()]])


def model_of(depth: int, path: str) -> PreTrainedModel:
    """A model that attends by one of `PATHS`."""
    config = published("smollm2-135m")
    assert config is not None
    config.num_hidden_layers = depth
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    select(model, str(depth // 2))
    if path == "blocks":
        use_own_attention(model)
    return model


def one_pass(path: str, slots: int, depth: int, kept: Path) -> dict[str, float]:
    """CPU seconds and bytes of one pass; its gradient goes to `kept`."""
    model, trees = model_of(depth, path), tree(slots)
    width = trees.places.shape[1]
    sampled = (torch.arange(width) >= width - SAMPLED).repeat(ROWS, 1)
    # Once on a small tree, so that libraries have set up what they keep.
    small = tree(64)
    sampled_logprobs(model, model, small, sampled[:, -small.places.shape[1] :] & (small.places > 0))
    held, began = _peak(), time.process_time()
    sampled_logprobs(model, model, trees, sampled)[0].sum().backward()
    took = time.process_time() - began
    save_file({n: p.grad for n, p in model.named_parameters() if p.grad is not None}, kept)
    return {"cpu_s": took, "bytes": _peak() - held}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(*given: Any) -> dict[str, float]:
    """`one_pass` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as alone:
        return alone.submit(one_pass, *given).result()


def apart(one: Path, other: Path) -> float:
    """The largest difference of two gradients, over the largest entry."""
    ours, theirs = load_file(one), load_file(other)
    most = max(float(value.abs().max()) for value in ours.values())
    return max(float((ours[n] - theirs[n]).abs().max()) for n in ours) / most


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[2048, 4096, 8192])
    parser.add_argument("--depth", type=int, default=4, help="layers of the model")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(
        f"{'slots':>6}{'longest':>9}{'dense MB':>10}{'blocks MB':>11}{'dense s':>9}{'blocks s':>10}"
        f"{'ratio':>8}{'gradient':>10}"
    )
    for slots in args.slots:
        with tempfile.TemporaryDirectory() as folder:
            kept = {path: Path(folder) / path for path in PATHS}
            dense, blocks = (measured(p, slots, args.depth, kept[p]) for p in PATHS)
            print(
                f"{slots:>6}{max(map(len, tree(slots).rows)):>9}{dense['bytes'] / 1e6:>10,.0f}"
                f"{blocks['bytes'] / 1e6:>11,.0f}{dense['cpu_s']:>9.1f}{blocks['cpu_s']:>10.1f}"
                f"{dense['cpu_s'] / blocks['cpu_s']:>7.1f}x{apart(*kept.values()):>10.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
