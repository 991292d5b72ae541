"""The section about the gradient statistics that may predict contributions."""

from __future__ import annotations

from layergym.evals.contribution.measure import Measure
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.report.words import points, ratio
from layergym.evals.studies.predictor import STATISTICS, Prediction, against

_NAMES = {"norm": "gradient norm", "snr": "signal to noise", "fisher": "Fisher trace"}


def predictor_section(found: Prediction, measured: Measure) -> Section:
    """Statistics beside what was measured, and how they correlate."""
    gains = {arm.layer: arm.gain for arm in measured.layers}
    rows = tuple(
        (
            str(one.layer),
            *(f"{getattr(one, name):.3g}" for name in STATISTICS),
            points(gains[one.layer]) if one.layer in gains else "-",
        )
        for one in found.layers
    )
    told = [
        f"{_NAMES[name]} {ratio(agreed.spearman) if agreed else 'not defined'}"
        for name, agreed in against(found.layers, measured).items()
    ]
    text = (
        "An experiment, not a result: gradient statistics of the untrained base on one batch of "
        f"rollouts ({found.tasks} tasks, {found.episodes} episodes each, seed {found.seed}). "
        "Spearman's correlation with the measured gain over layers, with 95 % intervals: "
        f"{', '.join(told)}. With few layers, or a ranking that is itself mostly noise, these "
        "intervals are wide; do not choose layers by them yet."
    )
    columns = ("layer", *_NAMES.values(), "measured gain, points")
    table = Table("Gradient statistics by layer, and the measured gain", columns, rows)
    return Section("Cheap predictor (experiment)", (table, Text(text)))
