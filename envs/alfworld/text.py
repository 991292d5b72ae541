"""ALFWorld's words: the two dialects of its grammar, and how it lists things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layergym.base.errors import unknown

NOTHING_HAPPENS = "Nothing happens."
WELCOME = "-= Welcome to TextWorld, ALFRED! =-"

_HELP_LINES = (
    ("look:", "look around your current location"),
    ("inventory:", "check your current inventory"),
    ("go to (receptacle):", "move to a receptacle"),
    ("open (receptacle):", "open a receptacle"),
    ("close (receptacle):", "close a receptacle"),
    ("take (object) from (receptacle):", "take an object from a receptacle"),
    ("move (object) to (receptacle):", "place an object in or on a receptacle"),
    ("examine (something):", "examine a receptacle or an object"),
    ("use (object):", "use an object"),
    ("heat (object) with (receptacle):", "heat an object using a receptacle"),
    ("clean (object) with (receptacle):", "clean an object using a receptacle"),
    ("cool (object) with (receptacle):", "cool an object using a receptacle"),
    ("slice (object) with (object):", "slice an object using a sharp object"),
)


def _help_text() -> str:
    lines = []
    for command, meaning in _HELP_LINES:
        # The original leaves two spaces here, whatever the column.
        gap = "  " if command.startswith("move") else " " * (34 - len(command))
        lines.append(f"  {command}{gap}{meaning}\n")
    return "Available commands:\n" + "".join(lines)


HELP = _help_text()


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the texts of ALFWorld 0.3.x and 0.4.x (changed in December 2024)."""

    version: str
    put_command: str
    put_text: str
    always: tuple[str, ...]
    """Commands that are always understood."""
    names_receptacle: bool
    """Whether "You arrive at" names the receptacle, or else the location ("loc 22")."""
    sinks: frozenset[str]
    """Receptacle types in which objects can be cleaned."""


DIALECTS = {
    "0.3": Dialect(
        version="0.3",
        put_command="put {} in/on {}",
        put_text="You put the {} in/on the {}.",
        always=("inventory", "look"),
        names_receptacle=False,
        sinks=frozenset({"sinkbasintype", "sinktype"}),
    ),
    "0.4": Dialect(
        version="0.4",
        put_command="move {} to {}",
        put_text="You move the {} to the {}.",
        always=("help", "inventory", "look"),
        names_receptacle=True,
        sinks=frozenset({"sinkbasintype"}),
    ),
}


def dialect(version: str) -> Dialect:
    """The dialect of ALFWorld `version`, "0.3" or "0.4"."""
    try:
        return DIALECTS[version]
    except KeyError:
        raise unknown("ALFWorld version", version, DIALECTS) from None


def listing(items: Sequence[str]) -> str:
    """Join as ALFWorld does: `a`, `a, and b`, `a, b, and c`; `nothing` when there is none."""
    if not items:
        return "nothing"
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])}, and {items[-1]}"


def instructions(words: Dialect) -> str:
    """What a player should know before the first observation."""
    return (
        "You are in a household and have a task to do. Each turn, answer with one command; the "
        "game says what it did.\n"
        "Things are named by type and number, such as mug 2 or cabinet 5. Commands:\n"
        "- go to <receptacle>\n"
        "- open <receptacle>, close <receptacle>\n"
        "- take <object> from <receptacle> (you can hold one object)\n"
        f"- {words.put_command.format('<object>', '<receptacle>')}\n"
        "- clean <object> with <sinkbasin>, heat <object> with <microwave>, "
        "cool <object> with <fridge> (while you hold it)\n"
        "- use <lamp>\n"
        "- slice <object> with <knife>\n"
        "- examine <object or receptacle>\n"
        f"- {', '.join(words.always)}\n"
        'A command that is not possible now gets the answer "Nothing happens."'
    )
