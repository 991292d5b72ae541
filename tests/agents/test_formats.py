"""What counts as an action, and as keeping to the format."""

import time

import pytest

from layergym.agents.formats import Parsed, parse


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("<think>a\nb</think><action>go to bed 1</action>", Parsed("go to bed 1", True)),
        (" <think></think>\n\n<action> look </action>\n", Parsed("look", True)),
        ("opened in the prompt</think><action>look</action>", Parsed("look", True)),
        ("<think>maybe <action>x</action></think><action>y</action>", Parsed("y", True)),
        ("<action>look</action>", Parsed("look", False)),
        ("<think>a</think><action>x</action><action>y</action>", Parsed("y", False)),
        ("<think>a</think><action>x</action> done", Parsed("x", False)),
        ("<think>a</think><action> </action>", Parsed("<think>a</think><action> </action>", False)),
        ("<think>a<action>x</action>", Parsed("x", False)),
        ("<think>a</think>b</think><action>x</action>", Parsed("x", False)),
        ("go to bed 1", Parsed("go to bed 1", False)),
        ("", Parsed("", False)),
    ],
)
def test_think(text: str, parsed: Parsed) -> None:
    assert parse(text, "think") == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [(" go to bed 1\n", Parsed("go to bed 1", True)), (" \n", Parsed("", False))],
)
def test_plain(text: str, parsed: Parsed) -> None:
    assert parse(text, "plain") == parsed


@pytest.mark.parametrize("piece", ["<action>", "</action>", "<think>", "</think>", "<action></"])
def test_the_time_grows_with_the_length(piece: str) -> None:
    def cpu(count: int) -> float:
        start = time.process_time()
        parse(piece * count, "think")
        return time.process_time() - start

    short, long = (min(cpu(count) for _ in range(3)) for count in (4000, 32000))
    assert long < 30 * short + 0.05
