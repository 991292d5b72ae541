"""What a training step reports about its rollout."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean

import torch

from layergym.agents.base import AnyAgent, Episode, Move, continuous
from layergym.agents.types import Group
from layergym.trainer.credit.advantages import CreditStatistics
from layergym.trainer.processes import gathered
from layergym.trainer.rows.passes import Pass


def rollout_measures(groups: Sequence[Group], statistics: CreditStatistics) -> dict[str, float]:
    """Reward, success, length and credit statistics of one rollout; names are log keys.

    Episodes that ended in an error count only in `episodes_failed`.
    """
    trajectories = [t for group in groups for t in group.trajectories]
    kept = [t for t in trajectories if t.ended != "error"]
    measures = {
        "episodes_failed": float(statistics.masked),
        "groups_zero_variance": statistics.zero_variance / max(statistics.groups, 1),
        "step_groups_shared": statistics.shared_share,
        "step_group_size": statistics.mean_size,
    }
    if not kept:
        return measures
    turns = [turn for t in kept for turn in t.turns]
    kinds: dict[str, list[bool]] = defaultdict(list)
    for t in kept:
        kinds[t.kind].append(t.success)
    measures |= {
        "reward": fmean(t.total_reward for t in kept),
        "success": fmean(t.success for t in kept),
        "turns": len(turns) / len(kept),
        "truncated": fmean(t.ended == "truncated" for t in kept),
        "out_of_context": fmean(t.ended == "context" for t in kept),
        "shortened": fmean(t.shortened for t in kept),
        "invalid": fmean(not turn.valid for turn in turns) if turns else 0.0,
    }
    return measures | {
        f"success/{kind}": fmean(values) for kind, values in sorted(kinds.items()) if kind
    }


def gradient_norms(layers: Mapping[str, Iterable[torch.nn.Parameter]]) -> dict[str, float]:
    """L2 norm of the gradient of each named set of parameters, before clipping."""
    norms = {}
    for name, parameters in layers.items():
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            norms[f"grad_norm/{name}"] = gathered(torch.nn.utils.get_total_norm(gradients)).float()
    # Read in one go: a GPU is waited for once, not once per layer.
    return (
        dict(zip(norms, torch.stack(list(norms.values())).tolist(), strict=True)) if norms else {}
    )


def mismatch(
    passes: Sequence[Pass], gather: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, float]:
    """How far the trainer's log-probabilities are from the sampler's, in nats per token.

    Args:
        passes: this process's passes.
        gather: the rows (1, 3) of all processes, one below the other.
    """
    by_pass = [pass_.mismatch for pass_ in passes if pass_.mismatch is not None]
    if not by_pass:
        return {}
    differences = torch.cat(by_pass)
    highest = differences.max() if len(differences) else differences.new_zeros(())
    count = torch.full_like(highest, len(differences))
    totals = gather(torch.stack([differences.sum(), count, highest])[None])
    mean = totals[:, 0].sum() / totals[:, 1].sum()
    measures = torch.stack([mean, totals[:, 2].max()]).tolist()
    return dict(zip(("mismatch", "mismatch_max"), measures, strict=True))


def peak_memory() -> float:
    """Highest resident memory of this process, bytes; GPU memory where there is a GPU."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


class TimedAgent:
    """An agent, and the seconds it takes; the rest of a rollout's time is the environments'."""

    def __init__(self, agent: AnyAgent) -> None:
        """Time `agent`."""
        self.seconds = 0.0
        self._agent = continuous(agent)

    def ask(self, episodes: Sequence[Episode]) -> None:
        """Take in episodes that wait for a decision."""
        with self._timed():
            self._agent.ask(episodes)

    def decided(self, wait_s: float = 0.0) -> list[tuple[int, Move]]:
        """Decide as the agent does."""
        with self._timed():
            return self._agent.decided(wait_s)

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        self._agent.release(episodes)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started
