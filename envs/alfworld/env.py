"""The ALFWorld environment."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

from layergym.base.errors import InputError, unknown
from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.expert import advise
from layergym.envs.alfworld.floorplans import SPLITS as GENERATED_SPLITS
from layergym.envs.alfworld.game import Game, build_game
from layergym.envs.alfworld.games import OFFICIAL_SPLITS, Games, open_games
from layergym.envs.alfworld.memory import Memory
from layergym.envs.alfworld.oracle import plan_moves
from layergym.envs.alfworld.reference import ReferenceServer, RemotePlay
from layergym.envs.alfworld.state import write_state
from layergym.envs.alfworld.tables import KINDS
from layergym.envs.alfworld.text import NOTHING_HAPPENS, dialect, instructions
from layergym.envs.core import Outcome, TextEnv


class ALFWorld(TextEnv):
    """Household tasks in text (Shridhar et al., ALFWorld, arXiv 2010.03768).

    The reward is 1 when the task is done, which ends the episode, and 0 before. An action that is
    not possible gets "Nothing happens." and counts as invalid.

    Besides the usual keys, `info` has `dead_end`: True when the task cannot be done any more,
    because what is held can be put nowhere (a teddy bear, a paper towel roll).

    `expert()` is a player who searches and knows only what the episode has shown; `oracle()` sees
    everything. `state_key()` covers the state of the world and what of it the player has seen.
    """

    splits: ClassVar[tuple[str, ...]] = tuple(dict.fromkeys((*GENERATED_SPLITS, *OFFICIAL_SPLITS)))
    max_turns = 50

    def __init__(  # noqa: PLR0913 (gymnasium.make takes settings flat)
        self,
        *,
        split: str = "train",
        games: str | Path = "generated",
        kinds: Sequence[str] = KINDS,
        size: int | None = None,
        max_receptacles: int | None = None,
        num_objects: int | None = None,
        version: str = "0.4",
        engine: str = "native",
        shaping: float = 0.0,
        common_sense: bool = True,
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Create the environment over the games of one split.

        Args:
            split: train, valid or test of generated games, whose rooms differ; else train,
                valid_seen or valid_unseen.
            games: `"generated"`, which needs no data; `"official"`, what `alfworld-download`
                fetched; a folder; or a compact `*.jsonl.xz` (see `open_games`).
            kinds: which of the six task types.
            size: number of generated games, spread over the kinds; 600 by default.
            max_receptacles: most receptacles in a generated room; real rooms have 6 to 54.
            num_objects: number of objects in a generated room; real rooms have 10 to 65.
            version: dialect, "0.4" or "0.3" (before December 2024: "put mug 1 in/on desk 1").
            engine: "native", or "alfworld" for the original in a process of its own, which says
                the same, thousands of times slower.
            shaping: weight of potential-based shaping (Ng et al., 1999, discount 1): every step
                also earns this much for each command by which the oracle's plan became shorter.
            common_sense: whether the expert knows where things usually lie; without it, it
                searches in an order that is drawn with the task's id.
            max_turns: turns after which an episode is truncated.
            render_mode: "ansi" or None.

        Raises:
            InputError: a setting is unknown, or the games cannot be read.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        if engine not in ("native", "alfworld"):
            raise unknown("ALFWorld engine", engine, ("native", "alfworld"))
        self.dialect = dialect(version)
        self.instructions = instructions(self.dialect)
        self.shaping = shaping
        self.common_sense = common_sense
        self._games = open_games(
            games,
            split,
            kinds,
            size=size,
            max_receptacles=max_receptacles,
            num_objects=num_objects,
        )
        self._ids = frozenset(self._games.ids)
        self._uses_original = engine == "alfworld"
        self._server: ReferenceServer | None = None
        self._play: Play
        self._memory: Memory | None = None
        self._news: list[tuple[str, str]] = []
        self._potential = 0.0
        self._stuck: tuple[str | None, bool] = (None, False)

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
        self._play = self._begin()
        self._memory = None
        self._news = []
        self._stuck = (None, False)
        self._potential = self._remaining() if self.shaping else 0.0
        return self._play.look_around()

    def play(self, action: str) -> Outcome:
        """Carry out one command."""
        text = self._play.step(action)
        self._news.append((action, text))
        won = self._play.won
        reward = float(won)
        if self.shaping:
            before, self._potential = self._potential, self._remaining()
            reward += self.shaping * (self._potential - before)
        valid = text != NOTHING_HAPPENS
        return Outcome(text, reward=reward, terminated=won, valid=valid, success=won)

    def admissible(self) -> list[str]:
        """Every command that is understood now, sorted."""
        return self._play.admissible()

    def expert(self) -> str | None:
        """What a player would do who searches and knows only what this episode has shown."""
        order = None if self.common_sense else self.task
        return advise(self._remember(), self.dialect, order=order)

    def oracle(self) -> list[str] | None:
        """Commands that win from here, by someone who sees everything; None at a dead end."""
        return plan_moves(self._play)

    def state_key(self) -> str:
        """The state of the world, together with which receptacles the player knows about."""
        known = f"{write_state(self._play.state)}{sorted(self._remember().shown)}"
        return hashlib.blake2b(known.encode(), digest_size=16).hexdigest()

    def clone(self) -> Self:
        """An independent copy in the same state."""
        twin = copy.copy(self)
        twin._np_random = copy.deepcopy(self._np_random)
        if self.task:
            twin._play = self._play.clone()
            twin._memory = copy.deepcopy(self._memory)
            twin._news = list(self._news)
        twin._server = twin._play.server if isinstance(twin._play, RemotePlay) else None
        return twin

    def close(self) -> None:
        """End alfworld's process, if there is one."""
        if self._server is not None:
            self._server.close()
            self._server = None
        super().close()

    def _begin(self) -> Play:
        game = _cached_game(self._games, self.task, self.dialect.version)
        if not self._uses_original:
            return Play(game)
        if self._server is None:
            self._server = ReferenceServer()
        return RemotePlay(game, self._games.load(self.task)[0], self._server)

    def _remember(self) -> Memory:
        """What the episode has shown; read only when somebody asks."""
        if self._memory is None:
            self._memory = Memory(self._play.look_around())
        for action, text in self._news:
            self._memory.observe(action, text)
        self._news = []
        return self._memory

    def _remaining(self) -> float:
        """Minus the number of commands that the oracle still needs."""
        way = plan_moves(self._play)
        return -float(self.max_turns if way is None else len(way))

    def _dead_end(self) -> bool:
        # Everything else can be undone: only what is held and fits nowhere stays for ever.
        held = self._play.state.held
        if held is None or self._play.game.fits.get(held):
            return False
        if self._stuck[0] != held:
            self._stuck = (held, plan_moves(self._play) is None)
        return self._stuck[1]

    def _info(self, *, valid: bool, success: bool) -> dict[str, Any]:
        return {**super()._info(valid=valid, success=success), "dead_end": self._dead_end()}


@lru_cache(maxsize=512)
def _cached_game(games: Games, task: str, version: str) -> Game:
    problem, sentence = games.load(task)
    try:
        return build_game(problem, sentence, version=version)
    except InputError as error:
        raise InputError(f"{task}: {error}") from error
