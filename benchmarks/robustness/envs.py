"""Hostile environments of other packages: each costs its own episodes, and nothing else.

Every environment meets `envs check`, `eval` of agents that are well (and a report of what was
kept), `train` (whose weights are to be finite, or absent), `play`, and `train --dry-run`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.robustness import environments
from benchmarks.robustness.children import Ended, broken, forked, in_a_sentence, warm
from benchmarks.robustness.tables import Case, Table, Verdict, add_part, part

if TYPE_CHECKING:
    from layergym import TextEnv

LIMIT_S = 60.0
ID = "hostile/Odd-v0"
SMALL = ["--steps", "1", "--tasks", "1", "--group", "2", "--layers", "0", "--max-new-tokens", "4"]
LINES: dict[str, list[str]] = {
    "check": ["envs", "check", ID],
    "play": ["play", ID, "--agent", "random"],
    "dry-run": ["train", ID, *SMALL, "--admissible", "--dry-run"],
    "eval": ["eval", ID, "--agent", "tiny", "random", "expert", "--admissible", "--eval-tasks", "2",
             "--max-new-tokens", "4", "--out", "E"],
    "report": ["report", "E", *(f"--{name}" for name in ("html", "md", "txt"))],
    "trajectories": ["trajectories", "E", "--full"],
    "train": ["train", ID, *SMALL, "--admissible", "--out", "T"],
}  # fmt: skip
"""What is done with each environment, in this order, in one folder."""


def met(name: str, folder: Path, commands: Collection[str]) -> Iterator[Case]:
    """What each of the commands makes of the environment that is registered."""
    for what, line in LINES.items():
        if what not in commands:
            continue
        if what in ("report", "trajectories") and not (folder / "E/eval.json").is_file():
            continue
        ended = forked(line, folder, LIMIT_S)
        yield Case(f"{name}: {what}", _verdict(ended, folder), ended.err)


def _verdict(ended: Ended, folder: Path) -> Verdict:
    if failed := broken(ended):
        return failed
    if {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(ended.out + ended.err):
        return "leaked"
    if not finite(folder):
        return "lost"
    return "fine" if ended.code != 2 or in_a_sentence(ended) else "long"


def finite(folder: Path) -> bool:
    """Whether all weights that were kept are finite."""
    import torch
    from safetensors.torch import load_file

    kept = (load_file(path) for path in folder.rglob("delta.safetensors"))
    return all(bool(torch.isfinite(t).all()) for tensors in kept for t in tensors.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_part(parser)
    parser.add_argument("--only", default="", help="environments with this in their names")
    parser.add_argument("--commands", choices=LINES, nargs="+", default=LINES, help="these alone")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table: a case is an environment and a command that meets it."""
    warm()
    every = environments.hostile().items()
    chosen = part((one for one in every if options.only in one[0]), options)
    yield Table(
        f"{len(chosen)} hostile environments, by commands", _cases(chosen, options.commands)
    )


def _cases(
    chosen: Sequence[tuple[str, type[TextEnv]]], commands: Collection[str]
) -> Iterator[Case]:
    import gymnasium

    import layergym as lg

    with tempfile.TemporaryDirectory() as place:
        for number, (_, cls) in enumerate(chosen):
            lg.register(f"hostile/Odd{number}-v0", cls)
        ended = forked(["envs"], Path(place), 10 * LIMIT_S)
        yield Case("all of them: envs", _verdict(ended, Path(place)), ended.err)
    for name, cls in chosen:
        lg.register(ID, cls)
        with tempfile.TemporaryDirectory() as place:
            yield from met(name, Path(place), commands)
        del gymnasium.registry[ID]
