"""What a report needs of the settings of a sweep, in typed form.

`sweep.json` may be written by hand, or by another version of layergym, and lack what a `SweepSpec`
needs; what is there counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layergym.base.errors import InputError
from layergym.base.numbers import Bounds


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """Settings of a sweep, as far as they are known."""

    run: Mapping[str, Any]
    """Fields of the sweep's `RunSpec`."""
    num_layers: int | None
    extra: tuple[str, ...]
    """Further arms, as expressions."""
    scan: int
    """Every n-th layer is trained first; 0 where all are trained."""
    race: tuple[int, ...]
    """Steps at which layers that are clearly behind are stopped."""
    rates: Mapping[str, float | None]
    """The learning rates that were given, by "lr_full" and "lr_layer"."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> SweepSettings:
        """Read the settings of a sweep's folder.

        Raises:
            InputError: the number of layers is not a whole number.
        """
        search, depth = _table(settings, "search"), settings.get("num_layers") or None
        if depth is not None and type(depth) is not int:
            raise InputError(
                f"sweep.json: num_layers is {depth!r:.40}; write the model's number of layers there"
            )
        scan = search.get("scan")
        return cls(
            run=_table(settings, "run"),
            num_layers=depth,
            extra=tuple(map(str, _list(settings, "extra"))),
            scan=scan if isinstance(scan, int) else 0,
            race=tuple(step for step in _list(search, "race") if isinstance(step, int)),
            rates={name: _rate(settings, name) for name in ("lr_full", "lr_layer")},
        )

    @property
    def model(self) -> str:
        """The base model's name, or "unknown"."""
        return str(self.run.get("model", "unknown"))

    @property
    def algorithm(self) -> str:
        """How turns were credited, or "unknown"."""
        return str(self.run.get("algorithm", "unknown"))


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    value = values.get(name)
    return list(value) if isinstance(value, list | tuple) else []


def _rate(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if value is not None and Bounds().hold(value) else None
