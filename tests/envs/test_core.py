"""The environment contract."""

from collections.abc import Iterator

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import layergym as lg


class Counting(lg.TextEnv):
    """Say the numbers in order."""

    max_turns = 4

    @property
    def tasks(self) -> list[str]:
        return [f"{self.split}-{n}" for n in range(3)]

    def start(self) -> str:
        self.said = int(self.np_random.integers(100))
        return f"start {self.said}"

    def play(self, action: str) -> lg.Outcome:
        self.said += 1
        if action == str(self.said):
            return lg.Outcome("done", 1.0, terminated=True, success=True)
        return lg.Outcome(f"no {self.np_random.integers(100)}", valid=action.isdigit())


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    lg.register("test/Counting-v0", Counting)
    yield
    del gymnasium.registry["test/Counting-v0"]


def test_gymnasium_finds_and_accepts_it() -> None:
    env = gymnasium.make("test/Counting-v0", split="test")
    assert env.reset(options={"task": "test-1"})[1]["task"] == "test-1"
    check_env(env.unwrapped, skip_render_check=True)


def test_it_conforms() -> None:
    assert lg.conforms("test/Counting-v0") == []


def test_start_depends_on_the_task_and_dynamics_on_the_seed() -> None:
    env = lg.make("counting-v0")
    starts, replies = set(), set()
    for seed in range(8):
        starts.add(env.reset(seed=seed, options={"task": "train-2"})[0])
        replies.add(env.step("x")[0])
    assert len(starts) == 1
    assert len(replies) > 1


def test_turn_limit_truncates_and_then_asks_for_reset() -> None:
    env = lg.make("counting-v0")
    env.reset(seed=0)
    ends = [env.step("x")[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("x")


def test_default_state_key_tells_histories_apart() -> None:
    keys = set()
    for actions in (["a", "b"], ["ab"], ["b", "a"]):
        env = lg.make("counting-v0")
        env.reset(seed=0, options={"task": "train-0"})
        for action in actions:
            env.step(action)
        keys.add(env.state_key())
    assert len(keys) == 3


def test_clone_is_independent() -> None:
    env = lg.make("counting-v0")
    text, _ = env.reset(seed=0, options={"task": "train-0"})
    twin = env.clone()
    env.step("x")
    assert twin.step(str(int(text.split()[1]) + 1))[2]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments_carry_texts(mode: str) -> None:
    vector = gymnasium.make_vec("test/Counting-v0", num_envs=2, vectorization_mode=mode)
    texts, _ = vector.reset(seed=3, options={"task": "train-0"})
    assert len(set(texts)) == 1
    assert texts[0].startswith("start ")
    texts, *_ = vector.step(("é", "\N{SNOWMAN}"))
    assert all(text.startswith("no ") for text in texts)
    vector.close()


def test_errors_say_what_to_do() -> None:
    with pytest.raises(lg.InputError, match='did you mean "counting-v0"'):
        lg.make("countin-v0")
    with pytest.raises(lg.InputError, match='no split "tests"; did you mean "test"'):
        lg.make("counting-v0", split="tests")
    with pytest.raises(lg.InputError, match='did you mean "train-1"'):
        lg.make("counting-v0").reset(options={"task": "train-11"})
    with pytest.raises(lg.InputError, match="does not take these settings"):
        lg.make("counting-v0", rooms=3)
    with pytest.raises(lg.InputError, match="is taken by"):
        lg.register("test/Counting-v0", lg.TextEnv)
    with pytest.raises(TypeError, match="an action is a str"):
        lg.make("counting-v0").step(3)  # type: ignore[arg-type]


def test_panels_are_fixed_nested_and_hashed() -> None:
    env = lg.make("counting-v0")
    small, whole = lg.panel(env, 2), lg.panel(env)
    assert set(small.tasks) < set(whole.tasks)
    assert small == lg.panel(lg.make("counting-v0"), 2)
    assert small.hash != whole.hash != lg.panel(lg.make("counting-v0", split="test")).hash
    with pytest.raises(lg.InputError, match="has 3 tasks; 4 were asked for"):
        lg.panel(env, 4)
