"""The section about how far training moved each layer."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.arms import FULL, ArmName
from layergym.evals.contribution.moved import OTHER, mean_moved
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.report.words import figure
from layergym.evals.results import Run


def moved_section(runs: Sequence[Run]) -> Section | None:
    """Every layer trained alone beside the same layer in the other arms; None without changes."""
    by_arm = mean_moved(runs)
    if not by_arm:
        return None
    others = [arm for arm in by_arm if arm.layer is None]
    alone = any(arm.layer is not None for arm in by_arm)
    rows = []
    for layer in sorted({name for by_layer in by_arm.values() for name in by_layer}, key=_place):
        own = by_arm.get(ArmName.of_layer(_place(layer)), {}).get(layer) if layer != OTHER else None
        cells = [own] * alone + [by_arm[arm].get(layer) for arm in others]
        rows.append((_name(layer), *(figure(share, "{:.3g}", 100) for share in cells)))
    table = Table(
        "Length of the change as a share of the length of the weights at the start (Frobenius "
        "norms), in percent, mean over seeds",
        ("what", *(("trained alone",) if alone else ()), *(arm.label for arm in others)),
        tuple(rows),
    )
    return Section("How far training moved", (table, *_compared(by_arm)))


def _compared(by_arm: dict[ArmName, dict[str, float]]) -> tuple[Text, ...]:
    """How many times as far layers move alone as in full training; nothing without both."""
    full = by_arm.get(FULL, {})
    times = [
        by_layer[name] / full[name]
        for arm, by_layer in by_arm.items()
        if arm.layer is not None
        for name in by_layer
        if full.get(name)
    ]
    if not times:
        return ()
    return (
        Text(
            f"Alone, a layer moves {min(times):.2g} to {max(times):.2g} times as far as in full "
            "training: contributions compare updates of different lengths.",
            numbers={"fewest times": min(times), "most times": max(times)},
        ),
    )


def _place(name: str) -> int:
    """The layer's index; what is in no layer comes last."""
    index = name.removeprefix("layer_")
    return int(index) if index.isdigit() else 1 << 30


def _name(name: str) -> str:
    return "embeddings, norm, head" if name == OTHER else str(_place(name))
