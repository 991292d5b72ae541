"""Which variants of a full run are worth a look: names only, nothing is opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from layergym.base.numbers import in_runs

DEFAULT = ("moved", "put-back", "kinds", "stack")
"""The cheapest that says where the gain is, whether it is redundant, whether layers add up."""
SCALES = (0.25, 0.5, 0.75, 1.5, 2.0)
RANKS = (1, 4, 16)


@dataclass(frozen=True, slots=True)
class Cut:
    """What is done to a full run's update; its name is that of its scores."""

    kind: str
    what: str = ""
    """A target of the `layers=` grammar, a factor, a rank, or "layer@run"."""

    @property
    def name(self) -> str:
        """The variant's name, such as "moved-3", "without-3", "scaled-0.5"."""
        return f"{self.kind}-{self.what}" if self.what else self.kind


@dataclass(frozen=True, slots=True)
class Stack:
    """What there is to cut: the layers, modules and runs of a sweep."""

    layers: int
    modules: tuple[str, ...]
    """Inside every layer: "attn", "q", ...; and outside: "embed", "norm", "head"."""
    alone: tuple[int, ...]
    """Layers that were trained alone with the seed at hand, the best over all seeds first."""
    others: tuple[str, ...] = ()
    """Further full runs: "next" is the next seed's, others have the names of their sweeps."""


def layers_named(layers: Collection[int]) -> str:
    """Layers in the `layers=` grammar, in short and always the same: "0-2+5"."""
    return in_runs(layers, "+")


def _module(part: str) -> str:
    return part if part in ("embed", "head", "norm") else f"all.{part}"


def _stacks(stack: Stack) -> list[Cut]:
    best = sorted({2, max(2, len(stack.alone) // 2)})
    chosen = [layers_named(stack.alone[:k]) for k in best if k < len(stack.alone)]
    if len(stack.alone) < 2:
        return []
    return [
        *(Cut("stack", what) for what in chosen),
        Cut("stack", layers_named(stack.alone)),
        Cut("average", layers_named(stack.alone)),
    ]


SETS: dict[str, Callable[[Stack], Sequence[Cut]]] = {
    "moved": lambda s: [Cut("moved", str(layer)) for layer in range(s.layers)],
    "put-back": lambda s: [Cut("without", str(layer)) for layer in range(s.layers)],
    "prefixes": lambda s: [Cut("moved", layers_named(range(k))) for k in range(2, s.layers + 1)],
    "suffixes": lambda s: [
        Cut("moved", layers_named(range(k, s.layers))) for k in range(1, s.layers - 1)
    ],
    "kinds": lambda s: [Cut("moved", _module(p)) for p in s.modules if p in ("attn", "mlp")],
    "modules": lambda s: [Cut("moved", _module(part)) for part in s.modules],
    "scales": lambda s: [Cut("scaled", f"{factor:g}") for factor in SCALES],
    "bfloat16": lambda s: [Cut("bfloat16")],
    "ranks": lambda s: [Cut("rank", str(rank)) for rank in RANKS],
    "stack": _stacks,
    "others": lambda s: [
        Cut("exchanged", f"{layer}@{run}") for run in s.others for layer in range(s.layers)
    ],
}
"""By the name of an option: sets of variants."""


def cuts(sets: Collection[str], stack: Stack) -> list[Cut]:
    """The variants of these sets, each once."""
    return list(dict.fromkeys(cut for name in sets for cut in SETS[name](stack)))
