"""What machine this is: versions, the card, and the two ceilings that times are compared with."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib.metadata import version

import torch


def seconds(work: object, device: str, repeats: int) -> float:
    """Of one call, after a call to warm up."""
    assert callable(work)
    work()
    _synchronize(device)
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    _synchronize(device)
    return (time.perf_counter() - began) / repeats


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    names = ("torch", "transformers", "accelerate", "trl", "gymnasium", "tokenizers")
    card = torch.cuda.get_device_name() if options.device == "cuda" else "none"
    memory = torch.cuda.get_device_properties(0).total_memory if options.device == "cuda" else 0
    print(
        json.dumps(
            {
                "card": card,
                "memory_gb": round(memory / 1e9, 1),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                **{name: version(name) for name in names},
            }
        )
    )
    size = 512 if options.small else 8192
    a = torch.randn(size, size, device=options.device, dtype=torch.bfloat16)
    b = torch.randn(size, size, device=options.device, dtype=torch.bfloat16)
    product = seconds(lambda: a @ b, options.device, 20)
    source = torch.empty(2**20 if options.small else 2**32, device=options.device, dtype=torch.int8)
    target = torch.empty_like(source)
    copy = seconds(lambda: target.copy_(source), options.device, 5)
    print(
        json.dumps(
            {
                "bf16_tflops": round(2 * size**3 / product / 1e12, 1),
                "copy_tb_per_s": round(2 * source.numel() / copy / 1e12, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
