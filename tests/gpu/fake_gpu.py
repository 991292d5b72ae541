"""A GPU that is not there: tensors "on" it live in main memory, and no operation may mix the two.

`fake_gpu()` lets this process believe in one CUDA device. A tensor that is made on it, moved to it
or computed from what is there is noted by its storage; asked for its device, it says `cuda:0`. An
operation between such a tensor and one in main memory raises as CUDA would. Each operation counts
as one kernel launch unless it only looks at memory differently, and whatever lets the host wait for
the device counts as a wait, with the place in our code that asked for it.

What it cannot see: kernels that PyTorch's CUDA operations are made of (one here is at times two
there), and how long anything takes.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode

GPU, MAIN = torch.device("cuda", 0), torch.device("cpu")
FREE = 8 * 2**30

_WAITS = {
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "bincount"),
    *("_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
}
"""Operations whose result, or its size, the host has to know."""
_LOOKS = {
    "_unsafe_view",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "lift_fresh",
}
"""Operations that launch nothing, besides views."""
_MOVES = {"copy_", "_foreach_copy_", "set_"}
"""Operations that may go from one memory to the other."""
_REAL = {name: getattr(Tensor, name) for name in ("device", "is_cuda", "to", "tolist", "numpy")}


@dataclass
class Counts:
    """What was asked of the device since the last `clear`."""

    launches: Counter[str] = field(default_factory=Counter)
    """Kernels, by operation."""
    waits: Counter[str] = field(default_factory=Counter)
    """Times that the host waited, by operation and place."""

    def clear(self) -> None:
        """Start from nothing."""
        self.launches.clear()
        self.waits.clear()


class FakeGPU(TorchDispatchMode):
    """Follows every operation of the threads that entered it."""

    def __init__(self) -> None:
        """Nothing is on the device yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = Counts()
        self._there: dict[int, StorageWeakRef] = {}
        self._purge_at = 4096

    # ---- where tensors are ------------------------------------------------------------------

    def holds(self, tensor: Tensor) -> bool:
        """Whether `tensor` is on the device."""
        # A weak reference keeps the address from being used for another storage.
        return _plain(tensor) and tensor.untyped_storage()._cdata in self._there

    def put(self, tensor: Tensor) -> Tensor:
        """Note that `tensor` is on the device."""
        if _plain(tensor):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._there:
                self._there[storage._cdata] = StorageWeakRef(storage)
            if len(self._there) > self._purge_at:
                alive = {k: ref for k, ref in self._there.items() if not ref.expired()}
                self._there, self._purge_at = alive, max(4096, 2 * len(alive))
        return tensor

    def moved(self, tensor: Tensor, to_gpu: bool, **how: Any) -> Tensor:
        """A copy in the other memory, or the tensor itself where it is there already."""
        changed: Tensor = _REAL["to"](tensor, **{"copy": False} | how)
        if self.holds(tensor) == to_gpu:
            return self.put(changed) if to_gpu else changed
        if not how.get("non_blocking"):
            self._wait("to")
        copied = changed.clone() if changed.data_ptr() == tensor.data_ptr() else changed
        if to_gpu:
            return self.put(copied)
        self._there.pop(copied.untyped_storage()._cdata, None)
        return copied

    # ---- operations -------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation in main memory, as the device would or would not."""
        kwargs = dict(kwargs or {})
        if _is_made_of_others(func):
            with self:
                return func._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
        name = func.overloadpacket.__name__
        tensors = list(_tensors((*args, *kwargs.values())))
        there = [one for one in tensors if self.holds(one)]
        made_there = _is_gpu(kwargs.get("device"))
        if made_there:
            kwargs["device"] = MAIN
        if there:
            self._check(name, args, [one for one in tensors if _plain(one) and one.dim()])
        found = _accumulated(*args, **kwargs) if func in _WIDER else func(*args, **kwargs)
        if there or made_there:
            if not func.is_view and name not in _LOOKS and not name.startswith(("detach", "alias")):
                self.counts.launches[name] += 1
            for one in _tensors(found if isinstance(found, list | tuple) else (found,)):
                self.put(one)
        return found

    def _check(self, name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
        """Refuse a mix of memories, and count a wait."""
        apart = [one for one in tensors if not self.holds(one)]
        if name in _MOVES and apart:
            self._wait(name)
            return
        if name.startswith(("index", "_index_put")) and isinstance(args[1], list | tuple):
            indices = [one for one in args[1] if isinstance(one, Tensor)]
            if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
                self._wait(f"{name} by a mask")
            if any(one is other for one in indices for other in apart):
                self._wait(f"{name} from main memory")
            apart = [one for one in apart if all(one is not other for other in indices)]
        if apart:
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {name} mixes cuda:0 with cpu "
                f"{[tuple(one.shape) for one in apart]} at {_place()}"
            )
        if name in _WAITS:
            self._wait(name)

    def _wait(self, name: str) -> None:
        self.counts.waits[f"{name} at {_place()}"] += 1


_WIDER = (torch.ops.aten.addmm.dtype_out,)
"""Operations that only CUDA has: a product of 16-bit matrices that is added up in float32."""


def _accumulated(
    start: Tensor, a: Tensor, b: Tensor, dtype: torch.dtype, *, out: Tensor, **scales: Any
) -> Tensor:
    return out.copy_(torch.addmm(start, a.to(dtype), b.to(dtype), **scales))


@cache
def _is_made_of_others(func: Any) -> bool:
    """Whether an operation has no kernel of its own: in inference mode it comes here whole."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
    )


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Those among the arguments of an operation, in lists too."""
    for one in values:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)


def _plain(tensor: Tensor) -> bool:
    """Whether a tensor has memory of its own kind, not a fake, meta or sharded one."""
    return type(tensor) in (Tensor, torch.nn.Parameter, torch.nn.Buffer) and (
        _REAL["device"].__get__(tensor).type == "cpu" and tensor.layout == torch.strided
    )


def _is_gpu(device: Any) -> bool:
    if isinstance(device, int) and not isinstance(device, bool):
        return True
    return isinstance(device, str | torch.device) and torch.device(device).type == "cuda"


def _read(args: Any, kwargs: Any) -> tuple[torch.device | None, dict[str, Any]]:
    """Where `Tensor.to` shall bring a tensor, and its other arguments by name."""
    how = {k: v for k, v in kwargs.items() if k not in ("device", "other") and v is not None}
    device = kwargs.get("device")
    for one in (*args, kwargs.get("other")):
        if isinstance(one, Tensor):
            device, how["dtype"] = one.device, one.dtype
        elif isinstance(one, torch.dtype):
            how["dtype"] = one
        elif isinstance(one, bool):
            how["copy" if "non_blocking" in how else "non_blocking"] = one
        elif one is not None:
            device = one
    return None if device is None else torch.device(device), how


def _place() -> str:
    """The innermost line of layergym's own code, or of whatever else is not PyTorch."""
    frames = [f for f in traceback.extract_stack() if "fake_gpu" not in f.filename]
    own = [f for f in frames if "layergym/" in f.filename and "site-packages" not in f.filename]
    last = (own or [f for f in frames if "/torch/" not in f.filename] or frames)[-1]
    return f"{last.filename.split('layergym/')[-1]}:{last.lineno}"


# ---- what Python asks of tensors and of torch.cuda -------------------------------------------


def _patch_tensors(gpu: FakeGPU, patch: pytest.MonkeyPatch) -> None:
    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        wanted, more = _read(args, kwargs)
        if wanted is None or wanted.type not in ("cuda", "cpu") or not _plain(self):
            found: Tensor = _REAL["to"](self, *args, **kwargs)
            return found
        return gpu.moved(self, wanted.type == "cuda", **more)

    def tolist(self: Tensor) -> Any:
        if gpu.holds(self):
            gpu._wait("tolist")
        return _REAL["tolist"](self)

    def numpy(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        if gpu.holds(self):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return _REAL["numpy"](self, *args, **kwargs)

    def device(self: Tensor) -> torch.device:
        return GPU if gpu.holds(self) else _REAL["device"].__get__(self)

    patch.setattr(Tensor, "device", property(device))
    patch.setattr(Tensor, "is_cuda", property(gpu.holds))
    patch.setattr(Tensor, "to", to)
    patch.setattr(Tensor, "cpu", lambda self: to(self, "cpu"))
    patch.setattr(Tensor, "cuda", lambda self, *_, **__: to(self, GPU))
    patch.setattr(Tensor, "tolist", tolist)
    patch.setattr(Tensor, "numpy", numpy)
    patch.setattr(Tensor, "__array__", lambda self, *args, **kwargs: numpy(self).__array__(*args))
    # What `with torch.device(...)` reaches is kept at its first use: with PyTorch's own functions.
    _device_constructors()
    patch.setattr(torch, "tensor", _maker(gpu, torch.tensor))
    patch.setattr(torch, "as_tensor", _maker(gpu, torch.as_tensor))


def _maker(gpu: FakeGPU, function: Any) -> Any:
    """`torch.tensor` and its like, which go past what follows operations."""

    def make(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        one: Tensor = function(data, *args, **kwargs)
        if device is None or not _is_gpu(device):
            return one if device is None else one.to(device)
        gpu._wait(function.__name__)
        return gpu.put(one.clone() if one is data else one)

    return make


def _patch_cuda(gpu: FakeGPU, patch: pytest.MonkeyPatch) -> None:
    state = torch.zeros(16, dtype=torch.uint8)
    answers: dict[str, Any] = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "is_bf16_supported": True,
        "is_current_stream_capturing": False,
        "get_device_capability": (9, 0),
        "get_device_name": "a GPU that is not there",
        "mem_get_info": (FREE, FREE),
        "get_per_process_memory_fraction": 1.0,
        "memory_reserved": 0,
        "memory_allocated": 0,
        "max_memory_allocated": 1,
        "get_rng_state": state,
        "get_rng_state_all": [state],
    }
    nothing = [
        *("set_device", "empty_cache", "reset_peak_memory_stats", "manual_seed", "_lazy_init"),
        *("manual_seed_all", "set_rng_state", "set_rng_state_all"),
    ]
    for name, answer in (answers | dict.fromkeys(nothing)).items():
        for module in (torch.cuda, torch.cuda.random, torch.cuda.memory):
            if hasattr(module, name):
                patch.setattr(module, name, lambda *_, answer=answer, **__: answer)
    patch.setattr(torch.cuda, "synchronize", lambda *_: gpu._wait("synchronize"))
    # Triton writes its kernels for a device that is there.
    patch.setattr("trl.kernels.chunked_logprob._TRITON_AVAILABLE", False)


def _patch_threads(gpu: FakeGPU, patch: pytest.MonkeyPatch) -> None:
    run = threading.Thread.run

    def followed(self: threading.Thread) -> None:
        with gpu:
            run(self)

    patch.setattr(threading.Thread, "run", followed)


@contextmanager
def fake_gpu() -> Iterator[FakeGPU]:
    """Within it, this process has one CUDA device, and every operation is followed."""
    gpu, precision = FakeGPU(), torch.get_float32_matmul_precision()
    with pytest.MonkeyPatch.context() as patch:
        _patch_tensors(gpu, patch)
        _patch_cuda(gpu, patch)
        _patch_threads(gpu, patch)
        try:
            with gpu:
                yield gpu
        finally:
            torch.set_float32_matmul_precision(precision)
