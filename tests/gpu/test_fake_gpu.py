"""The GPU that is not there: it refuses what a GPU refuses, and counts what one would do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread

import pytest
import torch

from tests.gpu.fake_gpu import FakeGPU, fake_gpu


@pytest.fixture
def gpu() -> Iterator[FakeGPU]:
    with fake_gpu() as found:
        yield found


def test_what_is_computed_on_the_device_is_there(gpu: FakeGPU) -> None:
    layer = torch.nn.Linear(3, 2).to("cuda")
    found = layer(torch.ones(4, 3, device="cuda"))[1:].float()
    found.sum().backward()
    assert found.device.type == "cuda" and layer.weight.grad is not None
    assert layer.weight.grad.device == layer.weight.device == torch.device("cuda", 0)
    assert torch.tensor([1]).to(found).device == found.device
    assert found.cpu().device.type == torch.ones(1).device.type == "cpu"


@pytest.mark.parametrize(
    "mix",
    [
        lambda there, here: there + here,
        lambda there, here: torch.cat([there, here]),
        lambda there, here: there[0] * here,
        lambda there, here: torch.where(there > 0, there, here),
        lambda there, here: torch.nn.functional.linear(there, here[None]),
    ],
)
def test_two_memories_do_not_mix(
    gpu: FakeGPU, mix: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> None:
    there, here = torch.ones(3, device="cuda"), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        mix(there, here)
    assert mix(there, here.to("cuda")).is_cuda
    assert (there + torch.tensor(2.0)).is_cuda  # A number is no tensor elsewhere.


def test_memory_that_is_freed_is_main_memory_again(gpu: FakeGPU) -> None:
    for _ in range(200):
        there = torch.ones(3, device="cuda")
        del there
        here = torch.ones(3)
        assert here.device.type == "cpu"
        del here


def test_numpy_does_not_read_the_device(gpu: FakeGPU) -> None:
    with pytest.raises(TypeError):
        torch.ones(1, device="cuda").numpy()


def test_launches_and_waits_are_counted(gpu: FakeGPU) -> None:
    there = torch.arange(4, device="cuda")
    gpu.counts.clear()
    doubled = (there.view(2, 2) * 2)[0]
    assert gpu.counts.launches == {"mul": 1} and not gpu.counts.waits
    for ask in (doubled.tolist, doubled.sum().item, doubled.cpu, there[there > 1].size):
        before = gpu.counts.waits.total()
        ask()
        assert gpu.counts.waits.total() <= before + 1
    assert gpu.counts.waits.total() == 4


def test_other_threads_are_followed(gpu: FakeGPU) -> None:
    devices: list[torch.device] = []
    thread = Thread(target=lambda: devices.append((torch.ones(1, device="cuda") * 2).device))
    thread.start()
    thread.join()
    assert [device.type for device in devices] == ["cuda"]


def test_it_is_gone_afterwards() -> None:
    with fake_gpu():
        kept = torch.ones(1, device="cuda")
    assert kept.device.type == "cpu" and not torch.cuda.is_available()
