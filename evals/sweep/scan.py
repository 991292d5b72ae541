"""Coarse-to-fine scanning: every n-th layer first, then closer and closer around the best."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def coarse(layers: Sequence[int], stride: int) -> tuple[int, ...]:
    """Every `stride`-th of `layers`, and the last."""
    return tuple(dict.fromkeys((*layers[::stride], *layers[-1:])))


def waves(
    layers: Sequence[int], stride: int, scores: Mapping[int, float], out: Collection[int] = ()
) -> list[tuple[int, ...]]:
    """The waves of layers so far: all of the last must be over before there is another.

    The first wave is `coarse`. Each later one halves the distance and takes the two layers at that
    distance from the best so far; at distance 1 it follows the best until both its neighbours have
    run. A stack whose scores have one peak, flat or not between the coarse layers, is climbed to
    its top; noise and further peaks can mislead it, so a scan finds a good layer cheaply and does
    not measure a profile.

    Args:
        layers: all candidates, by index.
        stride: n.
        scores: of the layers that have run, on tasks other than those of the final score.
        out: layers that are over without a score (stopped in a race, or failed).

    Returns:
        Waves in order. It follows from the arguments alone, whatever else has a score.
    """
    layers_by_wave = [coarse(layers, stride)]
    run = set(layers_by_wave[0])
    distance = stride
    while all(layer in scores or layer in out for layer in layers_by_wave[-1]):
        scored = [layer for layer in layers if layer in run and layer in scores]
        if not scored:
            break
        best = layers.index(max(scored, key=lambda layer: (scores[layer], -layer)))
        distance = max(1, distance // 2)
        near = [layers[p] for p in (best - distance, best + distance) if 0 <= p < len(layers)]
        wave = tuple(layer for layer in near if layer not in run)
        if wave:
            layers_by_wave.append(wave)
            run.update(wave)
        elif distance == 1:
            break
    return layers_by_wave
