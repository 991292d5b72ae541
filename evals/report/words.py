"""Numbers as text, and what a profile means in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.agreement import spearman_brown
from layergym.evals.contribution import LayerProfile
from layergym.evals.measure import Measure
from layergym.evals.report.model import Text
from layergym.evals.results import arm_label
from layergym.evals.stats import Estimate


def percent(estimate: Estimate | None) -> str:
    """A success rate in percent with its interval."""
    return with_interval(estimate, 100, "{:.1f}")


def points(estimate: Estimate | None) -> str:
    """A difference of success rates in percentage points with its interval."""
    return with_interval(estimate, 100, "{:+.1f}")


def ratio(estimate: Estimate | None) -> str:
    """A contribution or correlation with its interval."""
    return with_interval(estimate, 1, "{:.2f}")


def amount(value: float | None, unit: str = "") -> str:
    """A count or amount in short form: 1.2 M, 3.4 MB, 81.6 s; "-" when it is unknown."""
    if value is None:
        return "-"
    if unit == "s" or value < 1000:
        digits = 0 if unit != "s" or value >= 100 else 1
        return f"{value:,.{digits}f} {unit}".strip()
    for prefix in ("k", "M", "G", "T"):
        value /= 1000
        if value < 1000 or prefix == "T":
            break
    return f"{value:.3g} {prefix}{unit}"


def listed(layers: Sequence[int]) -> str:
    """Layers as runs: 0-3, 5, 8-9."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def findings(profile: LayerProfile) -> tuple[Text, ...]:
    """The verdict: what full training gained, how much is sharpening, best layers, next run."""
    main = profile.measures[0]
    texts = [_gain(profile, measure) for measure in profile.measures if not measure.sharpened]
    texts.append(Text(profile.sharpening))
    if main.layers:
        texts.append(_best(main))
        layers, why = recommendation(profile)
        texts.append(Text(f"Next run: layers={layers}, because {why}", "finding"))
    return (*texts, *_few_seeds(profile))


def cautions(profile: LayerProfile) -> tuple[Text, ...]:
    """How far the ranking of single layers may be believed."""
    main = profile.measures[0]
    told = (*_held_out(main), _beats_full(main), *controls(main))
    return (*told, _depth(main), *_reliability(profile, main))


def controls(shown: Measure) -> tuple[Text, ...]:
    """Whether the layers beat random entries and LoRA of the same size."""
    told = []
    for control in shown.controls:
        pairs = list(zip(shown.layers, control.layers, strict=True))
        better = [a.layer for a, gap in pairs if gap.above(0) and a.layer is not None]
        worse = [a.layer for a, gap in pairs if (gap.high or 0) < 0 and a.layer is not None]
        name = {"random": "as many random entries", "lora": "LoRA of the same size"}[control.arm]
        mean = control.mean_layer
        average = f"the mean layer scores {points(mean)} points; " if mean else ""
        told.append(
            f"Against {name}, {average}"
            f"distinguishably better {_which(better)}, worse {_which(worse)}."
        )
    if not told:
        return ()
    rule = "A layer is interesting only if it beats other parameters of the same number."
    return (Text(" ".join([rule, *told])),)


def _which(layers: Sequence[int]) -> str:
    return f"layer{'s' * (len(layers) > 1)} {listed(layers)}" if layers else "none"


def tied(measure: Measure) -> tuple[int, ...]:
    """Layers that cannot be told apart from the best one; just the best without intervals."""
    best = measure.best
    return tuple(
        arm.layer
        for arm in measure.layers
        if arm.layer is not None and (arm is best or (arm.ranks is not None and arm.ranks[0] == 1))
    )


def recommendation(profile: LayerProfile) -> tuple[str, str]:
    """What to pass as `layers=` next time, and why; at least one layer was trained alone."""
    main = profile.measures[0]
    best = main.best
    assert best is not None
    if not main.defined and best.against_full.above(0):
        return str(best.layer), (
            f"layer {best.layer} alone is distinguishably better than full training, which is not "
            "distinguishably better than the base here."
        )
    if not main.defined:
        return "all", (
            "full training is not distinguishably better than the base here, so no layer can be "
            "preferred; measure with more tasks, more updates, or a better learning rate first."
        )
    if best.gain.low is not None and best.gain.low <= 0:
        return "all", "no single layer is distinguishably better than the base."
    same = tied(main)
    why = f"layer {best.layer} alone recovers {ratio(best.contribution)} of the full gain"
    if len(same) > 1:
        why += f"; layers {listed(same)} cannot be told apart from it"
    if max(same) != best.layer:
        why += (
            f", and of these layer {max(same)} is cheapest to train, since nothing below the "
            "trained layer needs a gradient"
        )
    if best.against_full.high is not None and best.against_full.high < 0:
        why += (
            f". Full training is better by {-100 * best.against_full.value:.1f} points; "
            "use all layers where that matters more than memory"
        )
    if best.against_full.low is None:
        why += "; the table has no repeats, so neighbours in the ranking may well be as good"
    return str(best.layer), why + "."


def with_interval(estimate: Estimate | None, scale: float, form: str) -> str:
    """`scale` times an estimate, each number in the format `form`."""
    if estimate is None:
        return "undefined"
    # Adding 0 turns a rounded -0.0 into 0.0.
    value = form.format(scale * estimate.value + 0.0)
    if estimate.low is None or estimate.high is None:
        return value
    low, high = (form.format(scale * bound + 0.0) for bound in (estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _gain(profile: LayerProfile, shown: Measure) -> Text:
    way = "Greedy" if shown.name == "greedy" else f"At {shown.name}"
    what = f"{way}, full training moved the score on {profile.tasks} tasks"
    if profile.repeats == 0:
        what = f"Full training moved the mean of {profile.tasks} benchmarks"
    moved = (
        f"{what} from {100 * shown.base.value:.1f} % to {100 * shown.full.value:.1f} %: "
        f"{points(shown.gain)} points."
    )
    if shown.defined or not shown.arms:
        return Text(moved, "finding" if shown is profile.measures[0] else "plain")
    worse = shown.gain.high is not None and shown.gain.high < 0
    so = "distinguishably below 0" if worse else "not distinguishably above 0"
    return Text(f"{moved} This is {so}, so contributions are undefined.", "warning")


def _best(main: Measure) -> Text:
    best = main.best
    assert best is not None
    leaders = sorted(main.layers, key=lambda arm: -arm.score.value)[:3]
    unit = "contribution" if main.defined else "points above the base"
    worth = [ratio(a.contribution) if main.defined else points(a.gain) for a in leaders]
    shown = (f"layer {arm.layer} {value}" for arm, value in zip(leaders, worth, strict=True))
    told = f"Highest alone ({unit}): {', '.join(shown)}"
    same = [layer for layer in tied(main) if layer != best.layer]
    if best.ranks is None:
        told += "; the table has no repeats, so which others are as good cannot be told."
    elif same:
        name = "layers" if len(same) > 1 else "layer"
        told += f"; {name} {listed(same)} cannot be told apart from layer {best.layer}."
    elif len(main.layers) > 1:
        told += f"; layer {best.layer} is distinguishably better than every other layer."
    return Text(told.removesuffix(".") + ".")


def _held_out(main: Measure) -> tuple[Text, ...]:
    if main.held_out_best is None:
        return ()
    honest = f"{100 * main.held_out_best:+.1f} points"
    if main.defined:
        honest += f" (contribution {main.held_out_best / main.gain.value:.2f})"
    return (
        Text(
            f'"The best of {len(main.layers)} layers", chosen on one half of the tasks and '
            f"scored on the other, gains {honest}: what picking the highest score is worth."
        ),
    )


def _beats_full(main: Measure) -> Text:
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
            f"None of the {len(main.arms)} arms is distinguishably better than full training "
            "(95 % intervals that hold for all of them together)."
        )
    return Text(
        "Distinguishably better than full training, by intervals that hold for all "
        f"{len(main.arms)} arms together: {', '.join(arm_label(arm.arm) for arm in winners)}.",
        "finding",
    )


def _depth(main: Measure) -> Text:
    if all(third is None for third in main.thirds):
        return Text(
            "Scores decided which layers were trained to the end, so the middle of the stack is "
            "not compared with its ends."
        )
    unit = main.gain.value if main.defined else 0.01
    name = "mean contribution" if main.defined else "mean gain in points"
    shown = ["-" if third is None else f"{third / unit:.2f}" for third in main.thirds]
    told = f"By thirds of the stack, {name}: first {shown[0]}, middle {shown[1]}, last {shown[2]}."
    contrast = main.middle_against_ends
    if contrast is None:
        return Text(told + " Too few layers were trained to compare the middle with the ends.")
    told += f" The middle third less the two ends is {points(contrast)} points"
    if contrast.low is None or contrast.high is None:
        return Text(told + ", without an interval.")
    if contrast.low > 0:
        return Text(told + ": middle layers recover more here.")
    if contrast.high < 0:
        return Text(told + ": middle layers recover less here; the published pattern is absent.")
    return Text(told + ": a middle-layer advantage is not resolved here.")


def _reliability(profile: LayerProfile, main: Measure) -> list[Text]:
    told = []
    if main.half_panel is not None:
        told.append(
            f"Rankings from two halves of the tasks correlate at {main.half_panel:.2f} (Spearman); "
            f"the whole panel's ranking then has a reliability of "
            f"{spearman_brown(main.half_panel):.2f} (Spearman-Brown) for these trained weights."
        )
    if main.single_seed is not None:
        whole = spearman_brown(main.single_seed, max(profile.seeds[0], 1))
        told.append(
            f"Rankings from single seeds correlate at {main.single_seed:.2f}; the mean of "
            f"{profile.seeds[0]} seeds then has a reliability of {whole:.2f}."
        )
    return [Text(" ".join(told))] if told else []


def _few_seeds(profile: LayerProfile) -> list[Text]:
    if profile.seeds == (0, 0):
        return []
    if profile.seeds[1] == 1:
        return [
            Text(
                "One seed per arm: intervals cover the choice of tasks and sampling, not the luck "
                "of training. Another seed may reorder the layers.",
                "warning",
            )
        ]
    if profile.seeds[0] != profile.seeds[1]:
        return [
            Text(
                f"Arms have between {profile.seeds[0]} and {profile.seeds[1]} seeds; those with "
                "fewer have wider intervals.",
                "warning",
            )
        ]
    return []
