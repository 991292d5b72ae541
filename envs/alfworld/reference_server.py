"""alfworld's own engine behind a pipe: `python -m layergym.envs.alfworld.reference_server`.

Reads one JSON request a line and writes one JSON reply a line: a game to begin, a `command`,
`again` for a reset, `usage`, or `remember` (see `remember_pure_results`). It has a process of its
own because alfworld's planner replaces `sys.argv` and `sys.stdout` and draws on global randomness.
"""

from __future__ import annotations

import functools
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from layergym.envs.alfworld.dialect_files import domain_and_grammar


def main() -> None:
    """Serve until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # The planner's library prints, too; nothing of that may get between the replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    env = _make_env()
    for line in sys.stdin:
        try:
            reply = _answer(env, json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _make_env() -> Any:
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs.pddl import PddlEnv

    infos = textworld.EnvInfos(won=True, admissible_commands=True)
    return AlfredDemangler(PddlEnv(infos))


def _answer(env: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    if "remember" in request:
        remember_pure_results()
        return {}
    if "usage" in request:
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"cpu_s": time.process_time(), "peak_mb": peak_kb / 1024}
    if "again" in request:
        return _report(env.reset(), 0, False)
    if "command" in request:
        state, reward, done = env.step(request["command"])
        return _report(state, reward, done)
    domain, grammar = domain_and_grammar(request["version"], request["sentence"])
    env.shuffle = request["shuffle_seed"] is not None
    random.seed(request["shuffle_seed"])
    env.load({"pddl_domain": domain, "grammar": grammar, "pddl_problem": request["problem"]})
    return _report(env.reset(), 0, False)


def _report(state: Any, reward: float, done: bool) -> dict[str, Any]:
    return {
        "text": state.feedback,
        "admissible": state["admissible_commands"],
        "won": bool(state["won"]),
        "reward": float(reward),
        "done": bool(done),
    }


def remember_pure_results() -> None:
    """Make alfworld's engine about ten times faster without changing what it computes.

    It parses the same few grammar rules and queries again at every step, translates the same
    problem four times per game, and copies contexts deeply that it only reads. Here each text is
    parsed once, each problem is translated once (the optimised translation serves a planner that
    is never asked), and contexts are copied one level deep.
    """
    import fast_downward  # type: ignore[import-untyped]
    from textworld.envs.pddl import textgen
    from textworld.logic import Rule

    parse = functools.cache(textgen._parse_and_convert)
    textgen._parse_and_convert = lambda *args, **kwargs: deepcopy(parse(*args, **kwargs))
    Rule.parse_conjunctive_query = functools.cache(Rule.parse_conjunctive_query)
    textgen.copy_context = _copy_context
    fast_downward.pddl2sas = _translate_once(fast_downward.pddl2sas)


def _copy_context(context: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: dict(context[key]) for key in ("variables", "mapping")}
    return {**context, **own}


def _translate_once(translate: Callable[..., Any]) -> Callable[..., Any]:
    @functools.lru_cache(maxsize=1)
    def once(domain: str, problem: str) -> Any:
        return translate(domain, problem)

    def translated(domain: str, problem: str, **_: Any) -> Any:
        return once(domain, problem)

    return translated


if __name__ == "__main__":
    main()
