"""From the settings of a run or an evaluation to the style in which its model is addressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from layergym.agents.contexts import CONTEXTS
from layergym.agents.formats import open_format
from layergym.agents.prompts import PROMPTS, PromptFunction, PromptStyle, names_in
from layergym.agents.shots import shots
from layergym.base.announced import NAMED
from layergym.base.errors import InputError
from layergym.envs import TextEnv

MOST_SHOTS = 100
WHOLE = "plain"
"""The form of a reply that is passed on as it is."""


class Addressed(Protocol):
    """The settings that decide how a model is addressed; `RunSpec` and `ContestSpec` have them."""

    @property
    def format(self) -> str | None:
        """The form of a reply, by name; None: what suits the model."""

    @property
    def admissible(self) -> bool | None:
        """List the admissible actions in every prompt; None: for chat models."""

    @property
    def context(self) -> str:
        """The context policy, by name."""

    @property
    def prompt(self) -> str:
        """The text of a template, or function:NAME; "" for the usual prompt."""

    @property
    def shots(self) -> int:
        """Examples of the environment's expert."""


def check_style(settings: Addressed) -> None:
    """Refuse settings that no style can be made of.

    Raises:
        InputError: a format, context or template cannot be read, or there are too many examples.
    """
    for text in (settings.format or "", settings.context, settings.prompt):
        if not isinstance(text, str):
            raise InputError(f"format, context and prompt must be texts, not {str(text)[:40]}")
    if settings.format is not None:
        open_format(settings.format)
    CONTEXTS.open(settings.context)
    _prompt(settings.prompt)
    if type(settings.shots) is not int or not 0 <= settings.shots <= MOST_SHOTS:
        raise InputError(f"shots are 0 to {MOST_SHOTS} examples, not {str(settings.shots)[:40]}")


def style_of(
    settings: Addressed,
    usual: str,
    make_env: Callable[[], TextEnv] | None = None,
    examples: Callable[[], TextEnv] | None = None,
) -> PromptStyle:
    """The style that the settings describe.

    Where nothing else is asked for, a chat model gets the admissible actions at every turn. One
    that plays an environment which reads whole replies is asked for nothing else, and each message
    reminds it of what a reply must hold (`TextEnv.reply_form`).

    Args:
        settings: the settings.
        usual: the format that suits the model.
        make_env: makes an environment like those that are played.
        examples: makes one of the split that examples are taken from; by default `make_env`.

    Raises:
        InputError: as `check_style`, or examples are wanted and there is no expert.
    """
    check_style(settings)
    template, function = _prompt(settings.prompt)
    form = _reply_form(make_env) if usual != WHOLE and settings.format in (None, WHOLE) else ""
    format = settings.format or (WHOLE if form else usual)
    return PromptStyle(
        format,
        admissible=usual != WHOLE if settings.admissible is None else settings.admissible,
        context=CONTEXTS.open(settings.context),
        template=template,
        function=function,
        examples=shots(examples or make_env or _nowhere, settings.shots, open_format(format)),
        reminder=form,
    )


def _prompt(text: str) -> tuple[str, PromptFunction | None]:
    """A template, or the function that `text` names."""
    if text.startswith(NAMED):
        return "", PROMPTS.open(text.removeprefix(NAMED))
    names_in(text)
    return text, None


def _reply_form(make_env: Callable[[], TextEnv] | None) -> str:
    """What an environment says of whole replies."""
    if make_env is None:
        return ""
    env = make_env()
    env.close()
    return env.reply_form


def _nowhere() -> TextEnv:
    raise InputError("examples need an environment to be taken from; leave out shots")
