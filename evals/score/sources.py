"""What models are scored on besides their own task: questions, texts, a harness's tasks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.base.errors import InputError, briefly
from layergym.evals.score.multiple_choice import (
    ChoiceQuestion,
    read_questions,
    score_questions,
    score_text,
)


class Source(Protocol):
    """Something that models are scored on."""

    @property
    def name(self) -> str:
        """Its name, which is also that of the file with its scores."""

    @property
    def digest(self) -> str:
        """Equal for equal items."""

    def score(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, tuple[float, ...]]:
        """One value per item, by measure."""


@dataclass(frozen=True)
class Choice:
    """Multiple-choice questions."""

    name: str
    questions: tuple[ChoiceQuestion, ...]

    @classmethod
    def read(cls, path: Path, limit: int | None) -> Choice:
        """The first `limit` questions of a file, or all."""
        return cls(path.stem, read_questions(path)[:limit])

    @property
    def digest(self) -> str:
        """Digest of prompts, choices and answers."""
        return _digest(repr(self.questions))

    def score(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, tuple[float, ...]]:
        """Right or wrong, per question."""
        return score_questions(model, tokenizer, self.questions)


@dataclass(frozen=True)
class Prose:
    """A plain text."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Prose:
        """A file in UTF-8.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return cls(path.stem, path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} cannot be read: {briefly(error)}; write it as UTF-8 text"
            ) from None

    @property
    def digest(self) -> str:
        """Digest of the text."""
        return _digest(self.text)

    def score(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, tuple[float, ...]]:
        """Loss per window."""
        return score_text(model, tokenizer, self.text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
