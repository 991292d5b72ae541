"""Hostile servers: an evaluation goes on to its other agents, and a training run says one sentence.

Every behaviour of a chat server meets `layergym eval` with a second agent, whose episodes are all
to be scored, and then `layergym report` of the folder. Every behaviour of a vLLM server meets
`layergym train`. The key may be seen in no output and in no file.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from benchmarks.robustness import hostile
from benchmarks.robustness.children import Ended, forked, refusal, warm
from benchmarks.robustness.hostile import KEY, Behaviour
from benchmarks.robustness.tables import Case, Table, Verdict, add_part, part

LIMIT_S = 90.0


def chat(name: str, behaviour: Behaviour, folder: Path) -> Case:
    """An evaluation of a hostile server beside an agent that is well."""
    out = folder / "eval"
    with hostile.serving(behaviour) as url:
        line = [
            "eval",
            "alfworld-v0",
            "--agent",
            f"openai:m@{url}/v1",
            "random",
            "--eval-tasks",
            "2",
        ]
        line += ["--env-arg", "max_turns=2", "--timeout", "1", "--retries", "1", "--out", str(out)]
        played = forked(line, folder, LIMIT_S)
    shown = forked(["report", str(out)], folder, LIMIT_S)
    scored = list(out.glob("agents/random/seed-0/evals/*.json"))
    verdict = _chat_verdict(played, shown, bool(scored), leaked(folder, played, shown))
    return Case(f"openai: {name}", verdict, played.err + shown.err)


def _chat_verdict(played: Ended, shown: Ended, scored: bool, leak: bool) -> Verdict:
    if leak:
        return "leaked"
    if None in (played.code, shown.code):
        return "hang"
    if played.traceback or shown.traceback:
        return "traceback"
    if not scored or shown.code != 0:
        return "lost"
    return "fine"


def engine(name: str, behaviour: Behaviour, folder: Path) -> Case:
    """A training run whose episodes a hostile vLLM server samples."""
    with hostile.serving(behaviour) as url:
        line = ["train", "alfworld-v0", "--sampler", f"vllm@{url}", "--steps", "1", "--tasks", "1"]
        line += ["--group", "2", "--layers", "0", "--out", "run", "--quiet"]
        ended = forked(line, folder, LIMIT_S)
    verdict = "leaked" if leaked(folder, ended) else refusal(ended, wrote=False)
    return Case(f"vllm: {name}", verdict, ended.err)


def leaked(folder: Path, *ended: Ended) -> bool:
    """Whether the key, or most of it, is in what was printed or written."""
    told_all = "".join(one.out + one.err for one in ended)
    kept = (path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file())
    return any(KEY[: len(KEY) // 2] in text for text in (told_all, *kept))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_part(parser)
    parser.add_argument("--only", default="", help="behaviours with this in their names")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table for each kind of server."""
    warm()
    from layergym.agents.servers import vllm_server

    keys = {"OPENAI_API_KEY": KEY, "VLLM_API_KEY": KEY}
    quick = mock.patch.multiple(vllm_server, TIMEOUT_S=1.0, RETRIES=1)
    with mock.patch.dict(os.environ, keys), quick:
        for kind, meet in (("chat", chat), ("vLLM", engine)):
            every = hostile.openai() if kind == "chat" else hostile.vllm()
            chosen = part((one for one in every.items() if options.only in one[0]), options)
            yield Table(f"hostile {kind} servers", (_apart(meet, *one) for one in chosen))


def _apart(meet: Callable[[str, Behaviour, Path], Case], name: str, behaviour: Behaviour) -> Case:
    with tempfile.TemporaryDirectory() as folder:
        return meet(name, behaviour, Path(folder))
