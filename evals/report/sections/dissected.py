"""The section about a full run that was taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layergym.evals.contribution.cheap import LAYER_KINDS, compared, weights_moved
from layergym.evals.contribution.dissected import Dissected
from layergym.evals.contribution.dissection import Dissection, GainShare, dissect
from layergym.evals.contribution.predicted import Prediction
from layergym.evals.report.model import Block, Plot, Section, Series, Table, Text
from layergym.evals.report.sections.cheap import cheap_blocks
from layergym.evals.report.words import listed, percent_with_interval, points, ratio
from layergym.evals.stats import Estimate
from layergym.evals.stats.shapley import intervals


def dissected_section(found: Dissected, prediction: Prediction | None = None) -> Section:
    """Where the gain of full training lies; with what `layergym predict` has kept, if anything."""
    what = dissect(found.tables)
    blocks: list[Block] = [_about(found, what), *_undefined(what), *_verdicts(found, what)]
    if _by_layer(found, what):
        blocks += [_plot(found, what), _layers(found, what)]
    blocks += [*_others(found, what), *_weights(found.weights)]
    if cheap := compared(found, what, prediction):
        blocks += cheap_blocks(cheap)
    return Section("Where full training's gain lies", tuple(blocks))


def _about(found: Dissected, what: Dissection) -> Text:
    first, seeds = found.first, what.seeds
    return Text(
        f"Full training of {seeds} seed{'s' * (seeds > 1)} taken apart: {len(what.shares)} "
        f"variants on {len(first.tasks)} tasks x {first.repeats}, {found.episodes:,} episodes in "
        f"all, none of them trained on. Base {percent_with_interval(what.base)}, full "
        f"{percent_with_interval(what.full)}, gain {points(what.gain)} points."
        + (" With one seed, all of this is about this very run." if seeds == 1 else "")
        + _not_shown(found.unfinished)
    )


def _not_shown(unfinished: int) -> str:
    if not unfinished:
        return ""
    told = "variant is" if unfinished == 1 else "variants are"
    return f" {unfinished} more {told} not scored for every seed yet; the same command goes on."


def _undefined(what: Dissection) -> list[Text]:
    if what.defined or not what.shares:
        return []
    told = "Full training is not distinguishably better than the base here: shares of its gain are "
    return [Text(told + "undefined, and only differences in points are shown.", "warning")]


def _by_layer(found: Dissected, what: Dissection) -> dict[str, list[GainShare | None]]:
    every = {kind: what.layers(kind, found.layers) for kind in LAYER_KINDS}
    return {kind: shares for kind, shares in every.items() if any(shares)}


def _height(share: GainShare, *, defined: bool) -> Estimate:
    if defined and share.share is not None:
        return share.share
    at = share.difference
    low, high = (None if end is None else 100 * end for end in (at.low, at.high))
    return Estimate(100 * at.value, low, high)


def _plot(found: Dissected, what: Dissection) -> Plot:
    """Alone, moved and put back by depth, side by side."""
    series = []
    for place, (kind, shares) in enumerate(_by_layer(found, what).items()):
        points_ = [(i, _height(s, defined=what.defined)) for i, s in enumerate(shares) if s]
        whole = all(at.low is not None for _, at in points_)
        series.append(
            Series(
                LAYER_KINDS[kind],
                tuple(float(i) for i, _ in points_),
                tuple(at.value for _, at in points_),
                tuple(at.low for _, at in points_ if at.low is not None) if whole else (),
                tuple(at.high for _, at in points_ if at.high is not None) if whole else (),
                "accent" if kind == "moved" else "ink",
                place,
            )
        )
    full = 1.0 if what.defined else 100 * what.gain.value
    return Plot(
        caption="What each layer holds of full training's gain",
        x_label="layer",
        y_label="share of the gain" if what.defined else "points",
        series=tuple(series),
        references=(("full", full), ("nothing", 0.0)),
        joined=True,
        span=float(found.layers - 1),
    )


def _layers(found: Dissected, what: Dissection) -> Table:
    columns = _by_layer(found, what)
    shapley = _shapley(found)
    moved = weights_moved(found.weights)
    rows = []
    for layer in range(found.layers):
        cells = [_cell(shares[layer], defined=what.defined) for shares in columns.values()]
        cells += [points(shapley[layer])] if shapley else []
        cells += [f"{100 * moved[layer]:.3g}"] if moved is not None else []
        rows.append((str(layer), *cells))
    unit = "share of the gain" if what.defined else "points"
    names = [f"{LAYER_KINDS[kind]}, {unit}" for kind in columns]
    names += ["Shapley value, points"] if shapley else []
    names += ["weights moved, %"] if moved is not None else []
    caption = "Each layer, with 95 % intervals for each value by itself" + _orders(found)
    return Table(caption, ("layer", *names), tuple(rows))


def _orders(found: Dissected) -> str:
    """What Shapley values rest on."""
    shares = found.shapley()
    if not shares:
        return ""
    if all(one.exact for one in shares):
        return f"; Shapley values from all {2**found.layers:,} coalitions"
    return f"; Shapley values from {min(len(one.table) for one in shares)} pairs of orders"


def _cell(share: GainShare | None, *, defined: bool) -> str:
    if share is None:
        return "-"
    return ratio(share.share) if defined else points(share.difference)


def _shapley(found: Dissected) -> list[Estimate]:
    shares = found.shapley()
    return intervals(shares) if shares else []


def _others(found: Dissected, what: Dissection) -> list[Table]:
    """Variants that are not one layer each."""
    single = {f"{kind}-{layer}" for kind in LAYER_KINDS for layer in range(found.layers)}
    rows = [
        (
            share.name,
            percent_with_interval(share.score),
            points(share.difference),
            *((ratio(share.share),) if what.defined else ()),
        )
        for share in what.shares
        if share.name not in single
    ]
    columns = ("variant", "score", "minus base, points", *(("share",) if what.defined else ()))
    return [Table("Other variants", columns, tuple(rows))] if rows else []


def _weights(weights: Mapping[str, Any]) -> list[Table]:
    """How weights moved, part by part, and how alike runs moved each layer."""
    tables = []
    if moved := list(weights.get("moved", {}).values()):
        rows = []
        for part in moved[0]:
            ones = [parts[part] for parts in moved if part in parts]
            cells = [
                f"{100 * np.mean([one[key] for one in ones]):.3g}"
                for key in ("change", "changed", "changed_bf16")
            ]
            ranks = [one["rank"] for one in ones if one["rank"] is not None]
            rows.append((part, *cells, f"{100 * np.mean(ranks):.3g}" if ranks else "-"))
        columns = ("part", "moved", "changed", "changed in bfloat16", "effective rank")
        caption = "What full training did to the weights, in percent, mean over seeds"
        tables.append(Table(caption, columns, tuple(rows)))
    pairs = [pair for by_pair in weights.get("alike", {}).values() for pair in by_pair]
    if names := list(dict.fromkeys(pairs)):
        rows = [
            (layer, *(_alike(by_pair.get(name)) for name in names))
            for layer, by_pair in weights["alike"].items()
        ]
        caption = (
            "How alike two runs moved a layer: cosine of the updates; overlap of the entries that "
            "bfloat16 shows as changed, and what chance would give"
        )
        tables.append(Table(caption, ("layer", *names), tuple(rows)))
    return tables


def _alike(one: Mapping[str, Any] | None) -> str:
    if one is None or one["cosine"] is None:
        return "-"
    if one["overlap"] is None or one["by_chance"] is None:
        return f"{one['cosine']:.2f}"
    return f"{one['cosine']:.2f}; {one['overlap']:.2f} ({one['by_chance']:.2f})"


def _verdicts(found: Dissected, what: Dissection) -> list[Text]:
    """Where the gain is, whether it is redundant, and whether layers trained alone add up."""
    return [*_where(found, what), *_redundant(found, what), *_adds_up(what)]


def _clear(shares: Sequence[GainShare | None]) -> list[int]:
    """Layers whose difference is above 0 by intervals that hold for all variants together."""
    return [layer for layer, share in enumerate(shares) if share and share.joint.above(0)]


def _most(shares: Sequence[GainShare | None], *, defined: bool) -> str:
    best = max((s for s in shares if s), key=lambda share: share.difference.value)
    layer = best.name.partition("-")[2]
    if defined:
        return f"the most, layer {layer}: {ratio(best.share)} of the gain"
    return f"the most, layer {layer}: {points(best.difference)} points"


def _where(found: Dissected, what: Dissection) -> list[Text]:
    shares = what.layers("moved", found.layers)
    if not any(shares):
        return []
    clear, most = _clear(shares), _most(shares, defined=what.defined)
    if not clear:
        return [Text(f"No layer moved into the base alone is distinguishably better ({most}).")]
    return [
        Text(
            f"Moved into the base one at a time, layer{'s' * (len(clear) > 1)} {listed(clear)} "
            f"distinguishably lift it ({most}).",
            "finding" if what.seeds > 1 else "plain",
        )
    ]


def _redundant(found: Dissected, what: Dissection) -> list[Text]:
    shares = what.layers("without", found.layers)
    if not any(shares):
        return []
    clear, most = _clear(shares), _most(shares, defined=what.defined)
    if clear:
        told = f"Full training loses distinguishably without layer {listed(clear)} ({most})."
    else:
        told = (
            f"No single layer is needed: each can be put back to the base's values without a "
            f"distinguishable loss ({most})."
        )
    return [Text(told)]


def _adds_up(what: Dissection) -> list[Text]:
    stacks = [share for share in what.shares if share.name.startswith("stack-")]
    alone = [share for share in what.shares if share.name.startswith("alone-")]
    if not stacks or not alone:
        return []
    largest = max(stacks, key=lambda s: len(s.name.replace("-", "+").split("+")) + len(s.name))
    best = max(alone, key=lambda share: share.score.value)
    return [
        Text(
            f"Single-layer runs put into one model ({largest.name.partition('-')[2]}) score "
            f"{percent_with_interval(largest.score)}; the best of them alone "
            f"{percent_with_interval(best.score)}, full {percent_with_interval(what.full)}."
        )
    ]
