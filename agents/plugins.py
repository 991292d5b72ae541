"""Small parts that other packages can add: found by name, opened from a text such as `last:2`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from layergym.base.announced import Trouble, announced
from layergym.base.errors import InputError, error_line, faults, unknown
from layergym.base.texts import short

T = TypeVar("T")
Maker = Callable[[str], T]
"""Makes a part from what stands behind the colon, "" where there is none; raises `InputError` where
it cannot be read."""


def alone(make: Callable[[], T]) -> Maker[T]:
    """The maker of a part that takes no argument."""

    def made(argument: str) -> T:
        if argument:
            raise InputError(f'it takes nothing, so leave out ":{argument}"')
        return make()

    return made


class Plugins(Generic[T]):
    """One kind of part: ours, those that installed packages announce, those of this process."""

    def __init__(self, kind: str, group: str, ours: Mapping[str, Maker[T]]) -> None:
        """Begin with `ours`; others are announced in the entry-point group `group`.

        An entry point is named as the part and has the value `module:callable`. Nobody takes the
        place of one of ours, and a name that two packages announce is neither's.
        """
        self.kind = kind
        self.group = group
        self._makers = dict(ours)
        self._places: dict[str, str] | None = None
        self._troubles: list[Trouble] = []

    def register(self, name: str, maker: Maker[T]) -> None:
        """Add a part in this process.

        Raises:
            InputError: the name is taken.
        """
        if name in self.names():
            raise InputError(f'the {self.kind} "{name}" is there already; choose another name')
        self._makers[name] = maker

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._makers, *self._others()})

    def troubles(self) -> tuple[Trouble, ...]:
        """What is announced and cannot be used, and why."""
        self._others()
        return tuple(self._troubles)

    def open(self, text: str) -> T:
        """The part that `text` names, as NAME or NAME:ARGUMENT.

        Raises:
            InputError: there is none, its argument is wrong, or its package's own code fails.
        """
        name, colon, argument = text.partition(":")
        maker = self._makers.get(name)
        if maker is None and name in self._others():
            maker = self._makers[name] = self._load(name)
        if maker is None:
            for trouble in self.troubles():
                if trouble.id == name:
                    raise InputError(str(trouble))
            raise unknown(self.kind, text, self.names())
        try:
            if colon and not argument:
                raise InputError(
                    "nothing stands behind the colon; write a value there, or leave the colon out"
                )
            return maker(argument)
        except InputError as error:
            raise InputError(f'the {self.kind} "{short(text)}" cannot be made: {error}') from None
        except faults() as error:
            why = error_line(error)
            raise InputError(f'the {self.kind} "{short(text)}" cannot be made: {why}') from error

    def _others(self) -> Mapping[str, str]:
        if self._places is None:
            plugins, self._troubles = announced(self.group)
            packages = Counter(each.id for each in plugins)
            self._places = {}
            for each in plugins:
                if each.id in self._makers:
                    self._troubles.append(each.trouble("the name belongs to layergym"))
                elif packages[each.id] > 1:
                    self._troubles.append(each.trouble("another package announces the same name"))
                else:
                    self._places[each.id] = each.place
        return self._places

    def _load(self, name: str) -> Maker[T]:
        module, _, attribute = self._others()[name].partition(":")
        try:
            return cast(Maker[T], getattr(import_module(module), attribute))
        except faults() as error:
            raise InputError(
                f'the {self.kind} "{name}" of {module} cannot be imported: {error_line(error)}; '
                "mend or uninstall its package"
            ) from error
