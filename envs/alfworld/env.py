"""The ALFWorld environment."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.expert import advise
from layergym.envs.alfworld.game import Game, build_game
from layergym.envs.alfworld.games import Games, Generated, Listed, read_compact
from layergym.envs.alfworld.memory import Memory
from layergym.envs.alfworld.oracle import plan
from layergym.envs.alfworld.state import State
from layergym.envs.alfworld.tables import KINDS
from layergym.envs.alfworld.text import NOTHING_HAPPENS, dialect, instructions
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.errors import unknown

_GENERATED_SPLITS = ("train", "valid", "test")


class ALFWorld(TextEnv):
    """Household tasks in text (Shridhar et al., arXiv 2010.03768).

    Reward is 1 when the task is done, which ends the episode, and 0 before. An action that is not
    understood gets "Nothing happens." and counts as invalid.
    """

    splits = ("train", "valid", "test", "valid_seen", "valid_unseen")
    max_turns = 50

    def __init__(  # noqa: PLR0913 (Gymnasium's `make` takes flat settings)
        self,
        *,
        split: str = "train",
        games: str | Path = "generated",
        kinds: Sequence[str] = KINDS,
        size: int = 600,
        max_receptacles: int | None = None,
        num_objects: int | None = None,
        version: str = "0.4",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Create the environment over the games of one split."""
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        for kind in kinds:
            if kind not in KINDS:
                raise unknown("kind of task", kind, KINDS)
        self.dialect = dialect(version)
        self.instructions = instructions(self.dialect)
        self._games: Games
        if games == "generated":
            if split not in _GENERATED_SPLITS:
                raise unknown("split of generated games", split, _GENERATED_SPLITS)
            self._games = Generated(
                split, tuple(sorted(set(kinds))), size, max_receptacles, num_objects
            )
        else:
            self._games = Listed(read_compact(Path(games)), kinds)
        self._ids = frozenset(self._games.ids)
        self._play: Play
        self._memory: Memory
        self._news: list[tuple[str, str]] = []

    # ---- tasks ------------------------------------------------------------------------------

    @property
    def tasks(self) -> Sequence[str]:
        """Ids of the games of this split, sorted."""
        return self._games.ids

    def has_task(self, task: str) -> bool:
        """Whether `task` is in this split's panel."""
        return task in self._ids

    def kind(self, task: str) -> str:
        """Task type, one of six."""
        return self._games.kind(task)

    def digest(self, task: str) -> str:
        """What identifies the content of the game."""
        return self._games.digest(task)

    # ---- play -------------------------------------------------------------------------------

    def start(self) -> str:
        """Begin the game and describe the room and the task."""
        game = _cached_game(self._games, self.task, self.dialect.version)
        self._play = Play(game)
        text = self._play.look_around()
        self._memory = Memory(text)
        self._news = []
        return text

    def play(self, action: str) -> Outcome:
        """Carry out one command."""
        text = self._play.step(action)
        self._news.append((action, text))
        won = self._play.won
        return Outcome(
            text, reward=float(won), terminated=won, valid=text != NOTHING_HAPPENS, success=won
        )

    def admissible(self) -> list[str]:
        """Every command that is understood now, sorted."""
        return self._play.admissible()

    def expert(self) -> str | None:
        """What a player would do who searches and knows only what this episode has shown."""
        return advise(self._remember(), self.dialect)

    def oracle(self) -> list[str] | None:
        """Commands that win from here, by someone who sees everything; None at a dead end."""
        return plan(self._play)

    def state_key(self) -> str:
        """The state of the world together with what the player has seen of it."""
        shown = sorted(self._remember().shown)
        return hashlib.blake2b(
            f"{_written(self._play.state)}{shown}".encode(), digest_size=16
        ).hexdigest()

    def clone(self) -> Self:
        """An independent copy in the same state."""
        twin = copy.copy(self)
        twin._play = self._play.clone()
        twin._memory = copy.deepcopy(self._memory)
        twin._news = list(self._news)
        twin._np_random = copy.deepcopy(self._np_random)
        return twin

    def _remember(self) -> Memory:
        for action, text in self._news:
            self._memory.observe(action, text)
        self._news = []
        return self._memory


@lru_cache(maxsize=512)
def _cached_game(games: Games, task: str, version: str) -> Game:
    problem, sentence = games.load(task)
    return build_game(problem, sentence, version=version)


def _written(state: State) -> str:
    """`state` as text, the same for equal states in every process."""
    parts: list[Any] = []
    for value in state:
        if isinstance(value, frozenset):
            parts.append(sorted(value))
        elif isinstance(value, dict):
            parts.append(sorted(item for item in value.items() if item[1]))
        else:
            parts.append(value)
    return repr(parts)
