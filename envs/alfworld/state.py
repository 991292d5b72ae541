"""The state of a game, and when it is won."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from layergym.envs.alfworld.game import Game
from layergym.envs.alfworld.goal import Atom, Clause


class State(NamedTuple):
    """What play changes. Immutable: copies share everything that did not change."""

    location: str
    held: str | None
    contents: Mapping[str, tuple[str, ...]]
    """Objects in each receptacle that has or had any, in id order."""
    nearby: frozenset[tuple[str, str]]
    """(object, location): where each object lies."""
    taken: frozenset[tuple[str, str]]
    """(object, receptacle): what was taken from where and not put back there."""
    opened: frozenset[str]
    clean: frozenset[str]
    hot: frozenset[str]
    cool: frozenset[str]
    on: frozenset[str]
    toggled: frozenset[str]
    sliced: frozenset[str]
    won: bool


def first_state(game: Game) -> State:
    """The state in which `game` begins."""
    problem = game.problem
    contents: dict[str, tuple[str, ...]] = {}
    for thing, receptacle in sorted(problem.all("inreceptacle")):
        contents[receptacle] = (*contents.get(receptacle, ()), thing)
    state = State(
        location=game.start_location,
        held=None,
        contents=contents,
        nearby=frozenset((o, place) for o, place in problem.all("objectatlocation")),
        taken=frozenset(),
        opened=problem.having("opened"),
        clean=problem.having("isclean"),
        hot=problem.having("ishot"),
        cool=problem.having("iscool"),
        on=problem.having("ison"),
        toggled=problem.having("istoggled"),
        sliced=problem.having("issliced"),
        won=False,
    )
    return state._replace(won=_reached(game, state))


def write_state(state: State) -> str:
    """`state` as text: the same for equal states, in every process."""
    contents = sorted(item for item in state.contents.items() if item[1])
    rest = [sorted(part) if isinstance(part, frozenset) else part for part in state[3:]]
    return repr((state.location, state.held, contents, rest))


def update_won(game: Game, state: State, *became_true: Atom) -> State:
    """Bring `won` up to date after a change that made some atoms true."""
    if not state.won and not _may_win(game, state, became_true):
        return state
    won = _reached(game, state)
    return state if won == state.won else state._replace(won=won)


def _may_win(game: Game, state: State, became_true: tuple[Atom, ...]) -> bool:
    """Only a clause with one of these atoms can have become true."""
    for atom in became_true:
        for clause in game.goal.clauses_with.get(atom, ()):
            if _holds_all(state, clause):
                return True
    return False


def _reached(game: Game, state: State) -> bool:
    return all(any(_holds_all(state, clause) for clause in part) for part in game.goal.parts)


def _holds_all(state: State, clause: Clause) -> bool:
    return all(holds(state, atom) for atom in clause)


def holds(state: State, atom: Atom) -> bool:
    """Whether `atom` is a fact in `state`."""
    match atom:
        case ("inreceptacle", thing, receptacle):
            return thing in state.contents.get(receptacle, ())
        case ("atlocation", place):
            return place == state.location
        case ("holds", thing):
            return thing == state.held
        case ("objectatlocation", thing, place):
            return (thing, place) in state.nearby
        case (predicate, thing):
            return thing in _marked(state, predicate)
    raise ValueError(f"not a fact of this game: {atom}")


def _marked(state: State, predicate: str) -> frozenset[str]:
    return {
        "opened": state.opened,
        "isclean": state.clean,
        "ishot": state.hot,
        "iscool": state.cool,
        "ison": state.on,
        "istoggled": state.toggled,
        "issliced": state.sliced,
    }[predicate]
