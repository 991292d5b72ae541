"""Training in float32 what a model computes with in 16 bits.

An optimiser step moves a weight by about the learning rate, 1e-6 say; half a step of bfloat16 at a
weight of 0.02 is 6e-5. So 16-bit weights that are stepped themselves hardly move. Here every
16-bit tensor that trains has a float32 *master*: gradients are added up in it, the optimiser steps
it, and after each step the model's tensor becomes its rounding. Only what trains has one; the model
computes with one and the same 16-bit tensors when it samples and when it learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import Trainer

from layergym.trainer.processes import gathered

HALF = (torch.bfloat16, torch.float16)


class Masters:
    """Float32 values of the 16-bit parameters of one optimiser; empty when there are none."""

    def __init__(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Put masters in the place of the 16-bit parameters that `optimizer` steps.

        Parameters of a sharded model must be spread already; so are their masters then.
        """
        self._by_parameter: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
        for group in optimizer.param_groups if optimizer else ():
            group["params"] = [self._master(p) if p.dtype in HALF else p for p in group["params"]]
        if optimizer and self._by_parameter:
            optimizer.register_step_post_hook(lambda *_: self.publish())

    def _master(self, parameter: nn.Parameter) -> nn.Parameter:
        master = nn.Parameter(parameter.detach().float())
        self._by_parameter[id(parameter)] = parameter, master
        parameter.register_post_accumulate_grad_hook(self._take_gradient)
        return master

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_parameter)

    def __iter__(self) -> Iterator[nn.Parameter]:
        """All of them."""
        return (master for _, master in self._by_parameter.values())

    def of(self, parameter: nn.Parameter) -> nn.Parameter:
        """What is stepped for `parameter`: its master, or itself."""
        return self._by_parameter.get(id(parameter), (parameter, parameter))[1]

    def _take_gradient(self, parameter: torch.Tensor) -> None:
        """Add a pass's gradient to the master's."""
        _, master = self._by_parameter[id(parameter)]
        assert parameter.grad is not None
        if master.grad is None:
            master.grad = parameter.grad.float()
        else:
            master.grad += parameter.grad
        parameter.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Let the model compute with the rounding of the masters; their gradients are used up."""
        for parameter, master in self._by_parameter.values():
            parameter.copy_(master)
            master.grad = None

    def drop_gradients(self) -> None:
        """Begin a step again."""
        for master in self:
            master.grad = None

    @torch.no_grad()
    def set(self, parameter: nn.Parameter, value: torch.Tensor) -> None:
        """Give a parameter that trains a value, spread as it is."""
        self.of(parameter).copy_(value)
        parameter.copy_(value)


class SteppedInFloat32(Trainer):
    """A `Trainer` whose 16-bit parameters have masters."""

    masters = Masters()

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """Called once the optimiser's parameters are where they train: give them masters."""
        self.masters = Masters(getattr(self.optimizer, "optimizer", self.optimizer))
        return super().create_scheduler(num_training_steps, optimizer)

    def stepped(self, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """What the optimiser steps for `parameters`."""
        return [self.masters.of(p) for p in parameters]

    def apart(self, model: nn.Module) -> AbstractContextManager[None]:
        """Within it, DDP leaves gradients that go to masters alone, until `average`."""
        own = len(self.masters) and not self.is_fsdp_enabled
        return self.accelerator.no_sync(model) if own else nullcontext()

    def average(self) -> None:
        """Average the masters' gradients over the processes, in float32, where DDP did not.

        FSDP2 has done so: what a process holds then is its part of the average.
        """
        if self.accelerator.num_processes > 1 and not self.is_fsdp_enabled:
            for master in self.masters:
                if master.grad is not None:
                    master.grad = self.accelerator.reduce(master.grad, "mean")

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        if not len(self.masters):
            return super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        return self._clipped(model, self.args.max_grad_norm)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        if grad_norm is None and len(self.masters):
            grad_norm = self._clipped(model, float("inf"))
        return super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]

    def _clipped(self, model: nn.Module, most: float) -> torch.Tensor:
        return gathered(nn.utils.clip_grad_norm_(self.stepped(model.parameters()), most))
