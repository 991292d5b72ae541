"""The agent that is a language model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from layergym.agents.base import Decision, Episode
from layergym.agents.conversation import Conversation, Layout, Prompt
from layergym.agents.models.sampler import Request, Sample, Sampler
from layergym.agents.parsing import parse
from layergym.agents.prompts import PromptStyle, system_text, user_text
from layergym.agents.types import Reply


class LLMAgent:
    """Holds one conversation per episode and samples all replies of a turn in one batch.

    An episode whose next prompt leaves no room for a whole reply in the model's context is given
    up, which truncates it.
    """

    def __init__(
        self,
        sampler: Sampler,
        tokenizer: PreTrainedTokenizerBase,
        style: PromptStyle | None = None,
    ) -> None:
        """Speak through `sampler`, addressed in `style` (by default the think format)."""
        self.sampler = sampler
        self.style = style or PromptStyle()
        self._layout = Layout(tokenizer)
        self._conversations: dict[int, Conversation] = {}

    def act(self, episodes: Sequence[Episode]) -> list[Decision | None]:
        """Decide for each episode, in order."""
        prompts = [self._ask(episode) for episode in episodes]
        asked = [(e, p) for e, p in zip(episodes, prompts, strict=True) if p is not None]
        samples = self.sampler.sample([Request(e.id, p.ids, p.extends, e.seed) for e, p in asked])
        decisions = {
            episode.id: self._decide(episode.id, prompt, sample)
            for (episode, prompt), sample in zip(asked, samples, strict=True)
        }
        return [decisions.get(episode.id) for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        over = [id for id in episodes if self._conversations.pop(id, None)]
        self.sampler.release(over)

    def _ask(self, episode: Episode) -> Prompt | None:
        env = episode.env
        conversation = self._conversations.get(episode.id)
        if conversation is None:
            conversation = Conversation(self._layout, system_text(self.style, env.instructions))
            self._conversations[episode.id] = conversation
        admissible = env.admissible() if self.style.admissible else None
        prompt = conversation.ask(user_text(self.style, episode.observation, admissible))
        fits = conversation.length + self.sampler.max_new_tokens <= self.sampler.max_context
        return prompt if fits else None

    def _decide(self, id: int, prompt: Prompt, sample: Sample) -> Decision:
        text = self._conversations[id].answer(sample.ids, stopped=sample.finish == "stop")
        parsed = parse(text, self.style.format)
        reply = Reply(text, prompt.ids, sample.ids, sample.logprobs, prompt.extends, sample.finish)
        return Decision(reply, parsed.action, parsed.ok)
