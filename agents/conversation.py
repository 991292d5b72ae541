"""A dialogue in tokens: what was sampled stays as sampled, only new text is tokenised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from transformers import PreTrainedTokenizerBase

Message = dict[str, str]
_BREAK = "\ufdd0"
"""Stands in a message where its text is broken for the tokenizer; Unicode has no such character."""

_LONG = 2000
"""Characters of a text that is long: mostly a whole prompt, which hardly comes again."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The next prompt of a dialogue, as `Reply.prompt_ids` and `Reply.extends` record it."""

    ids: tuple[int, ...]
    extends: bool


class Layout:
    """How a tokenizer turns messages into text, and text into ids.

    With a chat template, that template; a template that refuses a system message gets it at the
    head of the first user message. Without one, the plain layout: the system text and a blank
    line, then for every turn the observation, a new line, `> `, the reply, the end token if there
    is one, and a new line.

    A control token (`<|im_end|>`, say) that is spelt inside a message is text: only the template
    speaks in control tokens. So whatever an environment shows, turns and roles stay as they are.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Read the template of `tokenizer`."""
        self.tokenizer = tokenizer
        self.takes_system = self._takes_system()
        self._short = lru_cache(maxsize=1 << 16)(self._tokenise)
        self._long = lru_cache(maxsize=1 << 9)(self._tokenise)
        template = tokenizer.chat_template
        by_message = template is None or (isinstance(template, str) and _by_message(template))
        self._ending = self._after_messages() if by_message else None
        special, others = _added_tokens(tokenizer)
        turns = [{"role": role, "content": "."} for role in ("assistant", "user")]
        probe = self.render([*self.opening(".", "."), *turns])
        self._special = _spelt(special)
        self._control = _spelt({*special, *(token for token in others if token in probe)})

    def as_text(self, message: str, *, reply: bool = False) -> str:
        """A message, broken inside each control token that it spells, so that none is read there.

        In what is not a `reply`, every added token that the template writes by itself is one, even
        where the tokenizer does not call it special; a reply is left as the template expects it.
        """
        control = self._special if reply else self._control
        plain = message.replace(_BREAK, "")
        return control.sub(rf"\g<0>{_BREAK}", plain) if control else plain

    def opening(self, system: str, user: str) -> list[Message]:
        """The first messages of a dialogue."""
        if system and self.takes_system:
            return [{"role": "system", "content": system}, {"role": "user", "content": user}]
        content = f"{system}\n\n{user}" if system else user
        return [{"role": "user", "content": content}]

    def render(self, messages: Sequence[Message], *, reply: bool = True) -> str:
        """The text of `messages`, up to where the next reply begins if `reply`."""
        if self.tokenizer.chat_template is None:
            return self._plain(messages)
        text = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=reply
        )
        assert isinstance(text, str)
        return text

    def go_on(self, text: str, messages: Sequence[Message]) -> str:
        """What `render(messages)` gives, from the `text` of all but the last two of them.

        The work is that of two messages where the template writes each by itself.
        """
        if self._ending is None:
            return self.render(messages)
        return text.removesuffix(self._ending) + self.render(messages[-2:])

    def encode(self, text: str, *, start: bool = False) -> tuple[int, ...]:
        """Tokens of `text`; at the `start` of a plain layout, after the tokenizer's own opening."""
        begins = start and self.tokenizer.chat_template is None
        if _BREAK not in text:
            return self._encode(text, begins)
        first, *rest = text.split(_BREAK)
        ids = [self._encode(first, begins), *(self._encode(part, False) for part in rest)]
        return tuple(id for part in ids for id in part)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a reply's tokens, special ones left out."""
        return _text(
            self.tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def token(self, id: int) -> str:
        """The text of one token, special or not."""
        return _text(self.tokenizer.decode([id], clean_up_tokenization_spaces=False))

    def _plain(self, messages: Sequence[Message]) -> str:
        end = self.tokenizer.eos_token or ""
        tail = {"system": "\n\n", "user": "\n> ", "assistant": f"{end}\n"}
        return "".join(message["content"] + tail[message["role"]] for message in messages)

    def _encode(self, text: str, special: bool) -> tuple[int, ...]:
        """Texts that come again are not tokenised again; of long ones few are kept."""
        return (self._short if len(text) < _LONG else self._long)(text, special)

    def _tokenise(self, text: str, special: bool) -> tuple[int, ...]:
        ids = self.tokenizer.encode(text, add_special_tokens=special)
        if special and ids and ids[-1] == self.tokenizer.eos_token_id:
            ids = ids[:-1]
        return tuple(ids)

    def _after_messages(self) -> str:
        """What a template that writes each message by itself writes after the last."""
        message: Message = {"role": "user", "content": "."}
        text, twice = self.render([message]), self.render([message, message])
        return text[len(twice) - len(text) :]

    def _takes_system(self) -> bool:
        probe = [{"role": "system", "content": "."}, {"role": "user", "content": "."}]
        try:
            self.render(probe)
        except TemplateError:
            return False
        return True


class Conversation:
    """One dialogue: `ask` for the next prompt, then `answer` with what was said.

    `pose` asks with any earlier turns in place of those that were. A prompt extends the context
    when its turns are those of the previous prompt, the last reply and one more, and the rendered
    dialogue begins with the previous prompt and the last reply, white space around the reply aside;
    then only the text after the reply is tokenised. A template that rewrites history (dropping the
    thoughts of earlier turns, say) yields a whole new prompt, as other turns do.
    """

    def __init__(self, layout: Layout, system: str) -> None:
        """Begin a dialogue under `system`, which may be empty."""
        self.length = 0
        """Tokens of the context so far, prompts and replies."""
        self._layout = layout
        self._system = layout.as_text(system)
        self._turns: list[Message] = []
        """What was posed and answered as it was given; `_messages` are what the template gets."""
        self._messages: list[Message] = []
        self._answered = False
        self._text = ""
        self._reply = ""
        self._end = ""

    def ask(self, user: str) -> Prompt:
        """Add a user message; the prompt for the reply to it."""
        return self.pose([*self._turns, {"role": "user", "content": user}])

    def pose(self, turns: Sequence[Message]) -> Prompt:
        """The prompt for the reply to `turns`: user messages, and replies between them."""
        goes_on = self._answered and list(turns[:-1]) == self._turns
        if goes_on:
            self._messages.append(self._as_text(turns[-1]))
            text = self._layout.go_on(self._text, self._messages)
        else:
            first, *rest = map(self._as_text, turns)
            self._messages = [*self._layout.opening(self._system, first["content"]), *rest]
            text = self._layout.render(self._messages)
        new = self._after_reply(text) if goes_on else None
        self._turns, self._text, self._answered = list(turns), text, False
        if new is None:
            prompt = Prompt(self._layout.encode(text, start=True), extends=False)
            self.length = len(prompt.ids)
        else:
            prompt = Prompt(self._layout.encode(new), extends=True)
            self.length += len(prompt.ids)
        return prompt

    def answer(self, ids: Sequence[int], *, stopped: bool) -> str:
        """Add the reply sampled as `ids`, the last being an end token if `stopped`; its text."""
        self._end = self._layout.token(ids[-1]) if stopped else ""
        said = self._layout.decode(ids[:-1] if stopped else ids)
        self._turns.append({"role": "assistant", "content": said})
        self._messages.append(self._as_text(self._turns[-1]))
        self._reply = self._messages[-1]["content"]
        self._answered = True
        self.length += len(ids)
        return said

    @property
    def said(self) -> str:
        """The last reply, as a template gets it again."""
        return self._turns[-1]["content"] if self._answered else ""

    def _as_text(self, turn: Message) -> Message:
        said = turn["role"] == "assistant"
        return {**turn, "content": self._layout.as_text(turn["content"], reply=said)}

    def demonstrate(self, reply: str) -> tuple[int, ...]:
        """Add a written reply; the ids a model should learn to say, its end token included."""
        reply = self._layout.as_text(reply, reply=True)
        messages = [*self._messages, {"role": "assistant", "content": reply}]
        self._reply, self._end = reply, ""
        rest = self._after_reply(self._layout.render(messages, reply=False))
        end = self._layout.encode(rest.lstrip())[:1] if rest and rest.strip() else ()
        ids = (*self._layout.encode(reply), *end)
        self.answer(ids, stopped=bool(end))
        return ids

    def _after_reply(self, text: str) -> str | None:
        """What follows the last reply in `text`; None when `text` does not contain it as said."""
        if not text.startswith(self._text):
            return None
        said = self._reply.strip()
        tail = text[len(self._text) :].lstrip()
        if not tail.startswith(said):
            return None
        tail = tail[len(said) :]
        if self._end and tail.lstrip().startswith(self._end):
            return tail.lstrip()[len(self._end) :]
        return tail


def _added_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[set[str], set[str]]:
    """The tokens that a tokenizer finds in a text as a whole: special ones, and others."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {*tokenizer.all_special_tokens, *(t.content for t in added if t.special)}
    return special, {token.content for token in added} - special


def _spelt(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """Matches the first character of each of `tokens` in a text; spaces are no control tokens."""
    known = sorted(token for token in tokens if len(token) > 1 and token.strip())
    return re.compile(rf"(?s)(?=(?:{'|'.join(map(re.escape, known))})).") if known else None


def _by_message(template: str) -> bool:
    """Whether a chat template is seen to write each message by itself, and nothing before them.

    That is one loop over the messages, whose body names nothing but its message, and after it
    nothing that looks at the messages. Any other template is taken to need the whole dialogue.
    """
    try:
        body = Environment().parse(template).body
    except TemplateError:
        return False
    loop, rest = body[0] if body else None, body[1:]
    if not isinstance(loop, nodes.For) or not isinstance(loop.target, nodes.Name):
        return False
    if not (isinstance(loop.iter, nodes.Name) and loop.iter.name == "messages"):
        return False
    inside = {name.name for node in loop.body for name in node.find_all(nodes.Name)}
    after = {name.name for node in rest for name in node.find_all(nodes.Name)}
    return (
        not (loop.test or loop.else_)
        and inside <= {loop.target.name}
        and after <= {"add_generation_prompt"}
    )


def _text(decoded: Any) -> str:
    assert isinstance(decoded, str)
    return decoded
