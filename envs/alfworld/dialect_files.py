"""The PDDL domain and the grammar of both dialects, made from the alfworld package's files."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

# What alfworld's patch of December 2024 turned into what, the other way round.
_GRAMMAR_03 = (
    ("You arrive at {r.name}.", "You arrive at {lend.name}."),
    ("move {o} to {r}", "put {o} in/on {r}"),
    ("You move the {o.name} to the {r.name}.", "You put the {o.name} in/on the {r.name}."),
)
_DOMAIN_03 = ((";(receptacleType ?r SinkType)", "(receptacleType ?r SinkType)"),)


def domain_and_grammar(version: str, sentence: str) -> tuple[str, str]:
    """Texts of the PDDL domain and of the grammar that says `sentence` as the task."""
    domain, grammar = _files(version)
    return domain, _replace(grammar, "UNKNOWN GOAL.", sentence)


@cache
def _files(version: str) -> tuple[str, str]:
    data = resources.files("alfworld").joinpath("data")
    domain = data.joinpath("alfred.pddl").read_text("utf-8")
    grammar = data.joinpath("alfred.twl2").read_text("utf-8")
    if version == "0.3":
        for new, old in _GRAMMAR_03:
            grammar = _replace(grammar, new, old)
        for new, old in _DOMAIN_03:
            domain = _replace(domain, new, old)
        grammar = _cut(grammar, r"action help \{.*?\n\}\n?")
        domain = _cut(domain, r"\(:action help\b.*?\n\)\n")
    return domain, grammar


def _replace(text: str, old: str, new: str) -> str:
    if old not in text:
        raise RuntimeError(f'this version of alfworld has no "{old}" in its files')
    return text.replace(old, new)


def _cut(text: str, pattern: str) -> str:
    cut, number = re.subn(pattern, "", text, flags=re.DOTALL)
    if number != 1:
        raise RuntimeError("this version of alfworld has another help action in its files")
    return cut
