"""What an agent is told: the text of its messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from layergym.agents.contexts import Context, Exchange, View, Whole
from layergym.agents.formats import ReplyFormat, open_format
from layergym.agents.plugins import Plugins
from layergym.base.errors import InputError, error_line, faults
from layergym.base.texts import whole_texts

Turns = list[dict[str, str]]
_JINJA = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
)
KNOWN = (
    "admissible",
    "examples",
    "format",
    "history",
    "instructions",
    "left_out",
    "note",
    "observation",
    "task",
    "tools",
    "turn",
)
"""What a template can speak about."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a prompt can speak about at one turn."""

    instructions: str
    """The environment's own."""
    task: str
    """The first observation of the episode, which holds the task."""
    observation: str
    turn: int = 0
    """Turns that are over."""
    admissible: tuple[str, ...] | None = None
    """The actions that would be understood now, if the style lists them."""
    view: View = field(default_factory=View)

    @property
    def left_out(self) -> int:
        """Earlier turns that are not shown."""
        return self.turn - len(self.view.exchanges)

    @property
    def note(self) -> str:
        """What stands in place of the turns that are left out; "" where none are."""
        if not self.left_out:
            return ""
        return self.view.note or f"[Turns 1 to {self.left_out} are left out.]"


PromptFunction = Callable[[Scene], str]
"""Writes the whole prompt of a turn: one message, in which the past stands as it likes."""
PROMPTS: Plugins[PromptFunction] = Plugins("prompt", "layergym.prompts", {})
"""Prompts of other packages, by name, as in --prompt function:NAME."""


@dataclass(frozen=True)
class PromptStyle:
    """How a policy is addressed; a model keeps the style it was trained with.

    For prompts of your own give a `template` or a `function`.
    """

    format: str = "think"
    """The form of a reply, by name (`agents.formats`): `act` and `think` for chat models; `plain`,
    where the whole reply is the action; `tool`; `regex:PATTERN`; or another package's."""
    instructions: bool = True
    """Begin with the environment's instructions."""
    admissible: bool = False
    """List the admissible actions after each observation."""
    context: Context = field(default_factory=Whole)
    """What of the past a prompt shows."""
    template: str = ""
    """The text of a Jinja template that writes the user's message of a turn, from the names in
    `KNOWN`. What it sets as `system` is the system message. If it speaks of `history` (a list of
    `Exchange`), it holds the earlier turns itself, and a prompt is its message alone; else earlier
    turns are messages of their own, each as it was asked."""
    function: PromptFunction | None = None
    """Writes prompts in place of a template."""
    examples: tuple[tuple[Exchange, ...], ...] = ()
    """Episodes shown as examples (`agents.shots`)."""
    reminder: str = ""
    """Ends every message; by default what the form of a reply says there."""

    @property
    def reply(self) -> ReplyFormat:
        """The form of a reply."""
        return open_format(self.format)

    @property
    def holds_history(self) -> bool:
        """Whether `user` holds the earlier turns itself."""
        return self.function is not None or "history" in names_in(self.template)

    @property
    def holds_task(self) -> bool:
        """Whether `user` repeats the task at every turn."""
        return "task" in names_in(self.template)

    @property
    def lists_actions(self) -> bool:
        """Whether a prompt may show the admissible actions."""
        return self.admissible or bool(self.template or self.function)

    def system(self, scene: Scene) -> str:
        """The opening of an episode: the environment's instructions and the form of a reply."""
        if self.function:
            return ""
        if self.template:
            return str(getattr(self._written(scene), "system", "")).strip()
        parts = [scene.instructions.strip() if self.instructions else "", self.reply.request]
        parts += [f"Example {n}:\n\n{_as_text(e)}" for n, e in enumerate(self.examples, start=1)]
        return "\n\n".join(part for part in parts if part)

    def user(self, scene: Scene) -> str:
        """One turn: the observation, the admissible actions if asked for, and the reminder."""
        if self.function:
            return _called(self.function, scene)
        if self.template:
            return str(self._written(scene)).strip()
        parts = [scene.observation]
        if self.admissible and scene.admissible is not None:
            parts.append(f"Admissible actions: {', '.join(scene.admissible)}.")
        reminder = self.reminder or self._example_of_form(scene)
        return "\n".join(parts) + (f"\n\n{reminder}" if reminder else "")

    def _example_of_form(self, scene: Scene) -> str:
        """The form's reminder with an example: a listed action, another at every turn."""
        if not self.reply.reminder:
            return ""
        listed = scene.admissible if self.admissible else None
        action = listed[scene.turn % len(listed)] if listed else "..."
        return f"{self.reply.reminder}\n{self.reply.write(action)}"

    def _written(self, scene: Scene) -> Any:
        values = {
            "admissible": scene.admissible or (),
            "examples": self.examples,
            "format": self.reply.request,
            "history": scene.view.exchanges,
            "instructions": scene.instructions,
            "left_out": scene.left_out,
            "note": scene.note,
            "observation": scene.observation,
            "task": scene.task,
            "tools": self.reply.tools,
            "turn": scene.turn,
        }
        try:
            return compiled(self.template).make_module(values)
        except faults() as error:
            raise InputError(
                f"the prompt's template fails: {error_line(error)}; mend it"
            ) from error


def _called(function: PromptFunction, scene: Scene) -> str:
    try:
        return whole_texts(function(scene))
    except faults() as error:
        raise InputError(f"the prompt's function fails: {error_line(error)}; mend it") from error


def turns_of(style: PromptStyle, scene: Scene, user: str) -> Turns:
    """The messages of a prompt without the system's: the past that is shown, then `user`.

    Where turns are left out, the first message begins with the task and a note that says so.
    """
    if style.holds_history:
        return [{"role": "user", "content": user}]
    asked = [*(exchange.asked for exchange in scene.view.exchanges), user]
    if scene.left_out:
        opening = [scene.note] if style.holds_task else [scene.task, scene.note]
        asked[0] = "\n\n".join([*opening, asked[0]])
    turns: Turns = []
    for text, exchange in zip(asked, scene.view.exchanges, strict=False):
        turns.append({"role": "user", "content": text})
        turns.append({"role": "assistant", "content": exchange.reply})
    return [*turns, {"role": "user", "content": asked[-1]}]


@lru_cache(maxsize=64)
def compiled(template: str) -> Template:
    """A template, ready to be filled in; what is filled in is text, never template.

    Raises:
        InputError: it is not a template, or speaks of what there is not.
    """
    names_in(template)
    return _JINJA.from_string(template)


@lru_cache(maxsize=64)
def names_in(template: str) -> frozenset[str]:
    """What a template speaks about.

    Raises:
        InputError: it is not a template, or speaks of what there is not.
    """
    try:
        names = find_undeclared_variables(_JINJA.parse(template)) - _JINJA.globals.keys()
    except (TemplateError, RecursionError) as error:
        raise InputError(
            f"the prompt is not a Jinja template: {error_line(error)}; mend it"
        ) from None
    if other := sorted(names - set(KNOWN)):
        raise InputError(
            f'the prompt speaks of "{other[0]}", which is not there; there is {", ".join(KNOWN)}'
        )
    return frozenset(names)


def _as_text(example: Sequence[Exchange]) -> str:
    return "\n".join(f"{exchange.observation}\n> {exchange.reply}" for exchange in example)
