"""What training did to the weights, from deltas and the base alone: no episode is played."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch

from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.variants import Before


@dataclass(frozen=True, slots=True)
class Movement:
    """How one run has moved some of the base's tensors."""

    change: float
    """Length of the update over the length of the weights before (Frobenius)."""
    changed: float
    """Share of the entries that differ from before."""
    changed_bf16: float
    """Share of the entries that differ when both are rounded to bfloat16."""
    rank: float | None
    """Effective rank of the matrices' updates, as a share of the rank that they could have: the
    exponential of the entropy of the singular values (Roy and Vetterli 2007), mean over matrices
    by their number of entries. None without a matrix that has moved."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two runs have moved the same tensors."""

    cosine: float | None
    """The cosine of the two updates as vectors; None where one is 0."""
    overlap: float | None
    """The share of the entries changed by either, once rounded to bfloat16, that both have changed
    (Jaccard); None where there are none."""
    by_chance: float | None
    """That share if the two had changed entries independently of each other."""


def movement(delta: LayerDelta, before: Before, names: Collection[str]) -> Movement | None:
    """How a dense delta has moved the tensors of these names; None where it holds none of them."""
    pairs = [(before[name], delta.tensors[name]) for name in names if name in delta.tensors]
    if not pairs:
        return None
    entries = sum(old.numel() for old, _ in pairs)
    start = sum(float(old.double().square().sum()) for old, _ in pairs)
    length = sum(float((new.double() - old.double()).square().sum()) for old, new in pairs)
    ranks = [(_rank_share(new - old), old.numel()) for old, new in pairs if old.ndim > 1]
    known = [(share, size) for share, size in ranks if share is not None]
    return Movement(
        change=(length / start) ** 0.5 if start else 0.0,
        changed=sum(int((new != old).sum()) for old, new in pairs) / entries,
        changed_bf16=sum(int(_shown(old, new).sum()) for old, new in pairs) / entries,
        rank=sum(r * n for r, n in known) / sum(n for _, n in known) if known else None,
    )


def likeness(
    one: LayerDelta, other: LayerDelta, before: Before, names: Collection[str]
) -> Likeness | None:
    """How alike two dense deltas have moved the tensors that both hold of these names."""
    shared = [name for name in names if name in one.tensors and name in other.tensors]
    if not shared:
        return None
    sums = torch.zeros(3, dtype=torch.float64)
    counts = torch.zeros(4, dtype=torch.float64)
    for name in shared:
        old = before[name]
        a, b = (d.tensors[name].double() - old.double() for d in (one, other))
        sums += torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()])
        s, t = (_shown(old, d.tensors[name]) for d in (one, other))
        counts += torch.tensor([int(m.sum()) for m in (s & t, s | t, s, t)], dtype=torch.float64)
    dot, left, right = sums.tolist()
    both, either, first, second = counts.tolist()
    entries = sum(before[name].numel() for name in shared)
    p, q = first / entries, second / entries
    return Likeness(
        cosine=dot / (left * right) ** 0.5 if left and right else None,
        overlap=both / either if either else None,
        by_chance=p * q / (p + q - p * q) if either else None,
    )


def _shown(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    return new.bfloat16() != old.bfloat16()


def _rank_share(update: torch.Tensor) -> float | None:
    sizes = torch.linalg.svdvals(update.flatten(1).double())
    total = float(sizes.sum())
    if not total:
        return None
    share = sizes / total
    entropy = -float(torch.special.xlogy(share, share).sum())
    return float(torch.tensor(entropy).exp()) / len(sizes)
