"""The `layers=` grammar: what can be written, and what it names. No model is needed to read it.

What can be written::

    all                     every parameter, embeddings included
    14 | 10-14 | 0,14,27    decoder layers by index, from 0; ranges include both ends; "+" joins
                            them as well, where commas separate arms: 0+14+27
    middle | middle:5       the k layers around the middle (one when k is left out)
    top:3@profile.json      the k layers with the highest contribution in a profile: a file, a hub
                            id, or the name of one that ships with the package
    bottom:3@profile.json   the k with the lowest
    14.attn | 10-14.mlp     modules of decoder layers: attn, mlp, norms, or a module by its own
    14.o+down | all.attn    name, where "_proj" may be left out; "+" joins several
    embed | head | norm     what lies outside the layers: embeddings, output head, final norm
    random | random:2       as many single entries as this many layers have, scattered over the
                            matrices of all decoder layers: a control
    mask:changed@DELTA      the single entries that another run has changed, by its folder or delta;
                            mask:changed_bf16@DELTA: those whose bfloat16 rounding it has changed
    lisa:2/5                2 layers, drawn anew every 5 steps, and what lies outside the layers

Layers are indices into the model's own decoder-layer list, never name prefixes, so that
`layers.1` cannot match `layers.10`.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from layergym.base.errors import InputError, Notice
from layergym.base.numbers import in_runs
from layergym.trainer.layers.rankings import read_ranking

_GRAMMAR = (
    'write layers as "all", "14", "10-14", "0,14,27", "middle:5" or "top:3@profile.json"; '
    '"14.attn", "embed" or "random" name something finer'
)
OUTSIDE = ("embed", "head", "norm")
"""What a model has beside its decoder layers."""


@dataclass(frozen=True, slots=True)
class LayerTarget:
    """Some decoder layers, or modules of theirs, or something outside the layers."""

    layers: tuple[int, ...]
    """Empty for what lies outside the layers."""
    part: str = ""
    """A module of these layers, or one of `OUTSIDE`; "" for whole layers."""


@dataclass(frozen=True, slots=True)
class ChangedBy:
    """The single entries that another run has changed."""

    delta: Path
    bfloat16: bool
    """Whether only changes count that are left after rounding to bfloat16."""


@dataclass(frozen=True, slots=True)
class Redrawn:
    """Decoder layers that are drawn anew as a run goes on."""

    layers: int
    """How many train at a time."""
    every: int
    """Optimiser steps from one draw to the next."""


def targets(spec: str, num_layers: int) -> tuple[LayerTarget, ...]:
    """What `spec` names, in the order in which it does; for "all" all layers and what is outside.

    Raises:
        InputError: as `layer_indices`, or `spec` names single entries.
    """
    text = spec.strip()
    if text == "all":
        every = LayerTarget(layer_indices(text, num_layers))
        return every, *(LayerTarget((), part) for part in OUTSIDE)
    if re.match("top:|bottom:", text):  # The name of a file follows, which may hold anything.
        return (LayerTarget(layer_indices(text, num_layers)),)
    result: list[LayerTarget] = []
    for term in re.split(r"\s*[,+]\s*", text):
        named = re.fullmatch(r"(.+)\.([A-Za-z_]\w*)", term)
        if term in OUTSIDE:
            result.append(LayerTarget((), term))
        elif named:
            result.append(LayerTarget(layer_indices(named[1], num_layers), named[2]))
        elif (
            result and result[-1].part not in ("", *OUTSIDE) and re.fullmatch(r"[A-Za-z_]\w*", term)
        ):
            result.append(LayerTarget(result[-1].layers, term))
        else:
            result.append(LayerTarget(layer_indices(term, num_layers)))
    return tuple(result)


def touched(spec: str, num_layers: int) -> tuple[int, ...]:
    """Decoder layers in which something lies that `spec` names, ascending; none for single entries.

    Raises:
        InputError: as `targets`.
    """
    if changed_by(spec) or scattered(spec, num_layers):
        return ()
    if redrawn(spec, num_layers):
        return tuple(range(num_layers))
    return tuple(sorted({i for target in targets(spec, num_layers) for i in target.layers}))


def whole_layers(spec: str) -> bool:
    """Whether `spec` is written as some decoder layers, each of them whole."""
    return bool(re.fullmatch(r"[\d\s,+-]+|middle(:\d+)?|(top|bottom):.+", spec.strip()))


def inside_layers(spec: str) -> bool:
    """Whether all that `spec` names are decoder layers or modules of theirs, whole tensors."""
    text = spec.strip()
    if re.match("top:|bottom:", text):
        return True
    outside = set(OUTSIDE) & {term.strip() for term in re.split("[,+]", text)}
    return not (outside or re.match("all$|random|mask:|lisa:", text))


def changed_by(spec: str) -> ChangedBy | None:
    """The run whose changes "mask:changed@DELTA" names; None for anything else."""
    match = re.fullmatch(r"mask:changed(_bf16)?@(.+)", spec.strip())
    return ChangedBy(Path(match[2]), bool(match[1])) if match else None


def redrawn(spec: str, num_layers: int) -> Redrawn | None:
    """The draws that "lisa:K/N" asks for; None for anything else.

    Raises:
        InputError: it is out of range, or cannot be read.
    """
    if not spec.strip().startswith("lisa"):
        return None
    match = re.fullmatch(r"lisa:(\d{1,9})/(\d{1,9})", spec.strip())
    if match is None or int(match[2]) < 1:
        raise InputError(f'"{spec}" cannot be read; 2 layers drawn every 5 steps are "lisa:2/5"')
    return Redrawn(_count(match[1], num_layers, spec), int(match[2]))


def layer_indices(spec: str, num_layers: int) -> tuple[int, ...]:
    """Indices that `spec` names in a model of `num_layers` layers, ascending.

    "all" gives every index. "middle:k" is [floor(L/2 - k/2), floor(L/2 + k/2)), the heuristic of
    arXiv 2607.01232.

    Raises:
        InputError: `spec` cannot be read, selects nothing, or names a layer that is not there.
    """
    text = spec.strip()
    if not text:
        raise InputError(f"no layer is selected; {_GRAMMAR}")
    if text == "all":
        return tuple(range(num_layers))
    if match := re.fullmatch(r"middle(?::(\d{1,9}))?", text):
        k = _count(match[1] or "1", num_layers, text)
        return tuple(range((num_layers - k) // 2, (num_layers + k) // 2))
    if match := re.fullmatch(r"(top|bottom):(\d{1,9})@(.+)", text):
        ranked = _ranked(Path(match[3]), num_layers)
        k = _count(match[2], len(ranked), text)
        return tuple(sorted(ranked[:k] if match[1] == "top" else ranked[-k:]))
    ranges = [_range(part, text) for part in re.split("[,+]", text)]
    if (last := max(each[-1] for each in ranges)) >= num_layers:
        raise InputError(
            f"the model has {num_layers} layers, 0 to {num_layers - 1}; there is no layer {last}"
        )
    return tuple(sorted({index for each in ranges for index in each}))


def scattered(spec: str, num_layers: int) -> int:
    """As many layers as "random" or "random:k" scatters the entries of; 0 for anything else.

    Raises:
        InputError: k is out of range.
    """
    match = re.fullmatch(r"random(?::(\d{1,9}))?", spec.strip())
    return _count(match[1] or "1", num_layers, spec) if match else 0


def notice_origin(spec: str, model: str) -> None:
    """Give a `Notice` where `spec` goes by a profile that was made with another model.

    Args:
        spec: of layers or of a boost.
        model: `base_hash` of the model that is to train.

    Raises:
        InputError: it names a profile that cannot be read.
    """
    named = re.search(r"(?:top|bottom):\d+@([^*]+)", spec)
    profile = read_ranking(Path(named[1])) if named else {}
    made_with = str(profile.get("model_hash", "unknown"))
    if made_with not in ("unknown", model):
        warnings.warn(
            f'"{spec}": this ranking was made with the model {profile.get("model", "?")} '
            f"({made_with[:12]}) on {profile.get('env_id', '?')}; the model here is "
            f"{model[:12]}, whose layers may rank otherwise",
            Notice,
            stacklevel=2,
        )


def boost_factors(spec: str, num_layers: int) -> dict[int, float]:
    """Learning-rate multiplier per layer from `"<layers>*<factor>"`; empty for "".

    Raises:
        InputError: the factor is missing or not a positive number, or the layers are wrong.
    """
    if not spec:
        return {}
    layers, star, factor = spec.rpartition("*")
    if not star or not re.fullmatch(r"\d+(\.\d+)?", factor.strip()) or float(factor) <= 0:
        raise InputError(f'boost "{spec}" has no factor; write it like "top:5@profile.json*2"')
    return dict.fromkeys(layer_indices(layers, num_layers), float(factor))


def ranges(layers: tuple[int, ...]) -> str:
    """Ascending indices in short: (1, 2, 3, 7) is "1-3,7"."""
    return in_runs(layers, ",")


def _range(part: str, spec: str) -> range:
    match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part)
    if match is None:
        raise InputError(f'layers="{spec}" cannot be read; {_GRAMMAR}')
    low, high = int(match[1]), int(match[2] or match[1])
    if high < low:
        raise InputError(f'the range "{part.strip()}" is empty; write it as "{high}-{low}"')
    return range(low, high + 1)


def _count(text: str, available: int, spec: str) -> int:
    k = int(text)
    if not 1 <= k <= available:
        raise InputError(f'"{spec}" asks for {k} layers; choose between 1 and {available}')
    return k


def _ranked(path: Path, num_layers: int) -> list[int]:
    """Layers of a profile, highest contribution first; ties by index."""
    profile = read_ranking(path)
    entries = [(int(e["layer"]), float(e["contribution"] or 0)) for e in profile["layers"]]
    stated = int(profile["num_layers"])
    if any(e["contribution"] is None for e in profile["layers"]):
        raise InputError(
            f'contributions in "{path}" are undefined: the full gain was not distinguishable from '
            "0; sweep again with more steps, seeds or tasks"
        )
    if stated != num_layers or not all(0 <= layer < num_layers for layer, _ in entries):
        shown = str(stated)[:40]  # It may be anything.
        raise InputError(f'"{path}" profiles a model of {shown} layers; this one has {num_layers}')
    return [layer for layer, _ in sorted(entries, key=lambda e: (-e[1], e[0]))]
