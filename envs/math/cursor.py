"""Tokens read from left to right: a place in them, and what comes next."""

from __future__ import annotations

from layergym.envs.math.tokens import NOTHING, Token, tokens


class Cursor:
    """A place in the tokens of a text."""

    def __init__(self, text: str) -> None:
        """Stand before the first token of `text`, which is `plain`."""
        self.tokens = tokens(text)
        self.place = 0
        """Index of the token that comes next; set it to go back."""

    @property
    def at_end(self) -> bool:
        """Whether every token has been read."""
        return self.place >= len(self.tokens)

    def next(self, ahead: int = 0) -> Token:
        """The token that comes next, or `ahead` places after it (-1: the last one read)."""
        index = self.place + ahead
        return self.tokens[index] if 0 <= index < len(self.tokens) else NOTHING

    def take(self, kind: str, *texts: str) -> Token | None:
        """Read the next token if it is of this kind, and one of `texts` where there are any."""
        token = self.next()
        if token.kind != kind or (texts and token.text not in texts):
            return None
        self.place += 1
        return token

    def words(self) -> list[str]:
        """The words that come next; a hyphen between two of them is a space."""
        words, index = [], self.place
        while index < len(self.tokens):
            token = self.tokens[index]
            if token.kind == "word":
                words.append(token.text.lower())
            elif not (token.text == "-" and words and not token.gap):
                break
            index += 1
        return words

    def skip(self, words: int) -> None:
        """Read this many words, and the hyphens between them."""
        while words:
            words -= self.next().kind == "word"
            self.place += 1
