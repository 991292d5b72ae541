"""Which program a reply gives.

Nothing is compiled here: text that a model wrote is only searched, in time that grows with its
length.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from layergym.envs.fences import FencedPart, blocks

_SUBMIT = re.compile(r"\A\W*submit\b[^\n`]*", re.IGNORECASE)
_UNSEEN = "\N{ZERO WIDTH NO-BREAK SPACE}\N{ZERO WIDTH SPACE}\N{WORD JOINER}"
_PROMPT = re.compile(r"(?:>>>|\.\.\.)(?: |$)")
# Lines that begin a program, and lines at the margin that are part of one.
_BEGINS = re.compile(
    r"(?:async +)?def \w|class \w|@\w|from [\w.]+ import |import [\w.]+(?: as \w+)?(?:$|,)|"
    r"[A-Za-z_]\w* *(?::[^=\n]+)?=(?!=)"
)
_GOES_ON = re.compile(
    rf"{_BEGINS.pattern}|(?:if|elif|else|for|while|with|try|except|finally|print|assert)\b.*:?|"
    r"[#)\]}\s\"']|[A-Za-z_][\w.]*(?:\(|\[| *[-+*/|&%]=)"
)
_BOUND = re.compile(
    r"^(?:(?:async +)?def|class) +(\w+)|^(?:from [\w.]+ )?import ([^\n#]+)", re.MULTILINE
)


def read_program(action: str, entry: str) -> tuple[str, bool]:
    """The program in an action, empty if it has none, and whether it is submitted.

    It is the last fenced block that defines `entry`, with the blocks that define or import what it
    uses; else what defines it outside fences, without the prose around it; else the last fenced
    block, or one that is indented as the body of a function; else the whole text, unless it only
    says "submit". Lines lose trailing spaces.

    Args:
        action: a reply.
        entry: the name that the program must define.
    """
    submit = _SUBMIT.match(action)
    rest = action[submit.end() :] if submit else action
    parts = [inner for part in blocks(rest) for inner in _unwrapped(part)]
    fenced = [_cleaned(part.text, entry) for part in parts if part.fenced]
    outside = [_without_prose(_cleaned(part.text, entry)) for part in parts if not part.fenced]
    chosen = _defining(fenced, entry)
    if chosen is not None:
        return _with_helpers(fenced, chosen), bool(submit)
    chosen = _defining(outside, entry)
    if chosen is not None:
        whole = fenced and _ends_in_text(outside[chosen])  # a fence in a docstring
        text = _without_prose(_cleaned(rest, entry)) if whole else outside[chosen]
        return text, bool(submit)
    if fenced:
        bodies = [text for text in fenced if text[:1].isspace()]
        return (bodies or fenced)[-1], bool(submit)
    return ("" if submit else _stripped(rest).strip("`")), bool(submit)


def _unwrapped(part: FencedPart) -> list[FencedPart]:
    """A block, or the blocks in it where it holds nothing but blocks and what is between them."""
    inner = blocks(part.text) if part.fenced else []
    return inner if inner and inner[0].fenced else [part]


def _ends_in_text(program: str) -> bool:
    """Whether a program ends within a string of three quotes."""
    return any(program.count(quote) % 2 for quote in ('"""', "'''"))


def _stripped(text: str) -> str:
    text = text.lstrip(_UNSEEN)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def _cleaned(text: str, entry: str) -> str:
    """A block without what surrounds each line: prompts, quote marks, a list's indentation."""
    text = _stripped(text)
    lines = [line for line in text.split("\n") if line]
    marks = {line[0] for line in lines}  # > of a citation, + of a change
    if marks in ({">"}, {"+"}) and not _PROMPT.match(lines[0]):
        space = " " if marks == {">"} else ""
        return _cleaned("\n".join(x[1:].removeprefix(space) for x in text.split("\n")), entry)
    if lines and _PROMPT.match(lines[0].lstrip()):
        stripped = [line.lstrip() for line in lines]
        text = "\n".join(line[4:] for line in stripped if _PROMPT.match(line))
    level = textwrap.dedent(text)
    return level if _definition(entry, level) else text


def _definition(entry: str, text: str) -> int:
    """How `text` defines a name at its margin: 2 itself, 1 by an import, 0 not."""
    name = re.escape(entry)
    own = rf"^(?:(?:async +)?def|class) +{name}\b|^{name} *(?::[^=\n]+)?=(?!=)"
    if re.search(own, text, re.MULTILINE):
        return 2
    return int(bool(re.search(rf"^(?:from [\w.]+ )?import [^\n]*\b{name}\b", text, re.MULTILINE)))


def _defining(texts: Sequence[str], entry: str) -> int | None:
    """The last text that defines `entry`; one that only imports it comes behind those."""
    ways = [_definition(entry, text) for text in texts]
    best = max(ways, default=0)
    return len(ways) - 1 - ways[::-1].index(best) if best else None


def _with_helpers(texts: Sequence[str], chosen: int) -> str:
    """A block and, in the reply's order, the others that bind a name which it uses and lacks."""
    used = set(re.findall(r"[A-Za-z_]\w*", texts[chosen]))
    lacking = used - _bound(texts[chosen])
    taken = [text for index, text in enumerate(texts) if index == chosen or _bound(text) & lacking]
    return "\n\n".join(taken)


def _bound(text: str) -> set[str]:
    """The names that functions, classes and imports bind at the margin of a text."""
    bound: set[str] = set()
    for defined, imported in _BOUND.findall(text):
        names = [part.split()[-1].strip("()") for part in imported.split(",") if part.strip()]
        bound |= {defined} if defined else {name.partition(".")[0] for name in names}
    return bound


def _without_prose(text: str) -> str:
    """A text from the first line that begins a program to the last that goes on with it."""
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if _BEGINS.match(line)), None)
    if first is None:  # what is indented, as Markdown does without fences
        return _stripped(textwrap.dedent("\n".join(x for x in lines if not x or x[0] in " \t")))
    if first == 0 and _GOES_ON.match(lines[-1]):
        return text
    last = next(
        (i for i in range(first, len(lines)) if lines[i] and not _GOES_ON.match(lines[i])),
        len(lines),
    )
    return "\n".join(lines[first:last]).strip("\n")
