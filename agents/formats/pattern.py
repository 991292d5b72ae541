"""What a regular expression finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import regex  # type: ignore[import-untyped]

from layergym.agents.formats.base import Parsed
from layergym.base.errors import InputError, briefly
from layergym.base.texts import short

LIMIT_S = 5.0
"""A search that takes longer ends the run: no result depends on the clock."""


@dataclass(frozen=True, slots=True)
class Pattern:
    r"""`regex:PATTERN`: the first group of the only match, as in `regex:Action: (.+)`.

    The dot matches no line end unless the pattern says `(?s)`. Of several matches the last counts,
    and the reply did not keep to the form.
    """

    argument: str
    reminder: ClassVar[str] = ""
    tools: ClassVar[tuple[Any, ...]] = ()
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the expression.

        Raises:
            InputError: it is none, or has not exactly one group.
        """
        try:
            compiled = regex.compile(self.argument)
        except (regex.error, RecursionError, OverflowError) as error:
            text = short(self.argument)
            raise InputError(f'"{text}" is not a regular expression: {briefly(error)}') from None
        if compiled.groups != 1:
            raise InputError(
                f'"{short(self.argument)}" must have one group, (...), for the action; it has '
                f"{compiled.groups}"
            )
        object.__setattr__(self, "_compiled", compiled)

    @property
    def request(self) -> str:
        """The expression, for a model that is not told better by a prompt of one's own."""
        return (
            "Every reply must contain exactly one match of this regular expression, whose group "
            f"is the action: {self.argument}"
        )

    def parse(self, text: str) -> Parsed:
        """The last match's group; where nothing matches, the whole text.

        Raises:
            InputError: the search takes too long.
        """
        try:
            actions = [m[1].strip() for m in self._compiled.finditer(text, timeout=LIMIT_S) if m[1]]
        except TimeoutError:
            raise InputError(
                f'the regular expression "{self.argument}" takes longer than {LIMIT_S:g} s on a '
                f"reply of {len(text):,} characters; write one that backtracks less"
            ) from None
        actions = [action for action in actions if action]
        return Parsed(actions[-1] if actions else text.strip(), len(actions) == 1)

    def write(self, action: str, thought: str = "") -> str:
        """The expression with the action in place of its group, where that reads as the action.

        Raises:
            InputError: the expression is not that simple.
        """
        start, end = self.argument.find("("), self.argument.rfind(")")
        text = f"{self.argument[:start]}{action}{self.argument[end + 1 :]}"
        if self.parse(text) == Parsed(action, True):
            return text
        raise InputError(
            f'no example can be written for the format "regex:{self.argument}"; leave out --shots, '
            "or take another format"
        )
