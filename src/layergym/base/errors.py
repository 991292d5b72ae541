"""The one error a person can mend, what a person should know, and sentences that help."""

import difflib
import errno
import sys
from collections.abc import Iterable

from layergym.base.texts import one_line, short


def faults() -> tuple[type[BaseException], ...]:
    """What code that is not ours may raise, and be reported for; an interrupt by a person is not.

    For `except faults()`, which asks while an error is being handled: all that is raised belongs to
    it (exits, `GeneratorExit`, asyncio's `CancelledError`, kinds of its own), but for
    `KeyboardInterrupt`. No generator of ours may yield where it stands.
    """
    raised = sys.exc_info()[1]
    return () if raised is None or isinstance(raised, KeyboardInterrupt) else (BaseException,)


class InputError(ValueError):
    """What was asked for cannot be done as asked; the message says why and what to do.

    The command line prints the message alone and exits with code 2.
    """


class ContractError(RuntimeError):
    """An environment gave what no environment may give: a reward that is not a number, say.

    It ends its own episode as an error; the author of the environment can mend it.
    """


class Diverged(InputError, FloatingPointError):
    """A loss, gradient, weight or logit is NaN or infinite; nothing was made of it."""


class Notice(UserWarning):
    """Something that may not be meant, though it can be done; the command line prints it."""


def error_line(error: BaseException, most: int = 500) -> str:
    """An error as one line of text, its message cut to `most` characters, whatever it holds."""
    try:
        text = one_line(str(error))
    except Exception:  # Its own __str__ is not ours either.
        text = "(without a message)"
    return f"{type(error).__name__}: {short(text, most)}"


_BRIEF = 120
_REFUSALS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this account may write",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "too many files are open (see: ulimit -n)",
}


def refused(error: BaseException) -> str | None:
    """What the machine refused, in a sentence, where that is why `error` was raised; else None.

    Libraries wrap the refusal, or name it in their own error's text only.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and (seen is error or seen.errno in _REFUSALS):
            why = _REFUSALS.get(seen.errno or 0) or (seen.strerror or str(seen)).lower()
            return f"{seen.filename}: {why}" if seen.filename else why
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return "the name of a file holds a null character"
    for number, why in _REFUSALS.items():
        if f"(os error {number})" in str(error) or f"code: {number}," in str(error):
            return why
    return "memory is used up" if isinstance(error, MemoryError) else None


def briefly(error: BaseException) -> str:
    """An error in a few words: some messages hold all of the file that was read."""
    return error_line(error, _BRIEF)


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not among `known`, with the nearest ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    asked = short(name)
    if close:
        return InputError(f'no {what} "{asked}"; did you mean "{close[0]}"?')
    few = [n for index, n in enumerate(names) if sum(map(len, names[: index + 1])) <= 200][:12]
    shown = ", ".join(few) + (", ..." if len(names) > len(few) else "")
    return InputError(f'no {what} "{asked}"; there is {shown or "none"}')
