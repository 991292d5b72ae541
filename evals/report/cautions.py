"""How far the ranking of single layers may be believed, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from layergym.evals.contribution.measure import Measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.report.model import Text
from layergym.evals.report.words import claim, figure, listed, points, ratio
from layergym.evals.stats import Estimate
from layergym.evals.stats.agreement import spearman_brown


def cautions(profile: LayerProfile) -> tuple[Text, ...]:
    """How far the ranking of single layers may be believed."""
    main = profile.measures[0]
    texts = (*_held_out(profile, main), _beats_full(profile, main), *controls(profile, main))
    texts = (*texts, *_no_control(profile, main))
    return (*texts, _depth(profile, main), *_reliability(profile, main), *_saturated(profile))


def controls(profile: LayerProfile, shown: Measure) -> tuple[Text, ...]:
    """Whether the layers beat random entries and LoRA of the same size."""
    sentences = []
    for control in shown.controls:
        pairs = list(zip(shown.layers, control.layers, strict=True))
        better = [a.layer for a, gap in pairs if gap.above(0) and a.layer is not None]
        worse = [a.layer for a, gap in pairs if (gap.high or 0) < 0 and a.layer is not None]
        name = {"random": "as many random entries", "lora": "LoRA of the same size"}[control.arm]
        mean = control.mean_layer
        average = f"the mean layer scores {points(mean)} points; " if mean else ""
        sentences.append(
            f"Against {name}, {average}"
            f"distinguishably better {_which(better)}, worse {_which(worse)}."
        )
    if not sentences:
        return ()
    rule = "A layer is interesting only if it beats other parameters of the same number."
    return (claim(profile, " ".join([rule, *sentences]), "plain"),)


def _no_control(profile: LayerProfile, main: Measure) -> tuple[Text, ...]:
    """That random entries of a layer's size are missing, and what they would cost."""
    random = any(control.arm == "random" for control in main.controls)
    if random or len(main.layers) < 2 or not profile.runs:
        return ()
    more, runs = profile.seeds[1], len(profile.runs)
    return (
        Text(
            "No control of one layer's size was trained, so it is not known whether a layer does "
            "more than as many entries at random would. --arms random adds it: "
            f"{more} run{'s' * (more > 1)} beside these {runs}."
        ),
    )


def _which(layers: Sequence[int]) -> str:
    return f"layer{'s' * (len(layers) > 1)} {listed(layers)}" if layers else "none"


def _held_out(profile: LayerProfile, main: Measure) -> tuple[Text, ...]:
    if main.held_out_best is None or len(main.layers) < 2:
        return ()
    honest = f"{100 * main.held_out_best:+.1f} points"
    share = main.held_out_best / main.gain.value if main.defined else None
    if share is not None:
        honest += f" (contribution {share:.2f})"
    several = profile.seeds[0] > 1
    parts = "some tasks and seeds" if several else "one half of the tasks"
    luck = "" if several else ", with the luck of its training still in it"
    return (
        Text(
            f'"The best of {len(main.layers)} layers", chosen on {parts} and scored on the '
            f"others, gains {honest}: what picking the highest score is worth{luck}.",
            numbers={"contribution of the best layer, held out": share},
        ),
    )


def _beats_full(profile: LayerProfile, main: Measure) -> Text:
    if main.layers[0].against_full.low is None:
        above = [a.layer for a in main.layers if a.layer is not None and a.against_full.value > 0]
        return Text(
            f"{len(above)} of {len(main.layers)} layers are printed above full training "
            f"({listed(above) or 'none'}); without repeats none of this is known to be more than "
            "noise."
        )
    winners = [arm for arm in main.arms if arm.against_full.above(0)]
    if not winners:
        return Text(
            "No arm is distinguishably better than full training (95 % intervals that hold for "
            "all arms together)."
        )
    return claim(
        profile,
        "Distinguishably better than full training, by intervals that hold for all arms "
        f"together: {', '.join(arm.arm.label for arm in winners)}.",
    )


def _depth(profile: LayerProfile, main: Measure) -> Text:
    if all(third is None for third in main.thirds):
        return Text(
            "Scores decided which layers were trained to the end, so the middle of the stack is "
            "not compared with its ends."
        )
    unit = main.gain.value if main.defined else 0.01
    name = "mean contribution" if main.defined else "mean gain in points"
    thirds = {
        f"{name}, {third} third": None if gain is None else gain / unit
        for third, gain in zip(("first", "middle", "last"), main.thirds, strict=True)
    }
    first, middle, last = (figure(value, "{:.2f}") for value in thirds.values())
    said = f"By thirds of the stack, {name}: first {first}, middle {middle}, last {last}."
    minus = {"first": main.middle_less_first, "last": main.middle_less_last}
    gaps = {end: gap for end, gap in minus.items() if gap is not None}
    if not gaps:
        said += " Too few layers were trained to compare the middle with the ends."
        return Text(said, numbers=thirds)
    each = (f"the {end} is {points(gap)} points" for end, gap in gaps.items())
    said += f" The middle third minus {', minus '.join(each)}"
    if any(gap.low is None for gap in gaps.values()):
        said += ", without intervals: how much of this is noise is unknown."
        return Text(said, numbers=thirds)
    return replace(_middle(profile, said, gaps), numbers=thirds)


def _middle(profile: LayerProfile, said: str, gaps: Mapping[str, Estimate]) -> Text:
    """An advantage of the middle needs both ends to be worse (an intersection-union test)."""
    worse = [f"the {end} third recovers less" for end, gap in gaps.items() if gap.above(0)]
    better = [f"the {end} third recovers more" for end, gap in gaps.items() if (gap.high or 0) < 0]
    if len(worse) == 2:
        return claim(profile, said + ": middle layers recover more than both ends here.")
    if not worse and not better:
        return Text(said + ": no difference is resolved here.")
    clear = f"{' and '.join(worse + better)} than the middle"
    return claim(profile, f"{said}: {clear}. The middle is not shown to beat both ends.")


def _reliability(profile: LayerProfile, main: Measure) -> list[Text]:
    said, numbers = [], dict[str, float | None]()
    if main.half_panel is not None:
        whole = numbers["reliability of the whole panel"] = spearman_brown(main.half_panel, 2)
        said.append(
            f"Rankings from two halves of the tasks correlate at {main.half_panel:.2f} (Spearman); "
            f"the whole panel's ranking then has {_stepped_up(whole)} "
            f"for these trained weights{_anova(main.panel_reliability)}."
        )
    if main.single_seed is not None:
        seeds = max(profile.seeds[0], 1)
        mean = numbers["reliability of the mean of seeds"] = spearman_brown(main.single_seed, seeds)
        said.append(
            f"Rankings from single seeds correlate at {main.single_seed:.2f}; the mean of "
            f"{seeds} seeds then has {_stepped_up(mean)}{_anova(main.seed_reliability)}."
        )
    return [Text(" ".join(said), numbers=numbers)] if said else []


def _anova(reliability: Estimate | None) -> str:
    return (
        ""
        if reliability is None
        else f"; {ratio(reliability)} by analysis of variance, 95 % interval"
    )


def _saturated(profile: LayerProfile) -> list[Text]:
    if len(profile.measures) < 2 or all(m.name != "greedy" for m in profile.measures[1:]):
        return []
    return [
        Text(
            "Greedy contributions saturate: a small part of an update may already have all of the "
            "greedy gain, so they rank layers less well than those at temperature 1."
        )
    ]


def _stepped_up(value: float | None) -> str:
    return f"a reliability of {value:.2f} (Spearman-Brown)" if value else "no reliability (0)"
