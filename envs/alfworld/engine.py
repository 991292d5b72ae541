"""ALFWorld's text engine as a state machine: same observations, commands and wins, byte for byte.

What it reproduces is textworld's `PddlEnv` on alfworld's domain and grammar (Shridhar et al.,
arXiv 2010.03768; alfworld 0.4.2), oddities included: going to a receptacle where the player
already stands does nothing, lamps only ever turn on, only held objects can be examined, and an
object can lie in two receptacles at once.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import TypeAlias

from layergym.envs.alfworld.describe import describe_object, describe_receptacle
from layergym.envs.alfworld.game import Game, introduction
from layergym.envs.alfworld.state import State, first_state, update_won
from layergym.envs.alfworld.text import HELP, NOTHING_HAPPENS, WELCOME, listing

_NONE: frozenset[str] = frozenset()

Transition: TypeAlias = "Callable[[Game, State, str, str], tuple[State, str]]"
Command: TypeAlias = tuple[Transition, str, str]


class Play:
    """One playthrough of a game."""

    __slots__ = ("_commands", "game", "state")

    def __init__(self, game: Game, state: State | None = None) -> None:
        """Begin at the start of `game`, or at `state`."""
        self.game = game
        self.state = first_state(game) if state is None else state
        self._commands: dict[str, Command] | None = None

    @property
    def won(self) -> bool:
        """Whether the goal holds now."""
        return self.state.won

    def clone(self) -> Play:
        """An independent playthrough in the same state."""
        return Play(self.game, self.state)

    def look_around(self) -> str:
        """The text with which the game begins."""
        return f"{WELCOME}\n\n{introduction(self.game)}\n\nYour task is to: {self.game.sentence}"

    def admissible(self) -> list[str]:
        """Every command that is understood now, sorted."""
        # What is sorted already comes first: then sorting takes little time.
        return sorted((*self.game.always[self.state.location], *self._local()))

    def step(self, command: str) -> str:
        """Carry out `command` and return what it says; `NOTHING_HAPPENS` when it is not one."""
        command = command.strip()
        receptacle = self.game.destination.get(command)
        if receptacle is not None:
            if self.game.location_of[receptacle] == self.state.location:
                return NOTHING_HAPPENS
            move: Command = (_go_to, receptacle, "")
        elif command in self.game.dialect.always:
            move = (_ANYWHERE[command], "", "")
        elif (local := self._local().get(command)) is not None:
            move = local
        else:
            return NOTHING_HAPPENS
        do, first, second = move
        state, text = do(self.game, self.state, first, second)
        if state is not self.state:
            self.state = state
            self._commands = None
        return text

    def _local(self) -> dict[str, Command]:
        """Commands that depend on the place and the hands."""
        if self._commands is None:
            game, state = self.game, self.state
            here = game.at.get(state.location, ())
            closed = game.traits["openable"] - state.opened
            reachable = [r for r in here if r not in closed]
            self._commands = _on_receptacles(game, state, here)
            if state.held is None:
                self._commands.update(_takes(game, state, reachable))
            else:
                self._commands.update(_with_held(game, state, state.held, reachable))
        return self._commands


# ---- which commands there are -------------------------------------------------------------------


def _on_receptacles(game: Game, state: State, here: tuple[str, ...]) -> dict[str, Command]:
    commands: dict[str, Command] = {}
    names, toggleable = game.names, game.traits["toggleable"]
    for receptacle in here:
        name = names[receptacle]
        commands[f"examine {name}"] = (_examine_receptacle, receptacle, "")
        if receptacle in game.traits["openable"]:
            if receptacle in state.opened:
                commands[f"close {name}"] = (_close, receptacle, "")
            else:
                commands[f"open {name}"] = (_open, receptacle, "")
        for thing in state.contents.get(receptacle, ()):
            if thing in toggleable:
                commands[f"use {names[thing]}"] = (_use, thing, "")
    return commands


def _takes(game: Game, state: State, reachable: list[str]) -> dict[str, Command]:
    names, pickupable = game.names, game.traits["pickupable"]
    return {
        f"take {names[thing]} from {names[receptacle]}": (_take, thing, receptacle)
        for receptacle in reachable
        for thing in state.contents.get(receptacle, ())
        if thing in pickupable
    }


def _with_held(game: Game, state: State, held: str, reachable: list[str]) -> dict[str, Command]:
    names = game.names
    name = names[held]
    commands: dict[str, Command] = {f"examine {name}": (_examine_object, held, "")}
    fits = game.fits.get(held, _NONE)
    for receptacle in reachable:
        if receptacle in fits:
            command = game.dialect.put_command.format(name, names[receptacle])
            commands[command] = (_put, held, receptacle)
    for receptacle in game.at.get(state.location, ()):
        for verb, change in _CHANGES.items():
            if receptacle in game.appliances[verb] and held in game.traits[_NEEDS[verb]]:
                commands[f"{verb} {name} with {names[receptacle]}"] = (change, held, receptacle)
    if held in game.knives:
        for thing in game.traits["sliceable"]:
            if (thing, state.location) in state.nearby:
                commands[f"slice {names[thing]} with {name}"] = (_slice, thing, held)
    return commands


# ---- what they do -------------------------------------------------------------------------------


def _go_to(game: Game, state: State, receptacle: str, _: str) -> tuple[State, str]:
    place = game.location_of[receptacle]
    state = update_won(game, state._replace(location=place), ("atlocation", place))
    arrived = game.names[receptacle if game.dialect.names_receptacle else place]
    return state, f"You arrive at {arrived}. {describe_receptacle(game, state, receptacle)}"


def _open(game: Game, state: State, receptacle: str, _: str) -> tuple[State, str]:
    state = state._replace(opened=state.opened | {receptacle})
    state = update_won(game, state, ("opened", receptacle))
    seen = describe_receptacle(game, state, receptacle)
    return state, f"You open the {game.names[receptacle]}. {seen}"


def _close(game: Game, state: State, receptacle: str, _: str) -> tuple[State, str]:
    state = update_won(game, state._replace(opened=state.opened - {receptacle}))
    return state, f"You close the {game.names[receptacle]}."


def _take(game: Game, state: State, thing: str, receptacle: str) -> tuple[State, str]:
    rest = tuple(o for o in state.contents[receptacle] if o != thing)
    state = state._replace(
        held=thing,
        contents={**state.contents, receptacle: rest},
        nearby=state.nearby - {(thing, state.location)},
        taken=state.taken | {(thing, receptacle)},
    )
    text = f"You pick up the {game.names[thing]} from the {game.names[receptacle]}."
    return update_won(game, state, ("holds", thing)), text


def _put(game: Game, state: State, thing: str, receptacle: str) -> tuple[State, str]:
    things = list(state.contents.get(receptacle, ()))
    if thing not in things:
        insort(things, thing)
    state = state._replace(
        held=None,
        contents={**state.contents, receptacle: tuple(things)},
        nearby=state.nearby | {(thing, state.location)},
        taken=state.taken - {(thing, receptacle)},
    )
    state = update_won(
        game,
        state,
        ("inreceptacle", thing, receptacle),
        ("objectatlocation", thing, state.location),
    )
    return state, game.dialect.put_text.format(game.names[thing], game.names[receptacle])


def _clean(game: Game, state: State, thing: str, receptacle: str) -> tuple[State, str]:
    state = update_won(game, state._replace(clean=state.clean | {thing}), ("isclean", thing))
    return state, f"You clean the {game.names[thing]} using the {game.names[receptacle]}."


def _heat(game: Game, state: State, thing: str, receptacle: str) -> tuple[State, str]:
    state = state._replace(hot=state.hot | {thing}, cool=state.cool - {thing})
    text = f"You heat the {game.names[thing]} using the {game.names[receptacle]}."
    return update_won(game, state, ("ishot", thing)), text


def _cool(game: Game, state: State, thing: str, receptacle: str) -> tuple[State, str]:
    state = state._replace(cool=state.cool | {thing}, hot=state.hot - {thing})
    text = f"You cool the {game.names[thing]} using the {game.names[receptacle]}."
    return update_won(game, state, ("iscool", thing)), text


def _use(game: Game, state: State, thing: str, _: str) -> tuple[State, str]:
    # The original never forgets that a lamp was toggled, so it never says "turn off".
    state = state._replace(on=state.on ^ {thing}, toggled=state.toggled | {thing})
    state = update_won(game, state, ("istoggled", thing), ("ison", thing))
    return state, f"You turn on the {game.names[thing]}."


def _slice(game: Game, state: State, thing: str, knife: str) -> tuple[State, str]:
    state = update_won(game, state._replace(sliced=state.sliced | {thing}), ("issliced", thing))
    return state, f"You sliced the {game.names[thing]} with the {game.names[knife]}."


def _examine_receptacle(game: Game, state: State, receptacle: str, _: str) -> tuple[State, str]:
    return state, describe_receptacle(game, state, receptacle)


def _examine_object(game: Game, state: State, thing: str, _: str) -> tuple[State, str]:
    return state, describe_object(game, state, thing)


def _look(game: Game, state: State, _: str, __: str) -> tuple[State, str]:
    here = game.at.get(state.location)
    if here is None:
        return state, (
            "You are in the middle of a room. Looking quickly around you, you see nothing."
        )
    # Things put down here after they were taken from another receptacle of this place.
    strewn = [
        f"a {game.names[thing]}"
        for thing, place in sorted(state.nearby if state.taken else ())
        if place == state.location
        for receptacle in here
        if (thing, receptacle) in state.taken
    ]
    facing = listing([game.names[r] for r in here])
    return state, f"You are facing the {facing}. Next to it, you see {listing(strewn)}."


def _inventory(game: Game, state: State, _: str, __: str) -> tuple[State, str]:
    if state.held is None:
        return state, "You are not carrying anything."
    return state, f"You are carrying: a {game.names[state.held]}."


def _help(game: Game, state: State, _: str, __: str) -> tuple[State, str]:
    return state, HELP


_ANYWHERE: dict[str, Transition] = {"look": _look, "inventory": _inventory, "help": _help}
_CHANGES: dict[str, Transition] = {"clean": _clean, "heat": _heat, "cool": _cool}
_NEEDS = {"clean": "cleanable", "heat": "heatable", "cool": "coolable"}
