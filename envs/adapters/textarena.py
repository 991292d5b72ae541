"""Single-player games of TextArena (Guertler et al., arXiv 2504.11442)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from layergym.base.errors import InputError, unknown
from layergym.envs.adapters.extras import library
from layergym.envs.adapters.replayed import Replayed
from layergym.envs.core import Outcome


class TextArena(Replayed):
    """Single-player games of TextArena; needs game, such as game=Minesweeper-v0.

    A task is a seed. The rules are in the first observation; actions are mostly in [brackets].
    TextArena's games draw from Python's global generator: here each episode has a state of its own,
    put in place while the game plays and taken out again. Solved is a reward of 1.
    """

    max_turns = 50

    def __init__(
        self,
        *,
        game: str,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Choose the game.

        Args:
            game: TextArena's name of it.
            split: train or test.
            max_turns: by default 50.
            render_mode: as everywhere.

        Raises:
            InputError: textarena is not installed or has no such game.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        known = library("textarena.envs.registration", "textarena").ENV_REGISTRY
        games = {id for id in known if not id.endswith(("-raw", "-train"))}
        if game not in games:
            raise unknown("game of TextArena", game, games)
        self.game = game
        self._chance: Any = None

    def start(self) -> str:
        """Deal the game with a seed that the task determines."""
        textarena = library("textarena", "textarena")
        seed = int(self.np_random.integers(2**31))
        self._chance = random.Random(seed).getstate()
        with self._own_chance():
            try:
                self.inner = textarena.make(f"{self.game}-raw")
                self.inner.reset(num_players=1, seed=seed)
            except AssertionError as error:
                raise InputError(
                    f"{self.game} cannot be played alone: {error}; take a game for one player"
                ) from error
            except LookupError as error:
                raise InputError(
                    f"{self.game} needs data of nltk: python -m nltk.downloader words "
                    "averaged_perceptron_tagger_eng"
                ) from error
            return self._seen()[0]

    def act(self, action: str) -> Outcome:
        """Say something to the game."""
        with self._own_chance():
            done, _ = self.inner.step(action)
            text, valid = self._seen()
            if not done:
                return Outcome(text, valid=valid)
            rewards, game_info = self.inner.close()
        reward, info = float(rewards[0]), game_info[0]
        return Outcome(
            "\n".join(part for part in (text, str(info.get("reason", ""))) if part),
            reward,
            terminated=True,
            valid=not info.get("invalid_move", False),
            success=reward >= 1,
        )

    def _seen(self) -> tuple[str, bool]:
        """What the game said since the last look, and whether it took the move."""
        kinds = library("textarena", "textarena").ObservationType
        _, messages = self.inner.get_observation()
        said = [text for _, text, kind in messages if kind != kinds.PLAYER_ACTION]
        refused = any(kind == kinds.GAME_ADMIN for _, _, kind in messages)
        return "\n".join(said).strip(), not refused

    @contextmanager
    def _own_chance(self) -> Iterator[None]:
        outside = random.getstate()
        random.setstate(self._chance)
        try:
            yield
        finally:
            self._chance = random.getstate()
            random.setstate(outside)
