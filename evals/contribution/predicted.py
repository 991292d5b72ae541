"""Gradient statistics of a base's layers, as `layergym predict` keeps them in a sweep's folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.base.numbers import Bounds

FILE = "predictor.json"
STATISTICS = {"norm": "gradient norm", "snr": "signal to noise", "fisher": "Fisher trace"}
"""What they are called."""
_COUNT, _FINITE = Bounds(0, 1e15, whole=True), Bounds()


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """Gradient statistics of one layer."""

    layer: int
    norm: float
    snr: float
    fisher: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Gradient statistics of all layers, and the batch that they rest on."""

    tasks: int
    episodes: int
    """Per task."""
    seed: int
    """The seed of the rollout."""
    layers: tuple[LayerStatistics, ...]


def write_prediction(folder: Path, found: Prediction) -> None:
    """Keep the statistics in a sweep's folder."""
    write_json(folder / FILE, asdict(found))


def read_prediction(folder: Path) -> Prediction | None:
    """What `write_prediction` wrote; None where there is nothing.

    Raises:
        InputError: the file is damaged.
    """
    if not (folder / FILE).is_file():
        return None
    value = read_json(folder / FILE)
    try:
        layers = tuple(
            LayerStatistics(_COUNT.read(row, "layer"), *(_FINITE.read(row, n) for n in STATISTICS))
            for row in value["layers"]
        )
        tasks, episodes, seed = (_COUNT.read(value, n) for n in ("tasks", "episodes", "seed"))
        return Prediction(tasks, episodes, seed, layers)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / FILE} does not say what it rests on ({briefly(error)}); "
            "run layergym predict again"
        ) from None
