"""Games made by TextWorld (Côté et al., arXiv 1806.11532), with tw-make or textworld.generator."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.adapters.extras import library
from layergym.envs.adapters.replayed import Replayed
from layergym.envs.core import Outcome

_VERBS = {
    "get": "take",
    "grab": "take",
    "pick up": "take",
    "x": "examine",
    "look at": "examine",
    "inspect": "examine",
    "walk": "go",
    "l": "look",
    "i": "inventory",
    "inv": "inventory",
    "place": "put",
    "consume": "eat",
}
"""Other words for TextWorld's own verbs."""
_WAYS = {way[0]: way for way in ("north", "south", "east", "west")}


class TextWorld(Replayed):
    """Games made by TextWorld; needs path, such as path=games/ (a folder) or path=game.z8.

    A task is a game (`NAME.z8`, with the `NAME.json` that tw-make writes beside it). A folder with
    folders `train` and `test` has those splits. Of the games of another folder, every fifth, in an
    order by name, is for testing; a single game is in both splits. The reward is the share of the
    game's points; solved is won.

    The interpreter is told only what TextWorld lists as a command here. Anything else does nothing
    and is invalid: several commands in one line, which TextWorld loses track of, and what is meant
    for the interpreter (save, undo, restart, quit, script), which writes files and ends games.
    """

    instructions = (
        "This is a text adventure. Reach its goal by commands such as: look, inventory, go north, "
        "take lamp, open chest with key, put lamp on table, eat apple."
    )
    max_turns = 50

    def __init__(
        self,
        *,
        path: str | Path,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Find the games.

        Args:
            path: a `.z8` game, or a folder of them.
            split: train or test.
            max_turns: by default 50.
            render_mode: as everywhere.

        Raises:
            InputError: textworld is not installed, or there is no game at `path`.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        library("textworld", "textworld")
        self._games = {file.stem: file for file in _games(Path(path).expanduser(), split)}
        self._loaded: Path | None = None
        self._state: Any = None

    @property
    def tasks(self) -> Sequence[str]:
        """Names of the games of this split, sorted."""
        return sorted(self._games)

    def digest(self, task: str) -> str:
        """SHA-256 of the game file."""
        return sha256(self._games[task].read_bytes()).hexdigest()

    def start(self) -> str:
        """Load the game and read its opening."""
        file = self._games[self.task]
        if self.inner is None or self._loaded != file:
            self.close()
            textworld = library("textworld", "textworld")
            wanted = textworld.EnvInfos(
                facts=True,
                won=True,
                lost=True,
                score=True,
                max_score=True,
                admissible_commands=True,
                policy_commands=True,
            )
            with warnings.catch_warnings():
                # The interpreter does not know the game; TextWorld does, and keeps the score.
                warnings.filterwarnings("ignore", "Game .* is not fully supported")
                self.inner, self._loaded = textworld.start(str(file), wanted), file
        self._state = self.inner.reset()
        return _tidy(self._state.feedback)

    def act(self, action: str) -> Outcome:
        """Type one command, if it is one that can be carried out."""
        command = _meant(action, self._state.admissible_commands or ())
        if command is None:
            return Outcome("That does nothing here.", valid=False)
        before = self._state.score or 0
        self._state, score, done = self.inner.step(command)
        return Outcome(
            _tidy(self._state.feedback),
            (score - before) / (self._state.max_score or 1),
            terminated=bool(done),
            success=bool(self._state.won),
        )

    def admissible(self) -> Sequence[str] | None:
        """Commands that the game would carry out now."""
        return sorted(self._state.admissible_commands or ()) or None

    def expert(self) -> str | None:
        """The next command of the game's own walkthrough from here."""
        commands = self._state.policy_commands
        return str(commands[0]) if commands else None

    def state_key(self) -> Hashable:
        """The facts of the world, the score, and what is left to do."""
        facts = tuple(sorted(map(str, self._state.facts or ())))
        return facts, self._state.score or 0, tuple(self._state.policy_commands or ())

    def shut(self) -> None:
        """End the interpreter."""
        self.inner.close()


def _games(path: Path, split: str) -> list[Path]:
    if path.is_file():
        if path.suffix != ".z8":
            raise InputError(
                f"{path} is not a .z8 game; make one with tw-make ... --output game.z8"
            )
        return _described([path])
    own = path / split
    files = sorted((own if own.is_dir() else path).glob("*.z8"))
    if not own.is_dir():
        files.sort(key=lambda file: blake2b(file.stem.encode(), digest_size=8).digest())
        files = [file for i, file in enumerate(files) if (i % 5 == 0) == (split == "test")]
    if not files:
        raise InputError(
            f"there is no .z8 game for the {split} split in {path}; "
            f"make some with: tw-make tw-simple ... --output {path}/game.z8"
        )
    return _described(files)


def _described(files: list[Path]) -> list[Path]:
    """The games, each with the description that says what can be done in it."""
    for file in files:
        if not file.with_suffix(".json").is_file():
            raise InputError(
                f"{file} has no {file.stem}.json beside it, which tw-make writes; "
                "make the game again"
            )
    return files


def _meant(action: str, known: Sequence[str]) -> str | None:
    """Which of the known commands a line means: itself, in other words, or its only beginning."""
    commands = {command.lower(): command for command in known}
    line = " ".join(action.lower().split())
    if line not in commands:
        line = _in_its_words([word for word in line.split() if word not in ("the", "a", "an")])
    longer = [command for command in commands if command.startswith(f"{line} ")]
    if line not in commands and " " in line and len(longer) == 1:
        line = longer[0]
    return commands.get(line)


def _in_its_words(words: list[str]) -> str:
    """A command with TextWorld's own verb and way."""
    for length in (2, 1):
        verb = " ".join(words[:length])
        if verb in _VERBS:
            words = [_VERBS[verb], *words[length:]]
            break
    way = words[-1] if words else ""
    if words in ([way], ["go", way]):
        words = ["go", _WAYS.get(way, way)] if way in (*_WAYS, *_WAYS.values()) else words
    return " ".join(words)


def _tidy(text: str | None) -> str:
    """The game's words without its banner, status line, prompt and blank lines."""
    lines = [line.strip() for line in (text or "").splitlines()]
    return "\n".join(x for x in lines if not x.startswith(">") and any(map(str.isalnum, x)))
