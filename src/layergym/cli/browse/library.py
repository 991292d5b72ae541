"""What the page asks for, by address. Nothing of an address is ever a path of a file.

api/runs                        all folders, a line each
api/run/3                       folder number 3 in detail
api/curves/3?measure=success    a measure by step, of all its runs
api/contributions/3             what its layers contribute
api/episodes/3                  its episodes, a line each
api/episode/3/0.17              one of them, with the group it was compared in
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.cli.browse.details import contributions_of, curves, in_detail, measures_of
from layergym.cli.browse.episodes import Episodes
from layergym.cli.browse.folders import changed, find_folders, in_one_line

GROUPS = 40
"""Groups of episodes of one folder that a page in one file holds."""


class Library:
    """Folders by number. A number stays that of its folder as others appear."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Look through `roots`.

        Raises:
            InputError: one is no folder, or nothing that can be browsed is in any of them.
        """
        self._roots = list(roots)
        self._folders = find_folders(roots)
        if not self._folders:
            named = ", ".join(map(str, roots))
            raise InputError(f"{named} holds no run, sweep or evaluation; give another folder")
        self._episodes: dict[int, Episodes] = {}
        self._shares: dict[int, tuple[float, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many folders there are."""
        return len(self._folders)

    def answer(self, address: str, measure: str = "") -> Any:
        """What is at an address, as plain values.

        Raises:
            KeyError: there is nothing at this address.
            InputError: what is there cannot be read.
        """
        with self._lock:
            what, *rest = address.split("/")
            if what == "runs" and not rest:
                return {"runs": self._runs()}
            number = _number(rest[0] if rest else "", len(self._folders))
            if what == "episode" and len(rest) == 2:
                return self._of(number).group(rest[1])
            if len(rest) != 1:
                raise KeyError(address)
            answers: dict[str, Callable[[], Any]] = {
                "run": lambda: in_detail(self._folders[number]),
                "curves": lambda: curves(self._folders[number], measure),
                "contributions": lambda: self._contributions(number),
                "episodes": lambda: self._of(number).listed(),
            }
            return answers[what]()

    def everything(self) -> dict[str, Any]:
        """All answers by address, for a page in one file; of the episodes, some of the groups."""
        found = {"api/runs": self.answer("runs")}
        for number, folder in enumerate(self._folders):
            for what in ("run", "contributions"):
                found[f"api/{what}/{number}"] = self._answer_or_problem(f"{what}/{number}")
            for measure in measures_of(folder):
                at = f"api/curves/{number}?measure={measure}"
                found[at] = self.answer(f"curves/{number}", measure)
            found |= self._some_episodes(number)
        return found

    def _some_episodes(self, number: int) -> dict[str, Any]:
        """The last groups of a folder; each is whole once, its other members refer to the first."""
        listed = self.answer(f"episodes/{number}")
        found: dict[str, Any] = {}
        groups = 0
        for line in reversed(listed["episodes"]):
            if groups < GROUPS and line["id"] not in found:
                group, groups = self.answer(f"episode/{number}/{line['id']}"), groups + 1
                first, *others = group["ids"]
                found[first] = group | {"chosen": 0}
                found |= {m: {"same": first, "chosen": n} for n, m in enumerate(others, start=1)}
        kept = [line for line in listed["episodes"] if line["id"] in found]
        left = listed["left_out"] + len(listed["episodes"]) - len(kept)
        return {f"api/episodes/{number}": {"episodes": kept, "left_out": left}} | {
            f"api/episode/{number}/{name}": group for name, group in found.items()
        }

    def _answer_or_problem(self, address: str) -> Any:
        try:
            return self.answer(address)
        except InputError as error:
            return {"problem": str(error)}

    def _runs(self) -> list[dict[str, Any]]:
        known = set(self._folders)
        self._folders += [path for path in find_folders(self._roots) if path not in known]
        lines = enumerate(map(in_one_line, self._folders))
        return [{"id": number, **line} for number, line in lines]

    def _of(self, number: int) -> Episodes:
        if number not in self._episodes:
            self._episodes[number] = Episodes(self._folders[number])
            self._episodes[number].listed()
        return self._episodes[number]

    def _contributions(self, number: int) -> dict[str, Any]:
        """Drawn again only when something in the folder has changed."""
        folder = self._folders[number]
        at, found = self._shares.get(number, (-1.0, {}))
        if at != (now := changed(folder)):
            found = contributions_of(folder)
            self._shares[number] = now, found
        return found


def _number(text: str, count: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) < count):
        raise KeyError(text)
    return int(text)
