"""What a sweep of single layers costs, and what costs less: measures of layers beside each other.

A *cheap* measure has a value for each layer and trains no layer alone. Whether one ranks layers as
training each alone does is their rank correlation, sweep by sweep and over several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layergym.evals.contribution.dissected import Dissected
from layergym.evals.contribution.dissection import Dissection
from layergym.evals.contribution.predicted import STATISTICS, Prediction
from layergym.evals.stats import Estimate, Floats, Z
from layergym.evals.stats.agreement import Agreement, agreement
from layergym.evals.stats.shapley import intervals

LAYER_KINDS = {
    "alone": "trained alone",
    "moved": "moved into the base",
    "without": "lost when put back",
}
"""Variants with one layer each, by the beginnings of their names."""
FEWEST = 5
"""Layers that are trained alone where there is a rank correlation."""


@dataclass(frozen=True, slots=True)
class CheapMeasure:
    """A measure beside the gain of layers trained alone."""

    name: str
    agreed: Agreement | None
    """How well it agrees with the gain of layers trained alone; None where one of them is flat."""
    episodes: int
    """Played for it, for each seed of full training."""
    of_full: bool
    """Whether it needs a full run as well."""


@dataclass(frozen=True, slots=True)
class CheapAgreement:
    """All cheap measures of one sweep."""

    layers: int
    """Trained alone."""
    trained_episodes: int
    """The episodes that these layers have trained on, for each seed."""
    measures: tuple[CheapMeasure, ...]


def compared(
    dissected: Dissected, what: Dissection, prediction: Prediction | None = None
) -> CheapAgreement | None:
    """Every cheap measure that there is; None where too few layers were trained alone."""
    alone = what.layers("alone", dissected.layers)
    kept = [layer for layer, share in enumerate(alone) if share]
    if len(kept) < FEWEST:
        return None
    gains = np.array([share.difference.value for share in alone if share])
    each = len(dissected.first.tasks) * dissected.first.repeats
    measures = []

    def add(name: str, values: Floats, episodes: int, *, of_full: bool = True) -> None:
        measures.append(CheapMeasure(name, agreement(values, gains), episodes, of_full))

    for kind in ("moved", "without"):
        shares = what.layers(kind, dissected.layers)
        held = [share.difference.value for layer in kept if (share := shares[layer])]
        if len(held) == len(kept):
            add(LAYER_KINDS[kind], np.array(held), each * dissected.layers)
    if shapley := dissected.shapley():
        values = np.array([one.value for one in intervals(shapley)])
        add("Shapley value", values[kept], each * dissected.coalitions)
    moved = weights_moved(dissected.weights)
    if moved is not None:
        add("weights moved", moved[kept], 0)
    for name, label in STATISTICS.items() if prediction else ():
        assert prediction is not None
        by_layer = {one.layer: getattr(one, name) for one in prediction.layers}
        if all(layer in by_layer for layer in kept):
            columns = np.array([by_layer[layer] for layer in kept])
            add(label, columns, prediction.tasks * prediction.episodes, of_full=False)
    return CheapAgreement(len(kept), dissected.trained_episodes, tuple(measures))


def weights_moved(weights: Mapping[str, Any]) -> Floats | None:
    """How far each layer's weights moved in full training, mean over seeds, (L,)."""
    tables = [
        [one["change"] for part, one in parts.items() if part.isdigit()]
        for parts in weights.get("moved", {}).values()
    ]
    return np.array(tables, dtype=np.float64).mean(axis=0) if tables else None


def pooled_agreement(agreed: Sequence[Agreement]) -> Estimate:
    """The mean correlation of several sweeps: Fisher's z, weighted by what each sweep knows.

    The interval treats the layers of all sweeps as independent. Those of sweeps that share a base
    or an environment are less so.
    """
    centres = np.arctanh([np.clip(one.spearman.value, -_MOST, _MOST) for one in agreed])
    inner = np.tanh(centres)
    weights = np.array(
        [(one.layers - 3) / (1 + r**2 / 2) for one, r in zip(agreed, inner, strict=True)]
    )
    centre = float(np.average(centres, weights=weights))
    half = Z / np.sqrt(weights.sum())
    return Estimate(*map(float, np.tanh([centre, centre - half, centre + half])))


_MOST = 0.99
"""A perfect correlation counts as this one."""
