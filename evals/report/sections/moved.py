"""The section about how far training moved each layer."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.arms import FULL, ArmName
from layergym.evals.contribution.moved import OTHER, mean_moved
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.results import Run


def moved_section(runs: Sequence[Run]) -> Section | None:
    """Every layer trained alone beside the same layer in the other arms; None without changes."""
    found = mean_moved(runs)
    if not found:
        return None
    others = [arm for arm in found if arm.layer is None]
    alone = any(arm.layer is not None for arm in found)
    rows = []
    for layer in sorted({name for by_layer in found.values() for name in by_layer}, key=_place):
        own = found.get(ArmName.of_layer(_place(layer)), {}).get(layer) if layer != OTHER else None
        cells = [own] * alone + [found[arm].get(layer) for arm in others]
        rows.append((_name(layer), *map(_cell, cells)))
    table = Table(
        "Length of the change as a share of the length of the weights at the start (Frobenius "
        "norms), in percent, mean over seeds",
        ("what", *(("trained alone",) if alone else ()), *(arm.label for arm in others)),
        tuple(rows),
    )
    told = [Text(_compared(found))] if _compared(found) else []
    return Section("How far training moved", (table, *told))


def _compared(found: dict[ArmName, dict[str, float]]) -> str:
    """How many times as far layers move alone as in full training; "" without both."""
    full = found.get(FULL, {})
    times = [
        by_layer[name] / full[name]
        for arm, by_layer in found.items()
        if arm.layer is not None
        for name in by_layer
        if full.get(name)
    ]
    if not times:
        return ""
    return (
        f"Alone, a layer moves {min(times):.2g} to {max(times):.2g} times as far as in full "
        "training: contributions compare updates of different lengths."
    )


def _place(name: str) -> int:
    """The layer's index; what is in no layer comes last."""
    index = name.removeprefix("layer_")
    return int(index) if index.isdigit() else 1 << 30


def _name(name: str) -> str:
    return "embeddings, norm, head" if name == OTHER else str(_place(name))


def _cell(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3g}"
