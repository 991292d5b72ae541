"""A context policy, a form of replies and a prompt that another package adds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layergym.agents import Exchange, Parsed, Scene, View


@dataclass(frozen=True)
class newest:
    """The last exchange, in this many words at most."""

    words: str

    def view(self, past: Sequence[Exchange]) -> View:
        return View((), " ".join(f"{one.action}?" for one in past[-1:])[: int(self.words)])


@dataclass(frozen=True)
class typed:
    """`TYPE ...`."""

    argument: str
    request = "Write TYPE and the code."
    reminder = ""
    tools = ()

    def parse(self, text: str) -> Parsed:
        return Parsed(text.removeprefix("TYPE "), text.startswith("TYPE "))

    def write(self, action: str, thought: str = "") -> str:
        return f"TYPE {action}"


def brief(argument: str) -> Callable[[Scene], str]:
    return lambda scene: f"{argument} {scene.note} {scene.observation}"
