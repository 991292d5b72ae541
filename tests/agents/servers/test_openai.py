"""A model on a server: what is asked, who is patient, and what a failure costs."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from layergym.agents.base import Decision, Episode, continuous
from layergym.agents.contexts import CONTEXTS
from layergym.agents.names import Speech, open_agent, open_model
from layergym.agents.prompts import PromptStyle
from layergym.agents.rollouts import Job, rollout
from layergym.agents.servers.errands import Errands
from layergym.agents.servers.openai_agent import ServerAgent
from layergym.agents.servers.openai_client import (
    ChatClient,
    ContextFull,
    Endpoint,
    RequestLimits,
    ServerError,
)
from layergym.agents.turn_details import details_of
from layergym.agents.types import Usage
from layergym.base.errors import InputError
from layergym.envs.core import Outcome, TextEnv
from tests.http_server import HttpServer

Answer = tuple[int, dict[str, str], Any]
"""Status, headers and body."""


def said(content: str | None, **message: str) -> Answer:
    choice = {"message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return 200, {}, {"choices": [{**choice, "finish_reason": "stop"}], "usage": usage}


@dataclass
class Server:
    """A real one on this machine, which answers as the test says and remembers the requests."""

    answer: Callable[[dict[str, Any]], Answer] = lambda _: said("up")
    asked: list[dict[str, Any]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    busy: int = 0
    busiest: int = 0

    def client(self, **limits: Any) -> ChatClient:
        return ChatClient(Endpoint("m", self.url), RequestLimits(**limits))

    def ask(self, **limits: Any) -> str:
        client = self.client(**limits)
        return client.complete([USER], temperature=0.0, max_tokens=5, seed=1).content


USER = {"role": "user", "content": "hello"}


@pytest.fixture
def server() -> Iterator[Server]:
    state, lock = Server(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # Connections are kept.

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                state.asked.append({**body, "path": self.path})
                state.at.append(time.monotonic())
                state.keys.append(self.headers.get("Authorization"))
                state.busy += 1
                state.busiest = max(state.busiest, state.busy)
            status, headers, value = state.answer(body)
            with lock:
                state.busy -= 1
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    http = HttpServer(("127.0.0.1", 0), Handler)
    http.handle_error = lambda *_: None  # type: ignore[method-assign]  # A client that hung up.
    state.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def in_turn(*answers: Answer) -> Callable[[dict[str, Any]], Answer]:
    """These answers, one after another."""
    left = list(answers)
    return lambda _: left.pop(0)


# ---- addresses ---------------------------------------------------------------------------------


def test_a_name_holds_a_model_and_an_address() -> None:
    parsed = Endpoint.parse("openai:org/model@http://localhost:8000/v1/")
    assert parsed == Endpoint("org/model", "http://localhost:8000/v1")
    assert Endpoint.parse("openai:@cf/some@https://h/v1").model == "@cf/some"


def test_without_an_address_it_is_the_usual_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert Endpoint.parse("openai:m").url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy/v1")
    assert Endpoint.parse("openai:m").url == "http://proxy/v1"


@pytest.mark.parametrize(
    "name", ["openai:", "openai:@http://h/v1", "openai:m@localhost:8000", "openai:m@http:///v1"]
)
def test_an_address_that_is_none(name: str) -> None:
    with pytest.raises(InputError, match="names no server"):
        Endpoint.parse(name)


def test_a_key_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY") as caught:
        Endpoint.parse("openai:m@http://user:secret@host/v1")
    assert "secret" not in str(caught.value)


def test_a_server_cannot_be_trained() -> None:
    with pytest.raises(InputError, match="not trained"):
        open_model("openai:m@http://localhost/v1")


@pytest.mark.parametrize("limits", [{"concurrency": 0}, {"timeout_s": 0}, {"per_minute": 0}])
def test_limits_that_never_work(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RequestLimits(**limits)


# ---- one request -------------------------------------------------------------------------------


def test_the_request_says_how_to_sample(server: Server) -> None:
    answer = server.client().complete([USER], temperature=0.5, max_tokens=9, seed=4)
    assert answer.usage == Usage(7, 3)
    assert server.asked == [
        {
            "path": "/v1/chat/completions",
            "model": "m",
            "messages": [USER],
            "temperature": 0.5,
            "max_tokens": 9,
            "seed": 4,
            "top_p": 1.0,
        }
    ]


def test_the_key_goes_into_the_header_and_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.answer = lambda _: (401, {}, {"error": {"message": "wrong key sk-secret"}})
    with pytest.raises(ServerError, match=r"answered 401: wrong key \*\*\*"):
        server.ask()
    assert server.keys == ["Bearer sk-secret"]


def test_without_a_key_none_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server.ask()
    assert server.keys == [None]


def test_a_refusal_is_final(server: Server) -> None:
    server.answer = lambda _: (404, {}, {"detail": "no such model"})
    with pytest.raises(ServerError, match="404: no such model"):
        server.ask()
    assert len(server.asked) == 1


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.answer = lambda _: (302, {"Location": "http://127.0.0.1:9/"}, {})
    with pytest.raises(ServerError, match="answered 302"):
        server.ask()


@pytest.mark.parametrize("body", [b"<html>", {"choices": []}, [], {"choices": [{}]}])
def test_an_answer_that_is_no_completion(server: Server, body: Any) -> None:
    server.answer = lambda _: (200, {}, body)
    with pytest.raises(ServerError, match="did not answer with a chat completion"):
        server.ask()


def test_a_context_that_is_full(server: Server) -> None:
    text = "This model's maximum context length is 512 tokens."
    server.answer = lambda _: (400, {}, {"error": {"message": text}})
    with pytest.raises(ContextFull):
        server.ask()


# ---- patience ----------------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_when_it_says(server: Server) -> None:
    server.answer = in_turn((429, {"Retry-After": "1"}, {}), said("up"))
    assert server.ask() == "up"
    assert server.at[1] - server.at[0] >= 1


def test_a_failing_server_is_asked_again_ever_more_slowly(server: Server) -> None:
    server.answer = in_turn((500, {}, {}), (503, {}, {}), said("up"))
    assert server.ask() == "up"
    first, second = (b - a for a, b in zip(server.at, server.at[1:], strict=False))
    assert first < 0.9 <= second


def test_patience_ends(server: Server) -> None:
    server.answer = lambda _: (503, {}, {"error": "overloaded"})
    with pytest.raises(ServerError, match="503: overloaded"):
        server.ask(retries=1)
    assert len(server.asked) == 2


def test_a_silent_server_is_asked_again(server: Server) -> None:
    wake = threading.Event()

    def slow_once(_: dict[str, Any]) -> Answer:
        if len(server.asked) == 1:
            wake.wait(5)
        return said("up")

    server.answer = slow_once
    assert server.ask(timeout_s=0.2, retries=1) == "up"
    wake.set()
    assert len(server.asked) == 2


def test_a_server_that_is_gone() -> None:
    client = ChatClient(Endpoint("m", "http://127.0.0.1:1/v1"), RequestLimits(retries=0))
    with pytest.raises(ServerError, match=r"does not answer: .*refused"):
        client.complete([USER], temperature=0.0, max_tokens=5, seed=1)


def test_requests_keep_their_pace(server: Server) -> None:
    client = server.client(per_minute=600)
    ask_often(client, 4, at_once=4)
    assert server.at[-1] - server.at[0] >= 0.2


def test_as_many_at_once_as_were_allowed(server: Server) -> None:
    def slow(_: dict[str, Any]) -> Answer:
        time.sleep(0.05)
        return said("up")

    server.answer = slow
    client = server.client(concurrency=3)
    ask_often(client, 9, at_once=3)
    assert server.busiest == 3


def ask_often(client: ChatClient, times: int, *, at_once: int) -> None:
    errands: Errands[object] = Errands(at_once)
    for seed in range(times):
        errands.start(partial(client.complete, [USER], temperature=0.0, max_tokens=5, seed=seed))
    back = 0
    while back < times:
        back += len([answer.result() for _, answer in errands.finished(math.inf)])


# ---- episodes ----------------------------------------------------------------------------------


class Ladder(TextEnv):
    """Two rungs."""

    instructions = "Say up."
    max_turns = 4

    def start(self) -> str:
        self.rung = 0
        return f"Foot of {self.task}."

    def play(self, action: str) -> Outcome:
        self.rung += action == "up"
        top = self.rung == 2
        return Outcome(f"Rung {self.rung}.", float(top), top, action == "up", top)

    def admissible(self) -> Sequence[str]:
        return ["up", "down"]


def play(server: Server, tasks: Sequence[str], **settings: Any) -> list[Any]:
    agent = ServerAgent(server.client(retries=0), PromptStyle("plain"), **settings)
    return rollout(agent, Ladder, [Job(task, seed) for seed, task in enumerate(tasks)])


def test_an_episode_is_one_dialogue(server: Server) -> None:
    [played] = play(server, ["train-0001"])
    assert played.success
    assert [turn.reply.usage for turn in played.turns] == [Usage(7, 3)] * 2
    assert [m["content"] for m in server.asked[1]["messages"]] == [
        "Say up.",
        "Foot of train-0001.",
        "up",
        "Rung 1.",
    ]


def test_what_a_server_was_sent_is_kept_once(server: Server) -> None:
    [played] = play(server, ["train-0001"])
    first, second = details_of(played, None)
    assert first.prompt == "[system]\nSay up.\n\n[user]\nFoot of train-0001."
    assert (second.extends, second.prompt) == (True, "[user]\nRung 1.")
    style = PromptStyle("plain", context=CONTEXTS.open("last:0"))
    agent = ServerAgent(server.client(retries=0), style)
    [played] = rollout(agent, Ladder, [Job("train-0001", 0)])
    _, second = details_of(played, None)
    assert not second.extends, "another prompt than before, not more of it"
    assert "Say up." in second.prompt and "Rung 1." in second.prompt


def test_seeds_follow_from_the_episode_and_the_turn(server: Server) -> None:
    play(server, ["train-0001", "train-0002"])
    seeds = sorted(body["seed"] for body in server.asked)
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    server.asked.clear()
    play(server, ["train-0001", "train-0002"])
    assert sorted(body["seed"] for body in server.asked) == seeds


def test_a_request_that_fails_for_good_costs_its_own_episode_only(server: Server) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        broken = "0002" in str(body["messages"])
        return (403, {}, {"error": "forbidden"}) if broken else said("up")

    server.answer = answer
    first, second, third = play(server, ["train-0001", "train-0002", "train-0003"])
    assert (first.ended, second.ended, third.ended) == ("terminated", "error", "terminated")
    assert "answered 403: forbidden" in second.error


def test_a_full_context_ends_the_episode_as_in_process(server: Server) -> None:
    full: Answer = (400, {}, {"error": {"message": "context length"}})
    server.answer = in_turn(said("down"), full, said("down"), full, full)
    [played] = play(server, ["train-0004"])
    assert [turn.reply.forgotten for turn in played.turns] == [0, 1]
    assert [len(asked["messages"]) for asked in server.asked] == [2, 4, 2, 4, 2]
    assert (played.ended, len(played.turns), played.error) == ("context", 2, "")


def test_reasoning_kept_apart_comes_back_as_a_thought(server: Server) -> None:
    server.answer = lambda _: said("<action>up</action>", reasoning_content="hm")
    agent = ServerAgent(server.client(), PromptStyle("think"))
    [played] = rollout(agent, Ladder, [Job("train-0001", 0)])
    assert played.turns[0].reply.text == "<think>hm</think><action>up</action>"
    assert played.turns[0].valid
    assert server.asked[1]["messages"][2]["content"] == "<action>up</action>"


def test_a_model_with_nothing_to_say_is_invalid_not_failed(server: Server) -> None:
    server.answer = lambda _: said(None)
    [played] = play(server, ["train-0001"])
    assert (played.ended, played.turns[0].valid) == ("truncated", False)


def test_an_agent_by_name(server: Server) -> None:
    speech = Speech(temperature=0, max_new_tokens=4, format="plain", admissible=True)
    agent = continuous(open_agent(f"openai:m@{server.url}", speech))
    env = Ladder()
    text, _ = env.reset(seed=0)
    agent.ask([Episode(0, 0, env, text)])
    [(_, decision)] = agent.decided(math.inf)
    assert isinstance(decision, Decision)
    assert (decision.action, server.asked[0]["max_tokens"]) == ("up", 4)
    assert "Admissible actions: up, down." in server.asked[0]["messages"][1]["content"]
