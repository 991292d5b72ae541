"""Rollouts that are played ahead: the next one while the update runs.

Rollout n + 1 begins as soon as rollout n is over, with the weights as they are then, and is waited
for when the update on rollout n is done. So samples are one optimiser step old at most, there is
never more than one rollout that nobody has learned from, and none is thrown away. What follows a
checkpoint is played only then, so that a run resumed from it plays the same.

The first log-probabilities, which the loss compares with, are those of the policy that sampled:
TRL's clipped ratio corrects for the step in between.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import torch
from torch import nn

from layergym.trainer.credit.collect import Collected

AGE = "policy_age"
"""The measure that says how many optimiser steps old the policy was that sampled a rollout."""


class Left(Exception):
    """The run is over; a rollout ends where it is."""


class Ahead:
    """Gives rollouts in order, each begun when the one before it was given."""

    def __init__(
        self,
        play: Callable[[int], Collected],
        follow: Callable[[], None],
        begins: Callable[[int], bool],
    ) -> None:
        """Begin without a rollout.

        Args:
            play: plays rollout n, in a thread of its own.
            follow: brings the weights, as they are now, to what `play` samples from.
            begins: whether rollout n + 1 may begin before the update on rollout n.
        """
        self._play, self._follow, self._begins = play, follow, begins
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._next: Future[Collected] | None = None
        self._left = Event()

    def __call__(self, number: int) -> Collected:
        """Rollout `number`, with the age of its policy; the next one may have begun by then."""
        age = 0.0 if self._next is None else 1.0
        under_way, self._next = self._next or self._begun(number), None
        collected = under_way.result()
        if self._begins(number + 1):
            self._next = self._begun(number + 1)
        return replace(collected, measures=collected.measures | {AGE: age})

    def wait(self) -> None:
        """Return when no rollout is being played."""
        if self._next is not None:
            self._next.exception()

    def go_on(self) -> None:
        """To be called often in a rollout: raises `Left` once the run is over."""
        if self._left.is_set():
            raise Left

    def close(self) -> None:
        """End what is being played."""
        self._left.set()
        self._thread.shutdown(cancel_futures=True)

    def _begun(self, number: int) -> Future[Collected]:
        self._follow()
        return self._thread.submit(self._play, number)


class Twin:
    """A second model that samples while the first one trains; what is frozen they share."""

    def __init__(self, model: nn.Module) -> None:
        """Copy `model`, before a trainer changes how it computes; parameters are not copied."""
        self.model: nn.Module = copy.deepcopy(model, {id(p): p for p in model.parameters()})
        self.model.eval()
        self._pairs: list[tuple[nn.Parameter, nn.Parameter]] = []

    def part(self) -> None:
        """Have copies of its own of all that trains, which has been chosen by now."""
        trained = {id(p): p for p in self.model.parameters() if p.requires_grad}
        own = {at: nn.Parameter(p.detach().clone(), False) for at, p in trained.items()}
        for module in self.model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                if id(parameter) in own:
                    setattr(module, name, own[id(parameter)])
        self._pairs = [(p, own[at]) for at, p in trained.items()]

    @torch.no_grad()
    def follow(self) -> None:
        """Take over the weights as they are now."""
        for new, mine in self._pairs:
            mine.copy_(new)
