"""The one error a person can mend, what a person should know, and sentences that help."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What was asked for cannot be done as asked; the message says why and what to do.

    The command line prints the message alone and exits with code 2.
    """


class Notice(UserWarning):
    """Something that may not be meant, though it can be done; the command line prints it."""


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not among `known`, with the nearest ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return InputError(f'no {what} "{name}"; did you mean "{close[0]}"?')
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return InputError(f'no {what} "{name}"; there is {shown or "none"}')
