"""What an agent keeps of one episode, from which each prompt is written."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.agents.base import Episode, Failure, asked
from layergym.agents.contexts import Exchange
from layergym.agents.conversation import Conversation, Prompt
from layergym.agents.formats import Parsed
from layergym.agents.prompts import PromptStyle, Scene, Turns, turns_of


class EpisodeMemory:
    """One episode so far: what the style's context policy shows of it goes into the prompts.

    What no longer fits into the model's context is forgotten by one rule, whatever the policy: the
    older half of the turns that the prompt shows, and again until it fits. So the next prompts
    have room to grow, and nothing is forgotten at every turn.
    """

    def __init__(self, style: PromptStyle, instructions: str, task: str) -> None:
        """Begin an episode whose first observation is `task`."""
        self.forgotten = 0
        """Turns, from the first on, that no longer had room."""
        self.shown = 0
        """Earlier turns that the last prompt showed."""
        self._style = style
        self._now = Scene(instructions, task, task)
        self._past: list[Exchange] = []
        self._user = ""
        self.system = style.system(self._now)
        """The system message, the same at every turn."""

    def see(self, observation: str, admissible: Sequence[str] | None) -> None:
        """Take in what the environment says now."""
        listed = None if admissible is None else tuple(admissible)
        self._now = Scene(
            self._now.instructions, self._now.task, observation, len(self._past), listed
        )

    def turns(self) -> Turns:
        """The messages of the next prompt, the system's aside."""
        now = self._now
        view = self._style.context.view(tuple(self._past[self.forgotten :]))
        scene = Scene(now.instructions, now.task, now.observation, now.turn, now.admissible, view)
        self.shown = len(view.exchanges)
        self._user = self._style.user(scene)
        return turns_of(self._style, scene, self._user)

    def forget(self) -> bool:
        """Forget the older half of what the last prompt showed; False where it showed nothing."""
        if self.shown:
            self.forgotten = len(self._past) - self.shown // 2
            self.shown //= 2
            return True
        return False

    def understand(self, parsed: Parsed) -> tuple[str, bool]:
        """The action that a reply means, as it was listed, and whether it kept to its form."""
        listed = self._now.admissible or ()
        action = as_listed(parsed.action, listed)
        return action, parsed.ok or (parsed.plain and action in listed)

    def remember(self, reply: str, action: str, ids: tuple[int, ...] = ()) -> None:
        """Take in what was said."""
        now = self._now
        self._past.append(Exchange(now.observation, self._user, reply, action, now.admissible, ids))


def as_listed(action: str, listed: Sequence[str]) -> str:
    """The one listed action that equals `action` but for case, white space and a full stop.

    `action` itself where there is none, or more than one.
    """
    if action in listed:
        return action
    alike = [one for one in listed if _plain(one) == _plain(action)]
    return alike[0] if len(alike) == 1 else action


def _plain(action: str) -> str:
    return " ".join(action.casefold().removesuffix(".").split())


def posed(memory: EpisodeMemory, talk: Conversation, room: int | None = None) -> Prompt | None:
    """The next prompt, of `room` tokens at most, and so without the oldest turns if need be.

    None where the task and the present observation alone take more.
    """
    prompt = talk.pose(memory.turns())
    while room is not None and talk.length > room:
        if not memory.forget():
            return None
        prompt = talk.pose(memory.turns())
    return prompt


def listed_actions(style: PromptStyle, episode: Episode) -> list[str] | Failure | None:
    """The admissible actions that a prompt lists, if it lists any."""
    return asked(Episode.admissible, episode) if style.lists_actions else None
