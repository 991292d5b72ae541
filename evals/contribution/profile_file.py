"""`profile.json`: a layer profile on disk, for `layers=top:3@profile.json` and later reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.evals.arms import ArmName
from layergym.evals.contribution.measure import ArmScore, Control, Measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.runs import RunScore
from layergym.evals.stats import Estimate

FORMAT = 2
MOST_LAYERS = 10_000
"""Names of arms have room for this many layers."""


def write_profile(path: Path, profile: LayerProfile) -> None:
    """Write `profile` to `path`; "layers" repeats the main measure, flat, one entry per layer.

    An undefined contribution is null.
    """
    write_json(path, {"format": FORMAT, "layers": _flat(profile.measures[0]), **asdict(profile)})


def read_profile(path: Path) -> LayerProfile:
    """Read a profile.

    Raises:
        InputError: the file is missing, truncated, or not a profile.
    """
    value = read_json(path)
    if value.get("format") != FORMAT or "measures" not in value:
        raise InputError(f"{path} is not a layer profile of format {FORMAT}; make the report again")
    try:
        fewest, most = value["seeds"]
        measures = _measures(value["measures"])
        return LayerProfile(
            name=str(value["name"]),
            model=str(value["model"]),
            model_hash=str(value["model_hash"]),
            num_layers=_depth(value["num_layers"], measures),
            env_id=str(value["env_id"]),
            panel_hash=str(value["panel_hash"]),
            algorithm=str(value["algorithm"]),
            tasks=int(value["tasks"]),
            repeats=int(value["repeats"]),
            seeds=(int(fewest), int(most)),
            measures=measures,
            base_by_temperature=tuple(
                (_number(temperature), _estimate(score))
                for temperature, score in value["base_by_temperature"]
            ),
            sharpening=str(value["sharpening"]),
            runs=tuple(map(_run, value.get("runs", ()))),
            scored=str(value.get("scored", "success")),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path} is not a whole layer profile ({briefly(error)}); "
            "write it again with layergym report"
        ) from None


def _measures(rows: Any) -> tuple[Measure, ...]:
    """Read the measures, at least one; scores lie between 0 and 1."""
    measures = tuple(map(_measure, rows))
    scores = [one.value for m in measures for one in (m.base, m.full, *(a.score for a in m.arms))]
    if not measures or not all(0 <= score <= 1 for score in scores):
        raise ValueError("it has no measure, or a score outside 0 to 1")
    return measures


def _depth(value: Any, measures: Sequence[Measure]) -> int:
    """A number of layers that has room for those that were measured."""
    depth = int(value)
    deepest = max((arm.layer or 0 for one in measures for arm in one.arms), default=0)
    if not deepest < depth <= MOST_LAYERS:
        raise ValueError(f"it has a layer {deepest} of {str(depth)[:40]}")
    return depth


def _flat(measure: Measure) -> list[dict[str, Any]]:
    rows = []
    for arm in measure.layers:
        ratio = arm.contribution
        best, worst = arm.ranks or (None, None)
        rows.append(
            {
                "layer": arm.layer,
                "score": arm.score.value,
                "low": arm.score.low,
                "high": arm.score.high,
                "contribution": ratio.value if ratio else None,
                "contribution_low": ratio.low if ratio else None,
                "contribution_high": ratio.high if ratio else None,
                "rank_best": best,
                "rank_worst": worst,
            }
        )
    return rows


def _estimate(value: Mapping[str, Any]) -> Estimate:
    return Estimate(_number(value["value"]), _maybe(value["low"]), _maybe(value["high"]))


def _optional(value: Mapping[str, Any] | None) -> Estimate | None:
    return None if value is None else _estimate(value)


def _maybe(value: Any) -> float | None:
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is not true or false")
    return value


def _run(value: Mapping[str, Any]) -> RunScore:
    return RunScore(
        arm=ArmName(value["arm"]),
        seed=int(value["seed"]),
        score=_number(value["score"]),
        errors=int(value["errors"]),
        out_of_context=int(value.get("out_of_context", 0)),
        shortened=int(value.get("shortened", 0)),
        apart=_flag(value["apart"]),
    )


def _measure(value: Mapping[str, Any]) -> Measure:
    return Measure(
        name=str(value["name"]),
        sharpened=_flag(value["sharpened"]),
        base=_estimate(value["base"]),
        full=_estimate(value["full"]),
        gain=_estimate(value["gain"]),
        arms=tuple(map(_arm, value["arms"])),
        thirds=tuple(map(_maybe, value["thirds"])),
        middle_less_first=_optional(value["middle_less_first"]),
        middle_less_last=_optional(value["middle_less_last"]),
        half_panel=_maybe(value["half_panel"]),
        single_seed=_maybe(value["single_seed"]),
        held_out_best=_maybe(value["held_out_best"]),
        controls=tuple(map(_control, value.get("controls", ()))),
        panel_reliability=_optional(value.get("panel_reliability")),
        seed_reliability=_optional(value.get("seed_reliability")),
    )


def _control(value: Mapping[str, Any]) -> Control:
    return Control(
        arm=ArmName(value["arm"]),
        mean_layer=_optional(value["mean_layer"]),
        layers=tuple(map(_estimate, value["layers"])),
    )


def _arm(value: Mapping[str, Any]) -> ArmScore:
    ranks = value["ranks"]
    return ArmScore(
        arm=ArmName(value["arm"]),
        layer=None if value["layer"] is None else int(value["layer"]),
        seeds=int(value["seeds"]),
        score=_estimate(value["score"]),
        gain=_estimate(value["gain"]),
        contribution=_optional(value["contribution"]),
        joint_gain=_estimate(value["joint_gain"]),
        joint_contribution=_optional(value["joint_contribution"]),
        against_full=_estimate(value["against_full"]),
        ranks=None if ranks is None else (int(ranks[0]), int(ranks[1])),
    )
