"""Environments on an OpenEnv server: run where openenv is installed."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest

import layergym as lg
from layergym.agents import HumanAgent, Job, rollout
from layergym.base.errors import ContractError
from layergym.envs.conformance import conforms

pytestmark = pytest.mark.real

SERVER = """
import sys, uvicorn
from layergym.envs.adapters.openenv import app
uvicorn.run(app("alfworld-v0", max_receptacles=5), port=int(sys.argv[1]), log_level="critical")
"""


@pytest.fixture
def url() -> Iterator[str]:
    """A real OpenEnv server of ours."""
    pytest.importorskip("openenv.core")
    server = subprocess.Popen([sys.executable, "-c", SERVER, "8127"])
    try:
        yield "http://localhost:8127"
    finally:
        server.terminate()
        server.wait()


def test_a_server_of_openenv_is_played(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        env = lg.make("openenv-v0", url=url)
        try:
            env.reset(seed=0)
            break
        except lg.InputError:
            assert time.monotonic() < deadline
            time.sleep(1)
    assert env.step("inventory")[4]["valid"]
    env.close()
    assert conforms(lambda: lg.make("openenv-v0", url=url)) == []
    with pytest.raises(lg.InputError, match='shows no "output"'):
        lg.make("openenv-v0", url=url, sees="output").reset()


def test_no_server_is_an_input_error() -> None:
    pytest.importorskip("openenv.core")
    with pytest.raises(lg.InputError, match="no OpenEnv server answers"):
        lg.make("openenv-v0", url="http://localhost:9").reset()


@pytest.fixture
def odd() -> Iterator[tuple[str, dict[str, str]]]:
    """A server that answers as it should but for what is put into `says`, as JSON."""
    pytest.importorskip("openenv.core")
    serve = pytest.importorskip("websockets.sync.server").serve
    says = {"reward": "0", "done": "false", "observation": '{"text": "here"}'}

    def answer(connection: Any) -> None:
        for message in connection:
            if json.loads(message)["type"] == "close":
                return
            data = ", ".join(f'"{name}": {value}' for name, value in says.items())
            connection.send(f'{{"type": "observation", "data": {{{data}}}}}')

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}", says
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "reward", ["NaN", "Infinity", "-Infinity", "1e999", "1e30", '"1"', "[1]", "{}", "1" * 400]
)
def test_a_reward_that_is_no_finite_number_ends_the_episode(
    reward: str, odd: tuple[str, dict[str, str]]
) -> None:
    url, says = odd
    env = lg.make("openenv-v0", url=url)
    env.reset(seed=0)
    says["reward"] = "0.5"
    assert env.step("on")[1] == 0.5
    says["reward"] = reward
    with pytest.raises(ContractError, match="the server's reward"):
        env.step("on")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("on")
    says.update(reward="null", done='"false"')
    env.reset(seed=0)
    with pytest.raises(ContractError, match="the server's done"):
        env.step("on")
    says["done"] = "true"
    env.reset(seed=0)
    assert env.step("on")[1:3] == (0.0, True)
    env.close()


def test_an_episode_whose_server_gives_nan_is_an_error_and_no_score(
    odd: tuple[str, dict[str, str]],
) -> None:
    url, says = odd
    says["reward"] = "NaN"
    jobs = [Job("train-0000", 0)]
    agent = HumanAgent(ask=lambda _: "on", show=lambda _: None)
    [played] = rollout(agent, lambda: lg.make("openenv-v0", url=url), jobs)
    assert played.ended == "error"
    assert "finite" in played.error
    assert played.total_reward == 0.0


@pytest.mark.parametrize("observation", ["[]", "null", "7", "{}", '["text"]', '"text"'])
def test_an_observation_without_the_field_is_an_input_error(
    observation: str, odd: tuple[str, dict[str, str]]
) -> None:
    url, says = odd
    says["observation"] = observation
    env = lg.make("openenv-v0", url=url)
    with pytest.raises(lg.InputError, match='shows no "text"'):
        env.reset(seed=0)
    env.close()
