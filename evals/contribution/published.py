"""Published tables of scores per layer, read as profiles so that the same report can judge them.

A table is a CSV file with a header; its first column names the row ("Base", "Full", "L0", "L1",
...). A column "average" ("avg", "mean") repeats what the benchmarks say and counts only where it
is alone; "contribution" ("C") is compared with what is computed here, and may have empty cells.
All other columns are benchmarks.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from layergym.base.errors import InputError, briefly
from layergym.base.texts import csv_rows
from layergym.evals.arms import ArmName
from layergym.evals.contribution.measure import ArmScore, Measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.stats import Estimate, Floats
from layergym.evals.stats.agreement import thirds

_AVERAGE = ("average", "avg", "mean")
_CONTRIBUTION = ("contribution", "c")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
_SHIFTS = range(-2, 3)
"""Layers by which the cut before the last third is shifted, to see how much hangs on it."""


@dataclass(frozen=True, slots=True)
class Split:
    """The benchmarks in two groups, and Spearman's correlation over layers between their means."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    all_layers: float
    cut: int
    """The last layer before the last third of the stack."""
    up_to: tuple[tuple[int, float | None], ...]
    """The same over the layers 0 to k, for k around `cut`; None where too few are left."""

    @property
    def without_last_third(self) -> tuple[float, ...]:
        """The correlation over the layers 0 to `cut`, where it is defined."""
        return tuple(value for k, value in self.up_to if k == self.cut and value is not None)


@dataclass(frozen=True)
class PublishedTable:
    """A published table as it was read."""

    profile: LayerProfile
    benchmarks: tuple[str, ...]
    scores: Floats
    """Scores of the layers, (L, benchmarks), as success rates."""
    printed: tuple[float | None, ...]
    """Contributions of the layers as printed; None where the table has none."""
    largest_difference: float | None
    """The largest difference between a printed contribution and the one computed here."""
    within_rounding: bool | None
    """Whether rounding of the printed scores explains every such difference."""
    splits: tuple[Split, ...]


def read_table(path: Path) -> PublishedTable:
    """Read a published table.

    Scores above 1 anywhere mean that the table is in percent.

    Raises:
        InputError: the file is unreadable, lacks Base or Full, or has a cell that is not a number.
    """
    header, rows = _rows(path)
    averages = tuple(name for name in header if _plain(name) in _AVERAGE)
    given = [name for name in header if _plain(name) in _CONTRIBUTION]
    benchmarks = tuple(name for name in header if name not in (*averages, *given)) or averages[:1]
    for row in ("base", "full"):
        if row not in rows:
            raise InputError(f'{path} has no row "{row.capitalize()}"; contributions need it')
    layers = sorted(int(name[1:]) for name in rows if re.fullmatch(r"l\d+", name))
    if not layers or not benchmarks:
        raise InputError(
            f'{path} has no layer rows ("L0", "L1", ...) or no benchmark column; '
            "write a row for each layer and a column for each benchmark"
        )
    columns = [header.index(name) for name in benchmarks]
    values = np.array([[float(rows[f"l{k}"][c]) for c in columns] for k in layers])
    base, full = (np.array([float(rows[r][c]) for c in columns]) for r in ("base", "full"))
    unit = 100.0 if max(values.max(), full.max()) > 1 else 1.0
    name = benchmarks[0] if len(benchmarks) == 1 else f"mean of {len(benchmarks)} benchmarks"
    profile = _profile(path, name, layers, values / unit, (base / unit, full / unit))
    column = header.index(given[0]) if given else None
    cells = ["" if column is None else rows[f"l{k}"][column].strip() for k in layers]
    printed = tuple(float(cell) if cell else None for cell in cells)
    cells = [rows[f"l{k}"][c] for k in layers for c in columns]
    off, explained = _compare(printed, profile.measures[0], _half_step(cells) / unit)
    splits = _splits(benchmarks, values, np.array(layers))
    return PublishedTable(profile, benchmarks, values / unit, printed, off, explained, splits)


def split_correlation(scores: Floats, first: Sequence[int], second: Sequence[int]) -> float | None:
    """Spearman's correlation over layers between the means of two groups of columns of (L, T).

    None with fewer than 3 layers, or where a group scores the same on all.
    """
    # Rounded, so that equal means of printed numbers are ties.
    a, b = (np.round(scores[:, list(group)].mean(axis=1), 9) for group in (first, second))
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(scipy.stats.spearmanr(a, b).statistic)


def _rows(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    try:
        lines = csv_rows(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read as a CSV table: {briefly(error)}; write it as text with commas"
        ) from None
    if not lines or len(lines[0]) < 2:
        raise InputError(f"{path} is not a table; its header should be: layer,<benchmark>,...")
    header, rows = [name.strip() for name in lines[0][1:]], {}
    repeated = [name for name in header if _plain(name) in (*_AVERAGE, *_CONTRIBUTION)]
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        name = re.sub(r"^layer[ _-]*(\d+)$", r"l\1", line[0].strip().lower())
        name = re.sub(r"^l0*(\d+)$", r"l\1", name)
        if len(line) != len(header) + 1 or name in rows:
            raise InputError(
                f"{path}, line {number}: a repeated row, or not {len(header)} values; mend the line"
            )
        for column, cell in zip(header, line[1:], strict=True):
            if not _NUMBER.fullmatch(cell.strip()) and (cell.strip() or column not in repeated):
                raise InputError(f'{path}, line {number}: "{cell}" is not a number; mend the line')
        rows[name] = line[1:]
    return header, rows


def _plain(name: str) -> str:
    return name.strip().lower().rstrip(".")


def _profile(
    path: Path, name: str, layers: Sequence[int], values: Floats, ends: tuple[Floats, Floats]
) -> LayerProfile:
    base, full = float(ends[0].mean()), float(ends[1].mean())
    gains = values.mean(axis=1) - base
    num_layers = max(layers) + 1
    parts = [np.isin(layers, third) for third in thirds(num_layers)]
    means = tuple(float(gains[part].mean()) if part.any() else None for part in parts)
    measure = Measure(
        name=name,
        sharpened=False,
        base=Estimate(base),
        full=Estimate(full),
        gain=Estimate(full - base),
        arms=tuple(
            ArmScore(
                arm=ArmName.of_layer(layer),
                layer=layer,
                seeds=0,
                score=Estimate(base + gain),
                gain=Estimate(gain),
                contribution=Estimate(gain / (full - base)) if full > base else None,
                joint_gain=Estimate(gain),
                joint_contribution=Estimate(gain / (full - base)) if full > base else None,
                against_full=Estimate(base + gain - full),
                ranks=None,
            )
            for layer, gain in zip(layers, gains.tolist(), strict=True)
        ),
        thirds=means,
        middle_less_first=_gap(means[1], means[0]),
        middle_less_last=_gap(means[1], means[2]),
        half_panel=None,
        single_seed=None,
        held_out_best=None,
    )
    return LayerProfile(
        name=path.stem,
        model="unknown",
        model_hash="unknown",
        num_layers=num_layers,
        env_id="published table",
        panel_hash="unknown",
        algorithm="unknown",
        tasks=values.shape[1],
        repeats=0,
        seeds=(0, 0),
        measures=(measure,),
        base_by_temperature=(),
        sharpening="The table has no scores of the base at lower temperatures, so how much of the "
        "gain is sharpening cannot be told.",
    )


def _gap(first: float | None, second: float | None) -> Estimate | None:
    return None if first is None or second is None else Estimate(first - second)


def _half_step(cells: Sequence[str]) -> float:
    decimals = max(len(cell.strip().partition(".")[2]) for cell in cells)
    return float(0.5 * 10.0**-decimals)


def _compare(
    printed: Sequence[float | None], measure: Measure, half: float
) -> tuple[float | None, bool | None]:
    """Largest difference from the printed contributions; whether score rounding explains all.

    Every mean may be off by `half`, so differences of two means by twice that; printed
    contributions are rounded to two decimals.
    """
    gain, arms = measure.gain.value, zip(printed, measure.arms, strict=True)
    pairs = [(p, a.contribution.value) for p, a in arms if p is not None and a.contribution]
    if not pairs:
        return None, None
    off = [abs(p - value) for p, value in pairs]
    slack = [2 * half * (1 + abs(value)) / (gain - 2 * half) + 0.005 for _, value in pairs]
    return max(off), all(a <= b for a, b in zip(off, slack, strict=True))


def _splits(benchmarks: Sequence[str], values: Floats, layers: Floats) -> tuple[Split, ...]:
    count, cut = len(benchmarks), thirds(int(layers.max()) + 1)[2].start - 1
    ends = [cut + shift for shift in _SHIFTS if cut + shift < layers.max()]
    if (layers <= cut).sum() < 3:
        ends = []
    splits: list[Split] = []
    for first in itertools.combinations(range(count), count // 2):
        second = tuple(i for i in range(count) if i not in first)
        # Halves of an even number come up twice; keep the one with the first benchmark.
        if not first or (count % 2 == 0 and 0 not in first) or len(splits) == 35:
            continue
        whole = split_correlation(values, first, second)
        if whole is None:
            continue
        up_to = tuple((k, split_correlation(values[layers <= k], first, second)) for k in ends)
        one, other = (tuple(benchmarks[i] for i in half) for half in (first, second))
        splits.append(Split(one, other, whole, cut, up_to))
    return tuple(splits)
