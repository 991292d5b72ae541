"""The generators of random numbers that all code of a process shares, and who draws from them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np


class Shared(NamedTuple):
    """One shared generator."""

    seed: Callable[[int], Any]
    state: Callable[[], Any]
    restore: Callable[[Any], Any]


@contextmanager
def seeded(seed: int) -> Iterator[list[str]]:
    """Seed every shared generator for a while, and put it back afterwards.

    Args:
        seed: of all of them.

    Yields:
        A list that holds, at the end, the names of the generators that were drawn from or seeded.
    """
    before = {name: shared.state() for name, shared in _all().items()}
    for shared in _all().values():
        shared.seed(seed)
    fresh = {name: _as_text(shared.state()) for name, shared in _all().items()}
    used: list[str] = []
    try:
        yield used
    finally:
        used += [n for n, s in _all().items() if n in fresh and _as_text(s.state()) != fresh[n]]
        for name, state in before.items():
            _all()[name].restore(state)


def _all() -> dict[str, Shared]:
    """The shared generators, by the name of their module; torch's where somebody imported torch."""
    generators = {
        "random": Shared(random.seed, random.getstate, random.setstate),
        "numpy.random": Shared(np.random.seed, np.random.get_state, np.random.set_state),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        generators["torch"] = Shared(
            torch.default_generator.manual_seed, torch.get_rng_state, torch.set_rng_state
        )
    return generators


def _as_text(state: Any) -> str:
    """A state so that it can be compared, arrays and tensors with every number of theirs."""
    parts = state if isinstance(state, tuple) else (state,)
    return repr([part.tolist() if hasattr(part, "tolist") else part for part in parts])
