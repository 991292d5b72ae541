"""Every broken promise is found, and the sentence says how to mend it."""

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from gymnasium.spaces import Text

import layergym as lg
from layergym.envs.conformance import Pace, pace, slowness


class Stairs(lg.TextEnv):
    """Climb five stairs; chance decides how far a jump gets."""

    max_turns = 10

    def start(self) -> str:
        self.height = int(self.np_random.integers(2))
        return f"stair {self.height}"

    def state_key(self) -> Any:
        return (self.turn, self.height)

    def admissible(self) -> list[str]:
        return ["jump", "walk"]

    def expert(self) -> str | None:
        return "walk"

    def play(self, action: str) -> lg.Outcome:
        if action not in ("jump", "walk"):
            return lg.Outcome("what?", valid=False)
        self.height += int(self.np_random.integers(3)) if action == "jump" else 1
        top = self.height >= 5
        return lg.Outcome(f"stair {self.height}", float(top), terminated=top, success=top)


class Remembers(Stairs):
    episodes = 0

    def start(self) -> str:
        Remembers.episodes += 1
        return super().start() + f", episode {Remembers.episodes}"


class GlobalChance(Stairs):
    def play(self, action: str) -> lg.Outcome:
        outcome = super().play(action)
        return lg.Outcome(f"{outcome.text} {random.random()}")


class CoarseKey(Stairs):
    def state_key(self) -> Any:
        return self.height // 2


class FixedAlphabet(Stairs):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.action_space = Text(100)


class Fragile(Stairs):
    def play(self, action: str) -> lg.Outcome:
        return lg.Outcome(action.split()[0])


class Refuses(Stairs):
    def admissible(self) -> list[str]:
        return ["sing"]


class Endless(Stairs):
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        text, reward, *_, info = super().step(action)
        self._running = True
        return text, reward, False, False, info


class AnyTask(Stairs):
    def has_task(self, task: str) -> bool:
        return True


class Hoards(Stairs):
    seen: list[str]

    def start(self) -> str:
        self.seen = [*getattr(self, "seen", []), "x" * 5000 + str(len(getattr(self, "seen", [])))]
        return super().start()


class KeepsThreads(Stairs):
    def start(self) -> str:
        if not hasattr(self, "stop"):
            self.stop = threading.Event()
            threading.Thread(target=self.stop.wait, args=(20,), daemon=True).start()
        return super().start()


class KeepsFiles(Stairs):
    files: list[Any] = []  # noqa: RUF012

    def start(self) -> str:
        if not hasattr(self, "file"):
            self.file = Path(__file__).open()  # noqa: SIM115
            self.files.append(self.file)
        return super().start()


BROKEN: dict[type[lg.TextEnv], tuple[str, str]] = {
    Remembers: ("starts differently", "keep no state"),
    GlobalChance: ("replayed with the same seed", "use self.np_random"),
    CoarseKey: ("state_key() is the same, but then", "put what differs into the key"),
    FixedAlphabet: ("action_space does not hold every text", "leave it"),
    Fragile: ("IndexError", "must not raise"),
    Refuses: ('admissible() lists "sing"', "calls it invalid"),
    Endless: ("goes on after max_turns=10", "do not override step()"),
    AnyTask: ("accepts a task", "do not override"),
    Hoards: ("bytes behind", "start()"),
    KeepsThreads: ("leaves a thread behind", "close()"),
    KeepsFiles: ("leaves an open file behind", "close()"),
}


def test_a_good_environment_keeps_every_promise() -> None:
    assert lg.conforms(Stairs) == []


@pytest.mark.parametrize("env", BROKEN, ids=lambda env: env.__name__)
def test_a_broken_promise_is_named(env: type[lg.TextEnv]) -> None:
    problems = "\n".join(lg.conforms(env))
    for part in BROKEN[env]:
        assert part in problems
    for file in KeepsFiles.files:
        file.close()


def test_a_good_environment_has_no_leak_beside_others_that_work() -> None:
    stop = threading.Event()
    other = threading.Thread(target=stop.wait, daemon=True)
    other.start()
    assert lg.conforms(Stairs) == []
    stop.set()


def test_slow_steps_are_to_be_declared_or_made_faster() -> None:
    assert "set step_timeout_s" in slowness(Pace(0.1, 2.0, 1.5), None)
    assert slowness(Pace(0.1, 2.0, 1.5), 30.0) == slowness(Pace(0.1, 2.0, 0.5), None) == ""


def test_pace_is_in_seconds() -> None:
    found = pace(Stairs)
    assert 0 < found.quickest_step_s <= found.step_s < 0.1
    assert 0 < found.reset_s < 0.1
