"""Every broken promise is found, and the sentence says how to mend it."""

import asyncio
import random
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Text

import layergym as lg
from layergym.envs.chance import seeded
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


class SeldomGlobal(Stairs):
    """So seldom that two plays hardly ever differ."""

    def play(self, action: str) -> lg.Outcome:
        outcome = super().play(action)
        return lg.Outcome("gust!") if np.random.rand() < 1e-6 else outcome


class Reseeds(Stairs):
    def start(self) -> str:
        random.seed(self.task)
        return super().start() + f", sky {random.randrange(9)}"


class Tensors(Stairs):
    """torch's shared generator is one as well."""

    def play(self, action: str) -> lg.Outcome:
        outcome = super().play(action)
        return lg.Outcome(f"{outcome.text} {torch.rand(1).item()}")


class ShufflesWhenMade(Stairs):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.skies = random.sample(range(100), 100)

    def start(self) -> str:
        return super().start() + f", sky {self.skies[0]}"


class NotANumber(Stairs):
    def play(self, action: str) -> lg.Outcome:
        return lg.Outcome("stair", float("nan"))


class Silent(Stairs):
    instructions = None  # type: ignore[assignment]


class OddIds(Stairs):
    @property
    def tasks(self) -> list[str]:
        return ["a", "b\0c"]


class NoDigest(Stairs):
    def digest(self, task: str) -> str:
        return {"x": "y"}[task]


class Leaves(Stairs):
    def play(self, action: str) -> lg.Outcome:
        sys.exit("bye")


class Cancels(Stairs):
    def play(self, action: str) -> lg.Outcome:
        raise asyncio.CancelledError


class OwnStep(Stairs):
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        text, reward, terminated, *rest = super().step(action)
        return text, reward, np.bool_(terminated), *rest  # type: ignore[return-value]


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
    SeldomGlobal: ("the whole process shares (numpy.random)", "self.np_random"),
    Reseeds: ("the whole process shares (random)", "self.np_random"),
    Tensors: ("the whole process shares (torch)", "self.np_random"),
    ShufflesWhenMade: ("replayed with the same seed", "use self.np_random"),
    NotANumber: ("the reward of an outcome is nan", "finite"),
    Silent: ("instructions is None", "must be a text"),
    OddIds: (r"'b\x00c'", "without control characters"),
    NoDigest: ("digest", "KeyError"),
    Leaves: ("SystemExit: bye", "must not raise"),
    Cancels: ("CancelledError", "must not raise"),
    OwnStep: ("do not override step()", "float, bool"),
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


class Numpy(Stairs):
    """NumPy's numbers and truths are as good as Python's."""

    def play(self, action: str) -> lg.Outcome:
        outcome = super().play(action)
        top = (np.array([self.height]) >= 5).all()
        return lg.Outcome(np.str_(outcome.text), np.float32(top), top, np.True_, np.array(top))  # type: ignore[arg-type]


def test_numpy_booleans_conform() -> None:
    assert lg.conforms(Numpy) == []


def test_shared_generators_are_put_back_and_who_drew_is_known() -> None:
    before = random.getstate()
    with seeded(1) as used:
        drawn = random.random(), torch.rand(1).item()
    assert used == ["random", "torch"]
    assert random.getstate() == before
    with seeded(1) as used:
        assert (random.random(), torch.rand(1).item()) == drawn
    with seeded(2) as used:
        pass
    assert used == []


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
