"""The agent that is a language model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from layergym.agents.base import Decision, Episode, Failure, Move, OutOfContext
from layergym.agents.conversation import Conversation, Layout, Prompt
from layergym.agents.memory import EpisodeMemory, listed_actions, posed
from layergym.agents.models.requests import Request, Sample, Sampler
from layergym.agents.prompts import PromptStyle
from layergym.agents.types import Reply
from layergym.base.errors import InputError


class LLMAgent:
    """Holds one conversation per episode; replies are sampled together, and finish when they do.

    Where a prompt leaves no room for a whole reply in the model's context, earlier turns are
    forgotten (`EpisodeMemory`). An episode whose task and present observation alone leave none ends
    there: it is `OutOfContext`.
    """

    def __init__(
        self,
        sampler: Sampler,
        tokenizer: PreTrainedTokenizerBase,
        style: PromptStyle | None = None,
    ) -> None:
        """Speak through `sampler`, addressed in `style` (by default the think format).

        Raises:
            InputError: a reply may be as long as the whole context.
        """
        if sampler.max_new_tokens >= sampler.max_context:
            raise InputError(
                f"a reply of {sampler.max_new_tokens:,} tokens and its prompt do not fit into the "
                f"model's context of {sampler.max_context:,}; allow fewer new tokens"
            )
        self.sampler = sampler
        self.tokenizer = tokenizer
        self.style = style or PromptStyle()
        self._layout = Layout(tokenizer)
        self._talks: dict[int, tuple[EpisodeMemory, Conversation]] = {}
        self._posed: dict[int, Prompt] = {}
        self._moves: list[tuple[int, Move]] = []
        self._spoke = False

    def ask(self, episodes: Sequence[Episode]) -> None:
        """Take in episodes that wait for a decision.

        Raises:
            InputError: not one of the first prompts ever asked leaves room for a reply.
        """
        prompts = {episode.id: self._prompt(episode) for episode in episodes}
        self._spoke = self._spoke or any(isinstance(p, Prompt) for p in prompts.values())
        if not self._spoke and (full := [id for id, prompt in prompts.items() if prompt is None]):
            shortest = min(self._talks[id][1].length for id in full)
            raise InputError(
                f"no prompt leaves room for a reply: the shortest has {shortest:,} tokens and a "
                f"reply may have {self.sampler.max_new_tokens:,}, but the model's context holds "
                f"{self.sampler.max_context:,}; allow fewer new tokens, or take another model"
            )
        posed = [(e, p) for e in episodes if isinstance(p := prompts[e.id], Prompt)]
        self._posed.update((e.id, p) for e, p in posed)
        self._moves += [
            (id, prompt or OutOfContext())
            for id, prompt in prompts.items()
            if not isinstance(prompt, Prompt)
        ]
        self.sampler.submit([Request(e.id, p.ids, p.extends, e.seed) for e, p in posed])

    def decided(self, wait_s: float = 0.0) -> list[tuple[int, Move]]:
        """Go on sampling; what is decided by now."""
        moves, self._moves = self._moves, []
        if self._posed:
            samples = self.sampler.step(0.0 if moves else wait_s)
            moves += [(id, self._decide(id, self._posed.pop(id), said)) for id, said in samples]
        return moves

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        over = [id for id in episodes if self._talks.pop(id, None)]
        for id in over:
            self._posed.pop(id, None)
        self.sampler.release(over)

    def _prompt(self, episode: Episode) -> Prompt | Failure | None:
        admissible = listed_actions(self.style, episode)
        if isinstance(admissible, Failure):
            return admissible
        if episode.id not in self._talks:
            memory = EpisodeMemory(self.style, episode.env.instructions, episode.observation)
            self._talks[episode.id] = (memory, Conversation(self._layout, memory.system))
        memory, talk = self._talks[episode.id]
        memory.see(episode.observation, admissible)
        return posed(memory, talk, self.sampler.max_context - self.sampler.max_new_tokens)

    def _decide(self, id: int, prompt: Prompt, sample: Sample) -> Decision:
        memory, talk = self._talks[id]
        text = talk.answer(sample.ids, stopped=sample.finish == "stop")
        action, kept = memory.understand(self.style.reply.parse(text))
        memory.remember(text, action, sample.ids)
        reply = Reply(
            text,
            prompt.ids,
            sample.ids,
            sample.logprobs,
            prompt.extends,
            sample.finish,
            memory.forgotten,
        )
        return Decision(reply, action, kept)
