"""The agent that is a language model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from layergym.agents.base import Decision, Episode, Failure, Move, OutOfContext, asked
from layergym.agents.conversation import Conversation, Layout, Prompt
from layergym.agents.models.requests import Request, Sample, Sampler
from layergym.agents.parsing import parse
from layergym.agents.prompts import PromptStyle, system_text, user_text
from layergym.agents.types import Reply
from layergym.base.errors import InputError


class LLMAgent:
    """Holds one conversation per episode; replies are sampled together, and finish when they do.

    An episode whose next prompt leaves no room for a whole reply in the model's context ends there:
    it is `OutOfContext`.
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
        self.style = style or PromptStyle()
        self._layout = Layout(tokenizer)
        self._conversations: dict[int, Conversation] = {}
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
            shortest = min(self._conversations[id].length for id in full)
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
        over = [id for id in episodes if self._conversations.pop(id, None)]
        for id in over:
            self._posed.pop(id, None)
        self.sampler.release(over)

    def _prompt(self, episode: Episode) -> Prompt | Failure | None:
        admissible = asked(Episode.admissible, episode) if self.style.admissible else None
        if isinstance(admissible, Failure):
            return admissible
        env = episode.env
        conversation = self._conversations.get(episode.id)
        if conversation is None:
            conversation = Conversation(self._layout, system_text(self.style, env.instructions))
            self._conversations[episode.id] = conversation
        prompt = conversation.ask(user_text(self.style, episode.observation, admissible))
        fits = conversation.length + self.sampler.max_new_tokens <= self.sampler.max_context
        return prompt if fits else None

    def _decide(self, id: int, prompt: Prompt, sample: Sample) -> Decision:
        text = self._conversations[id].answer(sample.ids, stopped=sample.finish == "stop")
        parsed = parse(text, self.style.format)
        reply = Reply(text, prompt.ids, sample.ids, sample.logprobs, prompt.extends, sample.finish)
        return Decision(reply, parsed.action, parsed.ok)
