"""The section about arms that go by a ranking of the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from layergym.base.errors import InputError, briefly
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.profile_file import read_profile
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.report.words import claim, listed, named, ratio
from layergym.evals.results import Sweep, arm_label, arm_of
from layergym.evals.stats import Estimate
from layergym.evals.studies.compare import RANKING, rank_ranges


def compare_section(sweep: Sweep, found: LayerProfile, temperature: float) -> Section | None:
    """What the arms train, how they rank, and where their ranking comes from.

    None where no arm goes by a ranking.

    Args:
        sweep: the comparison.
        found: what it says.
        temperature: at which arms are ranked.

    Raises:
        InputError: the manifest's account of the ranking is damaged.
    """
    origin = sweep.manifest.get("ranking")
    if not isinstance(origin, Mapping):
        return _unrecorded(sweep)
    ranking = read_profile(sweep.path / RANKING)
    ranks = rank_ranges(sweep, temperature)
    try:
        told = _origin(origin, ranking, sweep, found)
        table = _table(origin["layers"], ranking, found, ranks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        path = sweep.path / "manifest.json"
        raise InputError(f"{path}: its ranking is not whole ({briefly(error)})") from None
    return Section("Guided strategies", (_verdict(found, ranks), table, told))


def _unrecorded(sweep: Sweep) -> Section | None:
    """A warning where arms go by a profile that `layergym compare` did not keep apart."""
    arms = [str(arm) for arm in sweep.settings.get("extra", ()) if "@" in str(arm)]
    if not arms:
        return None
    text = (
        f"{', '.join(arms)}: it is not recorded whether that ranking was made with the tasks and "
        "seeds of this sweep. If it was, these arms profit twice from one lucky draw; layergym "
        "compare keeps them apart."
    )
    return Section("Guided strategies", (Text(text, "warning"),))


def _verdict(found: LayerProfile, ranks: Mapping[str, tuple[int, int]]) -> Text:
    first, *others = ranks
    same = [arm_label(arm) for arm in others if ranks[arm][0] == 1]
    told = f"Highest {named(found.scored)}: {arm_label(first)}"
    if same:
        told += f"; not distinguishable from it: {', '.join(same)}"
    elif others:
        told += ", distinguishably above every other arm"
    return claim(found, f"{told} (95 % intervals of all pairs, jointly).")


def _table(
    layers: Mapping[str, Sequence[int]],
    ranking: LayerProfile,
    found: LayerProfile,
    ranks: Mapping[str, tuple[int, int]],
) -> Table:
    # A layer was picked for what it had then, so that needs the interval that holds for all.
    then = {arm.arm: arm.joint_contribution for arm in ranking.measures[0].arms}
    now = {arm.arm: arm.contribution for arm in found.measures[0].arms}
    rows = []
    for arm, (best, worst) in ranks.items():
        chosen = layers.get(arm, ())
        single = len(chosen) == 1 and not arm.startswith(("boost-", "lora-"))
        rows.append(
            (
                arm_label(arm),
                listed(chosen) or "all",
                _ratio(then, arm_of(chosen[0]) if single else ""),
                _ratio(now, arm),
                f"{best}-{worst}",
            )
        )
    columns = ("arm", "layers", "contribution when ranked", "contribution here", "rank")
    return Table(
        "What each arm trains or boosts, contribution with 95 % intervals (Fieller; joint "
        "when ranked), and the ranks that the data allow (joint)",
        columns,
        tuple(rows),
    )


def _ratio(known: Mapping[str, Estimate | None], arm: str) -> str:
    return ratio(known[arm]) if arm in known else "-"


def _origin(
    origin: Mapping[str, Any], ranking: LayerProfile, sweep: Sweep, found: LayerProfile
) -> Text:
    panel = sweep.panel
    assert panel is not None
    seeds = sorted({run.seed for run in sweep.runs if run.arm != "base"})
    return Text(
        f"Layers were ranked in {ranking.name}, on {ranking.tasks} tasks of the "
        f"{origin['split']} split with {_seeds(origin['seeds'])}. These arms were trained with "
        f"{_seeds(seeds)} and scored on {found.tasks} other tasks, of the {panel.split} split, so "
        "no layer profits twice from the luck by which it was chosen. What was highest when ranked "
        "tends to be too high there; it is not here."
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {listed(seeds)}"
