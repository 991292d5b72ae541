"""Fixed task panels: which tasks a score is about, written down and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from layergym.base.errors import InputError, error_line, faults
from layergym.envs import border
from layergym.envs.core import TextEnv


@dataclass(frozen=True, slots=True)
class Panel:
    """A fixed list of tasks of one environment and split."""

    env_id: str
    split: str
    tasks: tuple[str, ...]
    hash: str
    """SHA-256 over the environment id, the split, and every task's id and content digest."""

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self.tasks)


def panel(
    env: TextEnv, size: int | None = None, *, skip: int = 0, kinds: Sequence[str] = ()
) -> Panel:
    """The panel of `env`'s split: all tasks, or a fixed pseudo-random choice of `size` of them.

    A smaller panel is a subset of every larger one; no seed is involved. With `skip`, it is
    chosen among the tasks that are not in the panel of that size.

    Raises:
        InputError: there are fewer than `size` tasks, or none of the given kinds; or an id or a
            digest cannot be used.
    """
    tasks = [t for t in _ids(env) if not kinds or env.kind(t) in kinds]
    if not tasks:
        of = f" of kind {', '.join(kinds)}" if kinds else ""
        raise InputError(
            f"the {env.split} split has no task{of}; take another split, or other settings"
        )
    if size is not None or skip:
        wanted = skip + max(size or 1, 1)
        if (size is not None and size < 1) or wanted > len(tasks):
            more = f" besides the first {skip}" if skip else ""
            raise InputError(
                f"the {env.split} split has {len(tasks)} tasks; {size or 1} were asked for{more}"
            )
        tasks = sorted(sorted(tasks, key=_order)[skip:][:size])
    env_id = env.spec.id if env.spec else type(env).__name__
    lines = [env_id, env.split, *(f"{t}\t{border.digest(env.digest, t)}" for t in tasks)]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return Panel(env_id, env.split, tuple(tasks), digest)


def _ids(env: TextEnv) -> list[str]:
    try:
        return border.task_ids(env.tasks)
    except InputError:
        raise
    except faults() as error:
        raise InputError(
            f"{type(env).__name__} cannot name its tasks: {error_line(error)}"
        ) from error


def _order(task: str) -> bytes:
    return hashlib.blake2b(task.encode(), digest_size=8).digest()
