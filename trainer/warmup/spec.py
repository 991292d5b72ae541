"""What determines a warm start, as one frozen value. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from layergym.agents.styles import check_style
from layergym.base.numbers import Bounds, check_numbers

NEW = "new"
"""The model that is not there yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupSpec:
    """Everything that determines a warm start."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "steps": Bounds(1, 1_000_000, whole=True),
        "batch_size": Bounds(1, 1_000_000, whole=True),
        "learning_rate": Bounds(0, 100, above=True),
        "random_actions": Bounds(0, 1),
        "depth": Bounds(1, 1000, whole=True),
        "width": Bounds(32, 65_536, whole=True),
        "seed": Bounds(0, 2**32 - 1, whole=True),
    }
    env: str
    """Id of the environment."""
    env_args: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the environment."""
    model: str = NEW
    """A model to fine-tune, by name, or "new": a policy like the embedded one with random
    weights."""
    layers: str = "all"
    """What trains, as for `layergym train`."""
    format: str | None = None
    """The form of a reply, as in `RunSpec`."""
    admissible: bool | None = None
    """List the admissible actions in every prompt; None: for chat models."""
    context: str = "whole"
    """What of an episode a prompt shows, as in `RunSpec`."""
    prompt: str = ""
    """The text of a Jinja template for the prompt, as in `RunSpec`."""
    shots: int = 0
    """Episodes of the environment's expert that the prompt shows as examples."""
    steps: int = 1000
    """Optimiser steps."""
    batch_size: int = 32
    """Demonstrations per step; one is an episode, or a prompt that does not extend the last."""
    learning_rate: float = 4e-3
    """Learning rate at the start; it falls linearly to 0."""
    random_actions: float = 0.1
    """Share of turns that take a random admissible action; where the environment lists none, an
    action that the expert took earlier, most likely for another task."""
    trajectories: str = ""
    """A file or folder of recorded trajectories to learn from, in place of the expert."""
    observations: bool = True
    """Learn to predict the environment's text too, which helps a policy with random weights."""
    depth: int = 8
    """Layers of a new policy."""
    width: int = 64
    """Hidden size of a new policy."""
    seed: int = 0
    """Seed of tasks, random actions and training."""
    dtype: str = "auto"
    """What the model computes with (`agents.models.compute`); what trains is stepped in float32."""
    device: str = "auto"
    """Where it computes."""

    def __post_init__(self) -> None:
        """Refuse what no warm start could be made of.

        Raises:
            InputError: a number is out of range, or not one, or no prompts can be made.
        """
        check_numbers(self, self.BOUNDS)
        check_style(self)
