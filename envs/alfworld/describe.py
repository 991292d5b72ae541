"""How things look to the player."""

from __future__ import annotations

from layergym.envs.alfworld.game import Game
from layergym.envs.alfworld.state import State
from layergym.envs.alfworld.text import listing


def describe_receptacle(game: Game, state: State, receptacle: str) -> str:
    """What `examine` says about a receptacle."""
    name = game.names[receptacle]
    openable = receptacle in game.traits["openable"]
    if openable and receptacle not in state.opened:
        return f"The {name} is closed."
    seen = listing([f"a {game.names[o]}" for o in state.contents.get(receptacle, ())])
    if openable:
        return f"The {name} is open. In it, you see {seen}."
    return f"On the {name}, you see {seen}."


def describe_object(game: Game, state: State, thing: str) -> str:
    """What `examine` says about a held object."""
    name = game.names[thing]
    if thing in game.inside:
        seen = listing([f"a {game.names[o]}" for o in game.inside[thing]])
        return f"This is a normal {name}. In it, you see {seen}."
    sliced = "sliced " if thing in state.sliced else ""
    clean, hot, cool = (thing in having for having in (state.clean, state.hot, state.cool))
    if clean and (hot or cool):
        return f"This is a {'hot' if hot else 'cool'} and clean {sliced}{name}."
    if sliced and (clean or hot or cool):
        return f"This is a {'clean' if clean else 'hot' if hot else 'cool'} sliced {name}."
    if clean or hot or cool:
        return f"This is a {'hot' if hot else 'clean' if clean else 'cold'} {name}."
    if thing in game.traits["toggleable"] and thing in state.toggled:
        return f"This {name} is on."
    if sliced and thing in game.traits["sliceable"]:
        return f"This is a sliced {name}."
    return f"There's nothing special about {name}."
