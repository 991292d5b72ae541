"""The agent that is a model on a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial

from layergym.agents.base import Decision, Episode, Failure, Move, OutOfContext
from layergym.agents.memory import EpisodeMemory, listed_actions
from layergym.agents.prompts import PromptStyle, Turns
from layergym.agents.servers.errands import Errands
from layergym.agents.servers.openai_client import ChatAnswer, ChatClient, ContextFull, ServerError
from layergym.agents.types import Reply


class ServerAgent:
    """Keeps each episode's past; many requests are under way at once.

    A request that fails for good is a `Failure` of its own episode only. What outgrows the model's
    context is forgotten or given up, as `LLMAgent` does.

    The server lays the dialogue out with its own chat template and ends replies by its own rules;
    reasoning that it keeps apart is put back in front of the reply, inside <think> tags, and is
    not sent again with later turns.
    """

    def __init__(
        self,
        client: ChatClient,
        style: PromptStyle | None = None,
        *,
        temperature: float = 1.0,
        max_new_tokens: int = 512,
    ) -> None:
        """Speak through `client`, addressed in `style` (by default the think format)."""
        self.client = client
        self.style = style or PromptStyle()
        self.temperature = temperature
        self.max_new_tokens = max_new_tokens
        self._memories: dict[int, EpisodeMemory] = {}
        self._said: dict[int, Turns] = {}
        self._errands: Errands[Move] = Errands(client.limits.concurrency)
        self._asked: dict[int, int] = {}
        self._failed: list[tuple[int, Move]] = []

    def ask(self, episodes: Sequence[Episode]) -> None:
        """Take in episodes that wait for a decision."""
        for episode in episodes:
            if failure := self._ask(episode):
                self._failed.append((episode.id, failure))
            else:
                self._asked[self._errands.start(partial(self._decide, episode))] = episode.id

    def decided(self, wait_s: float = 0.0) -> list[tuple[int, Move]]:
        """What the server has answered, or will within `wait_s` seconds."""
        moves, self._failed = self._failed, []
        if self._asked:
            for number, move in self._errands.finished(0.0 if moves else wait_s):
                if number in self._asked:
                    moves.append((self._asked.pop(number), move.result()))
        return moves

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over, or given up."""
        over = set(episodes)
        for episode in over:
            self._memories.pop(episode, None)
            self._said.pop(episode, None)
        self._asked = {number: e for number, e in self._asked.items() if e not in over}
        if not self._asked:
            self._errands.drop()

    def _ask(self, episode: Episode) -> Failure | None:
        admissible = listed_actions(self.style, episode)
        if isinstance(admissible, Failure):
            return admissible
        if episode.id not in self._memories:
            self._memories[episode.id] = EpisodeMemory(
                self.style, episode.env.instructions, episode.observation
            )
        self._memories[episode.id].see(episode.observation, admissible)
        return None

    def _decide(self, episode: Episode) -> Move:
        memory = self._memories[episode.id]
        try:
            answer, sent = self._answer(episode, memory)
        except ServerError as error:
            return Failure(str(error))
        if answer is None:
            return OutOfContext()
        thought = f"<think>{answer.thought}</think>" if answer.thought else ""
        text = thought + answer.content
        action, kept = memory.understand(self.style.reply.parse(text))
        memory.remember(answer.content, action)
        before = self._said.get(episode.id, [])
        extends = bool(before) and sent[: len(before)] == before
        self._said[episode.id] = [*sent, {"role": "assistant", "content": answer.content}]
        reply = Reply(
            text,
            extends=extends,
            finish=answer.finish,
            usage=answer.usage,
            forgotten=memory.forgotten,
            asked=_as_text(sent[len(before) :] if extends else sent),
        )
        return Decision(reply, action, kept)

    def _answer(self, episode: Episode, memory: EpisodeMemory) -> tuple[ChatAnswer | None, Turns]:
        """What the server says, and to what; None where its context is full of what must stay."""
        system = memory.system
        opening = [{"role": "system", "content": system}] if system else []
        while True:
            sent = [*opening, *memory.turns()]
            try:
                answer = self.client.complete(
                    sent,
                    temperature=self.temperature,
                    max_tokens=self.max_new_tokens,
                    seed=_seed(episode.seed, episode.env.turn),
                )
                return answer, sent
            except ContextFull:
                if not memory.forget():
                    return None, sent


def _as_text(messages: Turns) -> str:
    return "\n\n".join(f"[{each['role']}]\n{each['content']}" for each in messages)


def _seed(episode: int, turn: int) -> int:
    """31 bits, which every server takes."""
    digest = hashlib.blake2b(f"{episode}\0{turn}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
