"""Which GPUs of this machine take how many runs side by side."""

from __future__ import annotations

import csv
import os
import subprocess
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM

from layergym.agents.models.load import load_config
from layergym.agents.names import source
from layergym.trainer.parts.memory import MASTER_BYTES, STEPPED_BYTES
from layergym.trainer.spec import RunSpec

CONTEXT = 1e9
"""Bytes of a GPU that a process takes before it has done anything."""
WORK = 2e9
"""Bytes for a run's cache and passes at least; they adapt to what there is."""
_QUERY = "index,uuid,memory.free,memory.total"


@dataclass(frozen=True, slots=True)
class GPU:
    """One device that this process may use."""

    name: str
    """The name that CUDA_VISIBLE_DEVICES takes."""
    free: float = 0.0
    """Bytes; 0 where they are not known."""
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class GpuSeat:
    """What one process of a sweep is given."""

    name: str
    share: float
    """The share of the device's memory that it may take; the processes beside it have the rest."""


def gpus() -> tuple[GPU, ...]:
    """GPUs that this process may use, with their memory where `nvidia-smi` tells it.

    CUDA itself is not asked for it: that would take memory of each GPU for as long as the sweep.
    """
    if not torch.cuda.is_available():
        return ()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    known = _memory()
    names = named or list(map(str, range(torch.cuda.device_count())))
    return tuple(GPU(name, *known.get(name, ())) for name in names)


def _memory() -> dict[str, tuple[float, float]]:
    """Free and total bytes of every GPU, by index and by UUID."""
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        rows = [[cell.strip() for cell in row] for row in csv.reader(answer.stdout.splitlines())]
        by_index = {}
        for index, uuid, free, total in rows:
            by_index[index] = by_index[uuid] = float(free) * 2**20, float(total) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return by_index


def run_bytes(spec: RunSpec) -> float:
    """What a process needs on a GPU to train all parameters of `spec`'s model.

    Every sweep has a run that does. Weights are counted as the model is stored, at 16 bits at
    least.

    Raises:
        InputError: there is no such model.
    """
    config = load_config(source(spec.model))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    entry = 2 + MASTER_BYTES + STEPPED_BYTES + (2 if spec.beta else 0)
    state: float = entry * sum(parameter.numel() for parameter in model.parameters())
    return CONTEXT + max(WORK, state / 2) + state


def seats(
    devices: tuple[GPU, ...], need: float, cores: int, jobs: int | None
) -> tuple[GpuSeat, ...]:
    """Who runs where, in the order in which runs begin.

    The next process goes where most memory would be left for each. One process per GPU where its
    memory is not known or too small for two.

    Args:
        devices: the GPUs.
        need: bytes of one process.
        cores: of the machine; every process gets one.
        jobs: how many processes; None: as many as fit.
    """
    if not devices:
        return ()
    room = {device.name: max(1, int(device.free // need)) for device in devices}
    most = jobs or max(len(devices), min(cores, sum(room.values())))
    held = dict.fromkeys(room, 0)
    places = []
    for _ in range(most):
        best = max(devices, key=lambda one: (one.free or 1.0) / (held[one.name] + 1))
        held[best.name] += 1
        places.append(best)
    return tuple(GpuSeat(one.name, _fraction(one) / held[one.name]) for one in places)


def _fraction(device: GPU) -> float:
    """Share of the device's memory that is free now."""
    return device.free / device.total if device.total else 1.0
