"""SmolLM2 in this process and behind a real server (`transformers serve`): the same episodes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

import pytest

import layergym as lg
from layergym.agents.models.pull import pulled
from layergym.agents.servers.openai_client import RequestLimits
from layergym.agents.trajectories import NAME, read_records
from layergym.agents.types import Trajectory
from layergym.envs.core import Outcome, TextEnv
from layergym.evals.score.contest import Contest, ContestSpec
from layergym.evals.score.standings import standings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORDS = ("red", "seven", "river", "Paris")


class Talk(TextEnv):
    """Say a word back; task k goes on for k turns."""

    splits = ("test",)
    instructions = "Answer in a few words."

    def start(self) -> str:
        self.left = int(self.task[-1]) % 4 + 1
        return f"Say the word {WORDS[self.left - 1]}."

    def play(self, action: str) -> Outcome:
        self.left -= 1
        over = self.left == 0
        text = f"You said {len(action)} letters. Say the word {WORDS[self.left]}."
        return Outcome(text, terminated=over, success=over and "red" in action.lower())


lg.register("test/Talk-v0", Talk)


@pytest.fixture
def serve(smollm2: str, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the server, always on the same port; it is named by the fixture `name`."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        model, port = pulled(smollm2), _port(tmp_path)
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
        log = (tmp_path / "serve.log").open("ab")
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=log,
            stderr=log,
        )
        log.close()
        started.append(server)
        for _ in range(1200):
            with suppress(URLError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                return server
            assert server.poll() is None, (tmp_path / "serve.log").read_text()
            time.sleep(0.25)
        raise TimeoutError("the server does not come up")

    yield start
    for server in started:
        server.kill()
        server.wait()


def _port(folder: Path) -> int:
    """A free port, the same one whenever it is asked for."""
    note = folder / "port"
    if not note.exists():
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            note.write_text(str(one.getsockname()[1]))
    return int(note.read_text())


def texts(contest: Contest, agent: str) -> dict[str, list[str]]:
    played = contest.played(agent, 0).values()
    return {t.task: [turn.reply.text for turn in t.turns] for t in played}


def test_a_server_gives_the_same_greedy_episodes_even_when_it_is_killed(
    serve: Callable[[], subprocess.Popen[bytes]], smollm2: str, tmp_path: Path
) -> None:
    name = f"openai:{pulled(smollm2)}@http://127.0.0.1:{_port(tmp_path)}/v1"
    spec = ContestSpec(
        env="test/Talk-v0",
        agents=(smollm2, name),
        size=8,
        temperature=0,
        max_new_tokens=8,
        format="plain",
    )
    contest = Contest.open(spec, tmp_path / "eval")
    server = serve()

    def kill(agent: str, _: Trajectory) -> None:
        if agent == name:
            server.kill()
            server.wait()

    contest.play(RequestLimits(retries=0), kill)
    cut = standings(contest).rows[1]
    assert cut.episodes >= 1 and cut.errors >= 1
    done = {job: t for job, t in contest.played(name, 0).items() if t.ended != "error"}

    serve()
    contest.play(RequestLimits(retries=0))
    here, served = standings(contest).rows
    assert (served.episodes, served.errors, served.missing) == (8, 0, 0)
    records = [r.trajectory for r in read_records(contest.run_folder(name, 0) / NAME)]
    clean = Counter((t.task, t.seed) for t in records if t.ended != "error")
    assert clean == Counter((job.task, job.seed) for job in contest.jobs(0))
    assert done.items() <= contest.played(name, 0).items()

    assert texts(contest, name) == texts(contest, smollm2)
    assert served.score == here.score
    outcomes = [[t.success for t in contest.played(a, 0).values()] for a in (name, smollm2)]
    assert sorted(outcomes[0]) == sorted(outcomes[1])
    assert served.completion_tokens and served.prompt_tokens
