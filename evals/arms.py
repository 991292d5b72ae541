"""What a sweep compares: the grammar of arms, and what their names say. Nobody else reads either.

What can be written::

    base                     the untrained model
    full                     every parameter
    3 | 0+14 | middle:5      only these layers: the `layers=` grammar
    boost-<layers>[*2]       every parameter, these layers at a multiple of the learning rate
    random | random:2        control: single entries, scattered, as many as this many layers have
    lora | lora-<layers>     control: LoRA on all or these layers, as large as one layer

The boost is the layer-adaptive learning rate of arXiv 2607.01232, which doubles it; random masks
and LoRA are the baselines of its scripts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from layergym.base.errors import InputError

BOOST = 2
_RANKED = re.compile(r"(?<![\w:])(single:best|(?:top|bottom):(\d+))(?!@)")
ArmKind = Literal["base", "full", "layers", "boost", "random", "lora"]


class ArmName(str):
    """The name of an arm: a text, as folders, files and tables hold it, that says what it is of."""

    __slots__ = ()

    @classmethod
    def of_layer(cls, layer: int) -> ArmName:
        """The arm that trains `layer` alone: "layer-03"."""
        return cls(f"layer-{layer:02d}")

    @property
    def layer(self) -> int | None:
        """The one layer that it trains alone; None for other arms."""
        match = re.fullmatch(r"layer-(\d{1,4})", self)
        return int(match[1]) if match else None

    @property
    def trained(self) -> bool:
        """Whether it is not the base."""
        return self != "base"

    @property
    def whole_layers(self) -> bool:
        """Whether what its layers hold is trained itself: no boost, no adapters."""
        return not self.startswith(("boost-", "lora-"))

    @property
    def is_control(self) -> bool:
        """Whether it is what a layer must beat: random entries or LoRA of the size of one."""
        return self in ("random", "lora")

    @property
    def label(self) -> str:
        """How a report calls it: "layer 3" for "layer-03", else its name."""
        layer = self.layer
        if layer is not None:
            return f"layer {layer}"
        return {"random": "random entries", "lora": "LoRA"}.get(self, str(self))

    @property
    def order(self) -> tuple[int, int, str]:
        """Sorts arms: base, full, the layers by index, then the others by name."""
        layer = self.layer
        if layer is not None:
            return 2, layer, self
        return {"base": 0, "full": 1}.get(self, 3), 0, self


BASE, FULL = ArmName("base"), ArmName("full")


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing that a sweep trains, as it was asked for."""

    name: ArmName
    """The name of its folder too."""
    expression: str
    kind: ArmKind
    layers: str = "all"
    """What trains, or is boosted, in the `layers=` grammar."""
    factor: str = ""
    """How many times the learning rate a boosted layer gets."""

    @staticmethod
    @cache
    def parse(expression: str) -> Arm:
        """Read an expression.

        Raises:
            InputError: it names nothing. Whether its layers exist is for the model to say.
        """
        text = expression.strip()
        name = _name(text)
        if text == "base":
            return Arm(name, expression, "base")
        if text == "full":
            return Arm(name, expression, "full")
        if text.startswith("boost-"):
            layers, _, factor = text.removeprefix("boost-").partition("*")
            return Arm(name, expression, "boost", layers, factor or str(BOOST))
        if text == "lora" or text.startswith("lora-"):
            return Arm(name, expression, "lora", text.removeprefix("lora").lstrip("-") or "all")
        kind: ArmKind = "random" if text.startswith("random") else "layers"
        return Arm(name, expression, kind, text)

    @property
    def boost(self) -> str:
        """The boost as a run takes it: "top:5@profile.json*2"; "" for other arms."""
        return f"{self.layers}*{self.factor}" if self.kind == "boost" else ""

    @property
    def names_layers(self) -> bool:
        """Whether it is about some layers, not about all or about scattered entries."""
        return self.kind in ("layers", "boost", "lora") and self.layers != "all"


def layers_ranked(expression: str) -> int | None:
    """How many layers of a ranking an expression asks for: 3 for "top:3", 1 for "single:best".

    None where it goes by no ranking, or names its profile already.
    """
    match = _RANKED.search(expression)
    return int(match[2] or 1) if match else None


def by_ranking(expression: str, profile: Path) -> str:
    """The expression with the profile that its "single:best", "top:k" or "bottom:k" refers to."""
    named = _RANKED.sub(lambda match: f"{match[1]}@{profile}", expression)
    return named.replace("single:best@", "top:1@")


def any_layer(expression: str) -> str:
    """The expression with layer 0 in place of ranked ones, to check it before they are ranked."""
    return _RANKED.sub("0", expression)


def _name(expression: str) -> ArmName:
    """A folder's name: "layer-03" for "3", "top-5" for "top:5@runs/a/profile.json"."""
    if re.fullmatch(r"\d+", expression):
        return ArmName.of_layer(int(expression))
    short = re.sub(r"@[^*]*", "", expression)
    name = re.sub(r"[^a-z0-9-]+", "-", short.lower()).strip("-")
    if not name:
        raise InputError(f'"{expression}" names no arm; try "middle:5" or "boost-middle:5"')
    return ArmName(name)
