"""What installed packages announce in an entry-point group, whatever state they are in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

from layergym.base.errors import error_line, faults

NAMED = "function:"
"""Stands before the name of an announced function where the text of a template could stand."""
_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is announced and cannot be used."""

    id: str
    """Empty when a package's announcements cannot be read at all."""
    package: str
    why: str

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"{self.id or 'something'} of the package {self.package}: {self.why}"


@dataclass(frozen=True, slots=True)
class Announced:
    """Something that a package announces: an environment, or a study."""

    id: str
    place: str
    """Where it is, as `module:Class`."""
    package: str

    def trouble(self, why: str) -> Trouble:
        """The same as something that cannot be used."""
        return Trouble(self.id, self.package, why)


def announced(group: str) -> tuple[list[Announced], list[Trouble]]:
    """What is announced in `group`, and what is announced wrongly, by package and id.

    Of a package that is found twice, the first counts, as for imports.
    """
    parts: list[Announced] = []
    troubles: list[Trouble] = []
    seen: set[str] = set()
    for package, distribution in _packages(group):
        if package in seen:
            continue
        seen.add(package)
        try:
            points = [point for point in distribution.entry_points if point.group == group]
        except faults() as error:
            troubles.append(
                Trouble("", package, f"its entry points are malformed ({error_line(error)})")
            )
            continue
        for point in points:
            each = Announced(point.name, point.value.partition("[")[0].strip(), package)
            if _PLACE.fullmatch(each.place):
                parts.append(each)
            else:
                troubles.append(each.trouble(f'"{point.value}" is not a place like module:Class'))
    return sorted(parts, key=lambda e: (e.package, e.id)), troubles


def _packages(group: str) -> Iterator[tuple[str, Distribution]]:
    """Installed packages whose entry points name `group`; the others are not looked at closely."""
    for distribution in distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
            name = str(distribution.metadata["Name"] or "without a name")
        except faults():  # Unreadable metadata announce nothing.
            continue
        if f"[{group}]" in text.replace(" ", ""):
            yield name, distribution
