"""Where a model computes and in which precision: one rule for every command."""

from __future__ import annotations

import gc
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from layergym.base.errors import InputError, unknown

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16")


def choose_device(name: str = "auto") -> torch.device:
    """The device of this name; "auto" is CUDA where there is a GPU, else the CPU.

    Apple's MPS is used where it is asked for.

    Raises:
        InputError: there is no such device here.
    """
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": mps_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "cpu"
    if not there[name]:
        raise InputError(f'there is no device "{name}" here; use --device auto')
    if name == "cuda":
        repeatable_cublas()
    return torch.device(name)


def choose_dtype(name: str, stored: torch.dtype, device: torch.device) -> torch.dtype:
    """What a model computes with.

    "auto" never changes a value: it is bfloat16 for a model that is stored in bfloat16, on a
    device that multiplies bfloat16 fast (`fast_bfloat16`), and float32 otherwise.

    Args:
        name: of `DTYPES`.
        stored: what the weights are stored in.
        device: where the model computes.

    Raises:
        InputError: there is no such type.
    """
    if name not in DTYPES:
        raise unknown("dtype", name, DTYPES)
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if stored == torch.bfloat16 and not fast_bfloat16(device):
        return torch.float32
    return torch.float32 if stored == torch.float16 else stored


def fast_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions that multiply bfloat16 matrices.

    On CUDA, compute capability 8.0 (Ampere) and above; on x86, AMX or AVX512-BF16; on 64-bit ARM,
    what oneDNN reports. Other CPUs convert every operand to float32 first, which is slower than
    float32 itself.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def multiply_float32(device: torch.device, dtype: str) -> None:
    """Let a GPU multiply float32 matrices in TF32, unless float32 itself was asked for.

    TF32 rounds the factors to 11 significant bits and adds up in float32. It is a setting of the
    process.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if dtype == "float32" else "high")


def repeatable_cublas() -> None:
    """Let cuBLAS add up in one order, where nobody chose: read when CUDA first multiplies."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def repeatable(wanted: bool = True) -> Iterator[None]:
    """In here, operations on GPUs give the same bits in every run, as those on CPUs do anyway.

    It rests on PyTorch's promise for `torch.use_deterministic_algorithms`: attention's backward
    pass, which by default adds up in whatever order its parts are ready, then has a fixed order.
    It is a setting of the process, put back at the end.

    Raises:
        InputError: an operation has no such form.
    """
    if not (wanted and torch.cuda.is_initialized()):
        yield
        return
    repeatable_cublas()
    before = torch.get_deterministic_debug_mode()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise InputError(
            "this model's backward pass cannot be repeated to the bit on a GPU; give "
            f"--no-deterministic (deterministic=False): {' '.join(str(error).split())[:200]}"
        ) from error
    finally:
        torch.set_deterministic_debug_mode(before)


def repeatable_attention(device: torch.device) -> None:
    """Never choose cuDNN's attention, whose backward pass has no fixed order; for the process."""
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)


def free_memory(device: torch.device) -> int:
    """Bytes that a device has left for this process: of a CPU, what the machine has available."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_allocated(device)
        cached = torch.cuda.memory_reserved(device) - held
        # Several runs on one GPU have a part of it each.
        own = torch.cuda.get_per_process_memory_fraction(device) * total
        return max(0, int(min(free + cached, own - held)))
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return _available_on_cpu()


def _available_on_cpu() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        available = int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        available = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2
    return min(available, _left_in_container())


def _left_in_container() -> int:
    """Bytes up to the limit of this process's control group (version 2), where it has one."""
    group = Path("/sys/fs/cgroup")
    try:
        most, held = ((group / f"memory.{n}").read_text().strip() for n in ("max", "current"))
        return sys.maxsize if most == "max" else max(0, int(most) - int(held))
    except (OSError, ValueError):
        return sys.maxsize


def release_memory() -> None:
    """Give back what the allocator holds and nothing uses: it is cut to sizes of its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def clock(device: torch.device) -> float:
    """Seconds, once everything that was asked of `device` is done: GPUs work behind the program."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def mps_available() -> bool:
    """Whether Apple's GPUs can be used here."""
    return bool(torch.backends.mps.is_available())
