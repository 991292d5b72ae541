"""Drawing tokens from SmolLM2's vocabulary: in parts that a cache holds, and all rows at once.

    python benchmarks/draw.py

Every token and log-probability is checked to be the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from layergym.agents.models.draw import draw, draw_at_once

VOCABULARY = 49_152
REPEATS = 5


def seconds(
    of: Callable[[Tensor, Tensor, float], object], logits: Tensor, uniform: Tensor
) -> float:
    """CPU seconds of one draw for every row, the least of several."""
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        of(logits, uniform, 1.0)
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    print(f"{'rows':>6}{'in parts, ms':>14}{'at once, ms':>14}{'ratio':>8}")
    for rows in (8, 64, 128, 1024):
        logits = 4 * torch.randn(rows, VOCABULARY, generator=generator)
        uniform = torch.rand(rows, generator=generator, dtype=torch.float64)
        pairs = zip(draw(logits, uniform, 1.0), draw_at_once(logits, uniform, 1.0), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
        parts, whole = (seconds(of, logits, uniform) for of in (draw, draw_at_once))
        print(f"{rows:>6}{1e3 * parts:>14.1f}{1e3 * whole:>14.1f}{whole / parts:>7.2f}x")


if __name__ == "__main__":
    main()
