"""Which program a reply gives, by what it then earns: kinds of replies for each of four tasks."""

import json
import re
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from layergym.envs.code import Code
from layergym.envs.code.replies import read_program
from layergym.envs.fences import blocks

TABLE = Path(__file__).with_name("replies.txt")

# A helper and a function that needs it; how it goes wrong; a test's arguments and value.
TASKS: dict[str, dict[str, str]] = {
    "double": {
        "HELPER": "def twice(x):\n    return 2 * x",
        "MAIN": "def double(x):\n    return twice(x)",
        "WRONG": "def double(x):\n    return 6",
        "LAMBDA": "double = lambda x: 2 * x",
        "CALLS": "3 -> 6; 5 -> 10; 0 -> 0",
    },
    "initials": {
        "HELPER": "import string\n\nFIRST = string.ascii_uppercase",
        "MAIN": "def initials(text):\n    '''Don't count \"small\" words.'''\n"
        "    return ''.join(c for c in text if c in string.ascii_uppercase)",
        "WRONG": "def initials(text):\n    return text",
        "LAMBDA": "initials = lambda text: ''.join(c for c in text if c.isupper())",
        "CALLS": "'Ada Lovelace' -> 'AL'; 'x' -> ''",
    },
    "evens": {
        "HELPER": "class Even:\n    @staticmethod\n    def holds(x):\n        return x % 2 == 0",
        "MAIN": "def evens(items: list) -> list:\n    found = []\n    for item in items:\n"
        "        if Even.holds(item):\n            found.append(item)\n\n    return found",
        "WRONG": "def evens(items):\n    return items",
        "LAMBDA": "evens: object = lambda items: [x for x in items if x % 2 == 0]",
        "CALLS": "[1, 2, 3, 4] -> [2, 4]; [] -> []; [7] -> []",
    },
    "power": {
        "HELPER": "from functools import lru_cache as cached",
        "MAIN": "def power(n):\n    @cached(None)\n    def at(k):\n"
        "        return 1 if k == 0 else 2 * at(k - 1)\n    return at(n)",
        "WRONG": "def power(n):\n    return n * n",
        "LAMBDA": "power = lambda n: 2 ** n",
        "CALLS": "2 -> 4; 3 -> 8; 10 -> 1024",
    },
}


def cases() -> list[tuple[str, str, str, str]]:
    """Task, kind, reply and verdict of every case."""
    parts = re.split(r"^=== (.+) \| (right|wrong)\n", TABLE.read_text(), flags=re.MULTILINE)[1:]
    return [
        (task, kind, fill(template.rstrip("\n"), parts_of(task)), verdict)
        for kind, verdict, template in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        for task in TASKS
    ]


def parts_of(task: str) -> dict[str, str]:
    """What the placeholders of a template stand for."""
    given = TASKS[task]
    calls = [call.split(" -> ") for call in given["CALLS"].split("; ")]
    right = f"{given['HELPER']}\n\n\n{given['MAIN']}"
    inner = textwrap.indent(given["LAMBDA"].partition("lambda")[2].partition(":")[2], "")
    argument = given["LAMBDA"].partition("lambda ")[2].partition(":")[0]
    prompts = [f"{'... ' if n else ''}{line}" for n, line in enumerate(given["LAMBDA"].split("\n"))]
    return {
        **given,
        "RIGHT": right,
        "NAME": task,
        "USE": f"print({task}({calls[0][0]}))",
        "OUTPUT": calls[0][1],
        "CHECKS": "\n".join(f"assert {task}({a}) == {value}" for a, value in calls),
        "PROMPTS": "\n".join(prompts),
        "PRINTS": f"def {task}({argument}):\n    print({inner.strip()})",
        "ASYNC": f"async def {task}({argument}):\n    return {inner.strip()}",
        "METHOD": f"class Solution:\n    def {task}(self, {argument}):\n"
        f"        return {inner.strip()}",
        "CR": "\r",
    }


def fill(template: str, parts: dict[str, str]) -> str:
    """A template with its placeholders filled in; what precedes one precedes all its lines."""

    def line(text: str) -> str:
        match = re.match(r"^([ >+]*)\$([A-Z]+)$", text)
        if match:
            return textwrap.indent(parts[match[2]], match[1], lambda _: True)
        return re.sub(r"\$([A-Z]+)", lambda found: parts[found[1]], text)

    return "\n".join(map(line, template.split("\n")))


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Code:
    rows = []
    for number, task in enumerate(TASKS):
        parts = parts_of(task)
        rows.append(
            {
                "task_id": 700 + number,
                "text": f"Write {task}.",
                "code": parts["RIGHT"],
                "test_list": parts["CHECKS"].split("\n"),
            }
        )
    path = tmp_path_factory.mktemp("tasks") / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return Code(problems=path, max_turns=1)


def earned(env: Code, task: str, reply: str) -> float:
    env.reset(options={"task": f"MBPP/{700 + list(TASKS).index(task)}"})
    return env.step(reply)[1]


def test_there_are_two_hundred_cases() -> None:
    assert len({(task, reply) for task, _, reply, _ in cases()}) >= 200


@pytest.mark.parametrize("kind", sorted({kind for _, kind, _, _ in cases()}))
def test_a_reply_earns_what_its_program_is_worth(kind: str, env: Code) -> None:
    chosen = [case for case in cases() if case[1] == kind]
    missed = [
        (task, reply)
        for task, _, reply, verdict in chosen
        if earned(env, task, reply) != (verdict == "right")
    ]
    assert missed == []


def cpu(reply: str) -> float:
    """Seconds of processor time to read a reply."""
    start = time.process_time()
    read_program(reply, "f")
    return time.process_time() - start


HOSTILE = {
    "fences": "```\n",
    "open strings": '```\n"""\n',
    "escaped strings": '```\n\\"""\n',
    "mixed strings": "```\n'''\n\"\"\"",
    "fences in one line": "``` ",
    "prompts": ">>> ```\n",
    "imports": "import a, ",
    "definitions": "```\ndef f(\n",
    "helpers": "```\ndef g(): h()\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_grows_with_the_length(name: str) -> None:
    short, long = (min(cpu(HOSTILE[name] * count) for _ in range(3)) for count in (1000, 8000))
    assert long < 30 * short + 0.05


def test_blocks_keep_every_part_in_order() -> None:
    found: list[Any] = [(b.text.strip(), b.fenced) for b in blocks("a\n```x\nb\n```\nc ```d``` e")]
    assert found == [("a", False), ("b", True), ("c", False), ("d", True), ("e", False)]
