"""Plans by someone who sees everything: the way to the goal from any state of a game."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, product

from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.goal import Atom, Clause
from layergym.envs.alfworld.state import holds
from layergym.envs.alfworld.text import NOTHING_HAPPENS

_MARKS = {"isclean": "clean", "ishot": "heat", "iscool": "cool"}
_MOST_WAYS = 4000


class _Stuck(Exception):
    """This way does not lead to the goal."""


def plan_moves(play: Play) -> list[str] | None:
    """Commands that win from the present state; `[]` when it is won, None when none were found.

    Tries each way in which the goal can be reached, greedily, and returns the shortest. What it
    returns has been played to the end on a copy.
    """
    if play.won:
        return []
    parts = [[c for c in part if _possible(play, c)] for part in play.game.goal.parts]
    best: list[str] | None = None
    for clauses in islice(product(*parts), _MOST_WAYS):
        walk = _Walk(play, None if best is None else len(best) - 1)
        try:
            walk.reach({atom for clause in clauses for atom in clause})
        except _Stuck:
            continue
        if walk.play.won:
            best = walk.commands
    return best


def _possible(play: Play, clause: Clause) -> bool:
    game = play.game
    return all(
        holds(play.state, atom)
        or (atom[1] in game.traits["pickupable"] and atom[2] in game.fits.get(atom[1], ()))
        for atom in clause
        if atom[0] == "inreceptacle"
    )


class _Walk:
    """A playthrough on a copy that remembers its commands."""

    def __init__(self, play: Play, longest: int | None) -> None:
        self.play = play.clone()
        self.game = play.game
        self.commands: list[str] = []
        self.longest = longest

    def reach(self, atoms: set[Atom]) -> None:
        """Make all `atoms` true, or stop as soon as the game is won."""
        held = self.play.state.held
        placed = sorted(a[1:] for a in atoms if a[0] == "inreceptacle")
        for thing, receptacle in sorted(placed, key=lambda place: place[0] != held):
            self._deliver(thing, receptacle, self._missing(thing, atoms))
        for _, thing in sorted(a for a in atoms if a[0] == "holds"):
            self._get(thing)
        for _, lamp in sorted(a for a in atoms if a[0] == "istoggled"):
            if lamp not in self.play.state.toggled:
                self._go_to(self._nearest(self._holders(lamp)))
                self._do(f"use {self.game.names[lamp]}")
        for _, place in sorted(a for a in atoms if a[0] == "atlocation"):
            self._go_to(self.game.at[place][0])

    def _missing(self, thing: str, atoms: set[Atom]) -> list[str]:
        return sorted(
            verb
            for mark, verb in _MARKS.items()
            if (mark, thing) in atoms and not holds(self.play.state, (mark, thing))
        )

    def _deliver(self, thing: str, receptacle: str, changes: list[str]) -> None:
        if self.play.won:
            return
        if not changes and holds(self.play.state, ("inreceptacle", thing, receptacle)):
            return
        self._get(thing)
        for verb in changes:
            appliance = self._nearest(self.game.appliances[verb])
            self._go_to(appliance)
            self._do(f"{verb} {self.game.names[thing]} with {self.game.names[appliance]}")
        if not self.play.won:
            self._put(thing, receptacle)

    def _get(self, thing: str) -> None:
        held = self.play.state.held
        if held == thing or self.play.won:
            return
        if held is not None:
            self._put(held, self._nearest(self.game.fits.get(held, ())))
        receptacle = self._nearest(self._holders(thing))
        self._go_to(receptacle)
        self._open(receptacle)
        self._do(f"take {self.game.names[thing]} from {self.game.names[receptacle]}")

    def _put(self, thing: str, receptacle: str) -> None:
        self._go_to(receptacle)
        self._open(receptacle)
        names = self.game.names
        self._do(self.game.dialect.put_command.format(names[thing], names[receptacle]))

    def _holders(self, thing: str) -> list[str]:
        return [r for r, things in self.play.state.contents.items() if thing in things]

    def _nearest(self, receptacles: Iterable[str]) -> str:
        """One that takes the fewest commands to use; the first in id order among equals."""
        state, game = self.play.state, self.game
        closed = game.traits["openable"] - state.opened

        def effort(receptacle: str) -> tuple[int, str]:
            away = game.location_of[receptacle] != state.location
            return away + (receptacle in closed), receptacle

        nearest = min(receptacles, key=effort, default=None)
        if nearest is None:
            raise _Stuck
        return nearest

    def _go_to(self, receptacle: str) -> None:
        if self.game.location_of[receptacle] != self.play.state.location:
            self._do(f"go to {self.game.names[receptacle]}")

    def _open(self, receptacle: str) -> None:
        if receptacle in self.game.traits["openable"] - self.play.state.opened:
            self._do(f"open {self.game.names[receptacle]}")

    def _do(self, command: str) -> None:
        if self.longest is not None and len(self.commands) >= self.longest:
            raise _Stuck
        if self.play.step(command) == NOTHING_HAPPENS:
            raise _Stuck
        self.commands.append(command)
