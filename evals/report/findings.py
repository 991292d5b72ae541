"""What a profile means in plain sentences: the verdict, and what to train next."""

from __future__ import annotations

from layergym.evals.contribution.measure import ArmScore, Measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.runs import apart
from layergym.evals.report.model import Text
from layergym.evals.report.words import listed, points, ratio, single_runs, together


def findings(profile: LayerProfile) -> tuple[Text, ...]:
    """The verdict: what full training gained, how much is sharpening, best layers, next run."""
    main = profile.measures[0]
    texts = [_gain(profile, measure) for measure in profile.measures if not measure.sharpened]
    texts += [Text(profile.sharpening, numbers=_sharpened(profile)), *_few_seeds(profile)]
    if main.layers:
        layers, why = recommendation(profile)
        advice = f"layers={layers}, because {why}"
        if _only_sharper(profile):
            advice = (
                "decode the untrained base colder first; no layer is shown to add beyond it here. "
                f"To train for {main.name} all the same: {advice}"
            )
        repeated = profile.seeds[1] > 1  # No finding without repeats, as in a published table.
        texts += [
            _best(profile, main),
            Text(f"Next run: {advice}", "finding" if repeated else "plain"),
        ]
    return tuple(texts)


def _sharpened(profile: LayerProfile) -> dict[str, float | None]:
    """How much of full training's gain the untrained base reaches at its best temperature."""
    main = profile.measures[0]
    sharp = next((m for m in profile.measures if m.sharpened), None)
    if sharp is None:
        return {}
    gain = sharp.base.value - main.base.value
    share = gain / main.gain.value if main.gain.value else None
    return {"gain of the sharpened base": gain, "its share of the gain": share}


def tied(measure: Measure) -> tuple[int, ...]:
    """Layers that cannot be told apart from the best one; just the best without intervals."""
    best = measure.best
    return tuple(
        arm.layer
        for arm in measure.layers
        if arm.layer is not None and (arm is best or (arm.ranks is not None and arm.ranks[0] == 1))
    )


def recommendation(profile: LayerProfile) -> tuple[str, str]:
    """What to pass as `layers=` next time, and why; at least one layer was trained alone.

    The layer is picked for its score, so it must stand by intervals that hold for all arms.
    """
    main = profile.measures[0]
    best = main.best
    assert best is not None
    none_lifts = best.joint_gain.low is not None and best.joint_gain.low <= 0
    if single_runs(profile):
        return "all", (
            "one seed per arm says nothing about layers; sweep with further seeds (--seeds 0 1 2) "
            "before you prefer one."
        )
    if not main.defined and best.against_full.above(0) and not none_lifts:
        return str(best.layer), (
            f"layer {best.layer} alone is distinguishably better than full training, which is not "
            "distinguishably better than the base here."
        )
    if main.gain.low is None and not main.defined:
        return "all", "full training is not better than the base in this table."
    if "full" in apart(profile.runs):
        return "all", (
            "a run of full training stands apart from its other seeds, so what full training gains "
            "is not known; train it with further seeds (--seeds) before you compare layers with it."
        )
    if not main.defined and (odd := apart(profile.runs)):
        return "all", (
            "full training is not distinguishably better than the base here; a run of "
            f"{together(odd)} stands apart and widens what is said of all arms, so train with "
            "further seeds (--seeds) before anything else."
        )
    if not main.defined:
        return "all", (
            "full training is not distinguishably better than the base here, so no layer can be "
            "preferred; measure with more tasks, more updates, or a better learning rate first."
        )
    if none_lifts and (odd := apart(profile.runs)):
        return "all", (
            "no single layer is distinguishably better than the base, with room for further runs "
            f"lost like that of {together(odd)}; train with further seeds (--seeds) first."
        )
    if none_lifts:
        return "all", "no single layer is distinguishably better than the base."
    return str(best.layer), _why(main, best)


def _why(main: Measure, best: ArmScore) -> str:
    same = tied(main)
    why = f"layer {best.layer} alone gains {points(best.joint_gain)} points"
    if best.joint_contribution is not None:
        why = f"layer {best.layer} alone recovers {ratio(best.joint_contribution)} of the full gain"
    if others := [layer for layer in same if layer != best.layer]:
        name = "layers" if len(others) > 1 else "layer"
        why += f"; {name} {listed(others)} cannot be told apart from it"
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
    return why + "."


def _only_sharper(profile: LayerProfile) -> bool:
    """Full training gains, but nothing that was trained beats the base decoded colder."""
    main, *colder = profile.measures
    beyond = [m.gain for m in colder] + [arm.joint_gain for m in colder for arm in m.layers]
    examined = any(m.sharpened for m in colder)
    return main.gain.above(0) and examined and not any(gain.above(0) for gain in beyond)


def _gain(profile: LayerProfile, shown: Measure) -> Text:
    way = "Greedy" if shown.name == "greedy" else f"At {shown.name}"
    what = f"{way}, full training moved the score on {profile.tasks} tasks"
    if profile.repeats == 0:
        what = f"Full training moved {'the ' * (profile.tasks > 1)}{shown.name}"
    moved = (
        f"{what} from {100 * shown.base.value:.1f} % to {100 * shown.full.value:.1f} %: "
        f"{points(shown.gain)} points."
    )
    if shown.defined and shown.gain.low is not None and shown.gain.low <= 0:
        return Text(
            f"{moved} A run that stands apart may befall full training too; allowing for that, the "
            "gain is not distinguishably above 0. It would lower all arms, so contributions leave "
            "it out.",
            "warning",
        )
    if shown.defined or not shown.arms:
        main = shown is profile.measures[0] and not single_runs(profile)
        return Text(moved, "finding" if main else "plain")
    worse = shown.gain.high is not None and shown.gain.high < 0
    so = "distinguishably below 0" if worse else "not distinguishably above 0"
    so = "not above 0" if shown.gain.low is None else so
    return Text(f"{moved} This is {so}, so contributions are undefined.", "warning")


def _best(profile: LayerProfile, main: Measure) -> Text:
    best = main.best
    assert best is not None
    leaders = sorted(main.layers, key=lambda arm: -arm.score.value)[:3]
    shares = best.joint_contribution is not None
    unit = "contribution" if shares else "points above the base"
    worth = [ratio(a.joint_contribution) if shares else points(a.joint_gain) for a in leaders]
    shown = (f"layer {arm.layer} {value}" for arm, value in zip(leaders, worth, strict=True))
    joint = "" if best.joint_gain.low is None else ", intervals that hold for all arms together"
    sentence = f"Highest alone ({unit}{joint}): {', '.join(shown)}"
    same = [layer for layer in tied(main) if layer != best.layer]
    if best.ranks is None:
        sentence += "; the table has no repeats, so which others are as good cannot be told."
    elif same:
        name = "layers" if len(same) > 1 else "layer"
        sentence += f"; {name} {listed(same)} cannot be told apart from layer {best.layer}."
    elif len(main.layers) > 1:
        run = "the run of " if single_runs(profile) else ""
        sentence += f"; {run}layer {best.layer} is distinguishably better than every other one."
    return Text(sentence.removesuffix(".") + ".")


def _few_seeds(profile: LayerProfile) -> list[Text]:
    if profile.seeds == (0, 0):
        return []
    if profile.seeds[1] == 1:
        return [
            Text(
                "One seed per arm: intervals cover the choice of tasks and sampling, not the luck "
                "of training. Where runs differ, that says nothing about layers yet.",
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
