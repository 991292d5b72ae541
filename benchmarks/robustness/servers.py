"""Hostile servers: an evaluation goes on to its other agents, and a training run says one sentence.

Every behaviour of a chat server meets `layergym eval` with a second agent, whose episodes are all
to be scored, and then `layergym report` of the folder. Every behaviour of a vLLM server meets
`layergym train`. The key may be seen in no output and in no file.

    python benchmarks/robustness/servers.py                # all of them, some minutes
    python benchmarks/robustness/servers.py --only "slow"
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.robustness import hostile  # noqa: E402
from benchmarks.robustness.children import Case, Ended, Verdict, forked, refusal, told, warm  # noqa: E402
from benchmarks.robustness.hostile import KEY, Behaviour  # noqa: E402

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


def in_turn(
    meet: Callable[[str, Behaviour, Path], Case], all_of_them: dict[str, Behaviour], only: str
) -> list[Case]:
    """All cases whose names hold `only`, each in an empty folder."""
    cases = []
    for name, behaviour in all_of_them.items():
        folder = Path(tempfile.mkdtemp())
        if only in name:
            cases.append(meet(name, behaviour, folder))
        shutil.rmtree(folder)
    return cases


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="behaviours with this in their names")
    options = parser.parse_args()
    os.environ |= {"OPENAI_API_KEY": KEY, "VLLM_API_KEY": KEY}
    warm()
    from layergym.agents.servers import vllm_server

    vllm_server.TIMEOUT_S, vllm_server.RETRIES = 1.0, 1
    chats = in_turn(chat, hostile.openai(), options.only)
    engines = in_turn(engine, hostile.vllm(), options.only)
    bad = told("hostile chat servers", chats, ["fine"])
    return int(bad + told("hostile vLLM servers", engines, ["clear"]) > 0)


if __name__ == "__main__":
    sys.exit(main())
