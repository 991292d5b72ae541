"""MiniGrid and BabyAI (Chevalier-Boisvert et al., arXiv 2306.13831) in words."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

from layergym.envs.adapters.extras import library
from layergym.envs.adapters.gymnasium import Gymnasium

_SCENERY = ("unseen", "empty", "wall", "floor", "agent")


class MiniGrid(Gymnasium):
    """MiniGrid and BabyAI in words; needs env_id, such as env_id=BabyAI-GoToLocal-v0.

    The agent's symbolic view is told as in GLAM (Carta et al., arXiv 2302.02662): what is carried,
    every object that is seen and how far it is, and the nearest walls.
    """

    instructions = (
        "You move in a grid of rooms, and see part of it. Every turn, turn left, turn right, go "
        "forward, pick up, drop, toggle (opens doors and boxes in front of you), or say done."
    )
    actions = ("turn left", "turn right", "go forward", "pick up", "drop", "toggle", "done")

    def __init__(self, *, env_id: str, **settings: Any) -> None:
        """Wrap `env_id`; further settings as for `Gymnasium`.

        Raises:
            InputError: minigrid is not installed, or there is no such environment.
        """
        codes = library("minigrid.core.constants", "minigrid")
        self._kinds, self._colours = dict(codes.IDX_TO_OBJECT), dict(codes.IDX_TO_COLOR)
        self._door_states = {number: name for name, number in codes.STATE_TO_IDX.items()}
        super().__init__(env_id=env_id, **settings)

    def limit(self) -> int | None:
        """Turns after which MiniGrid truncates an episode."""
        return int(self._grid.max_steps)

    def start(self) -> str:
        """The mission, then the view."""
        with redirect_stdout(None):  # BabyAI prints every layout that it rejects.
            view = super().start()
        return f"Your mission: {self._grid.mission}.\n{view}"

    def describe(self, observation: Any) -> str:
        """What the agent carries and sees."""
        image = observation["image"]
        me, here = image.shape[0] // 2, image.shape[1] - 1
        seen = [
            f"{self._thing(image[x, y])} {_where(x - me, here - y)}"
            for x in range(image.shape[0])
            for y in range(image.shape[1])
            if (x, y) != (me, here) and self._kind(image[x, y]) not in _SCENERY
        ]
        seen += self._walls(image, me, here)
        held = image[me, here]
        carried = f"You carry {self._thing(held)}. " if self._kind(held) not in _SCENERY else ""
        return f"{carried}You see {', '.join(seen) or 'nothing'}."

    def state_key(self) -> Hashable:
        """The grid, the agent and the turn, on which MiniGrid's reward depends.

        Instructions of BabyAI remember what was done, so there the whole history is the key.
        """
        if hasattr(self._grid, "instrs"):
            return super().state_key()
        cells = tuple(_encoded(cell) for cell in self._grid.grid.grid)
        agent = (*map(int, self._grid.agent_pos), int(self._grid.agent_dir))
        return cells, agent, _encoded(self._grid.carrying), self.turn

    def _names(self, given: Sequence[str]) -> list[str]:
        """Some grids know the first few actions only."""
        return super()._names(given[: int(self.inner.action_space.n)])  # type: ignore[attr-defined]

    @property
    def _grid(self) -> Any:
        return self.inner.unwrapped

    def _kind(self, cell: Any) -> str:
        return str(self._kinds[int(cell[0])])

    def _thing(self, cell: Any) -> str:
        kind = self._kind(cell)
        state = f"{self._door_states[int(cell[2])]} " if kind == "door" else ""
        name = f"{state}{self._colours[int(cell[1])]} {kind}"
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"

    def _walls(self, image: Any, me: int, here: int) -> Iterator[str]:
        """The nearest wall ahead, to the left and to the right."""
        for right, ahead in ((0, 1), (-1, 0), (1, 0)):
            x, y, steps = me + right, here - ahead, 1
            while 0 <= x < image.shape[0] and 0 <= y < image.shape[1]:
                if self._kind(image[x, y]) == "wall":
                    yield f"a wall {_where(steps * right, steps * ahead)}"
                    break
                x, y, steps = x + right, y - ahead, steps + 1


def _where(right: int, ahead: int) -> str:
    parts = [(ahead, "forward"), (abs(right), "right" if right > 0 else "left")]
    return " and ".join(f"{n} step{'s' * (n > 1)} {side}" for n, side in parts if n)


def _encoded(thing: Any) -> Hashable:
    """An object of the grid with what is in it."""
    return thing and (*thing.encode(), _encoded(thing.contains))
