"""The agent that is a model on a server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from layergym.agents.base import Decision, Episode, Failure, Move, OutOfContext
from layergym.agents.memory import EpisodeMemory, listed_actions
from layergym.agents.prompts import PromptStyle
from layergym.agents.servers.openai_client import ChatAnswer, ChatClient, ContextFull, ServerError
from layergym.agents.types import Reply

T = TypeVar("T")
R = TypeVar("R")


class ServerAgent:
    """Keeps each episode's past and asks for all replies of a turn at once.

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

    def act(self, episodes: Sequence[Episode]) -> list[Move]:
        """Decide for each episode, in order."""
        failed = {e.id: failure for e in episodes if (failure := self._ask(e))}
        posed = [episode for episode in episodes if episode.id not in failed]
        replies = concurrently(self._decide, posed, self.client.limits.concurrency)
        decided = failed | {e.id: reply for e, reply in zip(posed, replies, strict=True)}
        return [decided[episode.id] for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        for episode in episodes:
            self._memories.pop(episode, None)

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
            answer = self._answer(episode, memory)
        except ServerError as error:
            return Failure(str(error))
        if answer is None:
            return OutOfContext()
        thought = f"<think>{answer.thought}</think>" if answer.thought else ""
        text = thought + answer.content
        parsed = self.style.reply.parse(text)
        memory.remember(answer.content, parsed.action)
        reply = Reply(text, finish=answer.finish, usage=answer.usage, forgotten=memory.forgotten)
        return Decision(reply, parsed.action, parsed.ok)

    def _answer(self, episode: Episode, memory: EpisodeMemory) -> ChatAnswer | None:
        """What the server says; None where nothing is left to forget and its context is full."""
        system = memory.system
        opening = [{"role": "system", "content": system}] if system else []
        while True:
            try:
                return self.client.complete(
                    [*opening, *memory.turns()],
                    temperature=self.temperature,
                    max_tokens=self.max_new_tokens,
                    seed=_seed(episode.seed, episode.env.turn),
                )
            except ContextFull:
                if not memory.forget():
                    return None


def concurrently(call: Callable[[T], R], items: Sequence[T], workers: int) -> list[R]:
    """`call` on every item, at most `workers` at once; results in order, the first error raised.

    The threads are daemons: an interrupt does not wait for requests that are under way.
    """
    todo: SimpleQueue[tuple[Future[R], T]] = SimpleQueue()
    futures: list[Future[R]] = [Future() for _ in items]
    for job in zip(futures, items, strict=True):
        todo.put(job)

    def work() -> None:
        while job := _next(todo):
            future, item = job
            try:
                future.set_result(call(item))
            except BaseException as error:
                future.set_exception(error)

    for _ in range(min(workers, len(items))):
        Thread(target=work, daemon=True).start()
    try:
        return [future.result() for future in futures]
    finally:
        while _next(todo):
            pass


def _next(queue: SimpleQueue[T]) -> T | None:
    try:
        return queue.get_nowait()
    except Empty:
        return None


def _seed(episode: int, turn: int) -> int:
    """31 bits, which every server takes."""
    digest = hashlib.blake2b(f"{episode}\0{turn}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
