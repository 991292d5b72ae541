"""What counts as an action, and as keeping to the format."""

import pytest

from layergym.agents.parsing import Parsed, parse


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


def test_tags_that_are_never_closed_take_no_time() -> None:
    """100,000 of them took hours where each looked for its end through all of the text."""
    assert not parse("<action>" * 100_000, "think").ok
    assert parse("<action>" * 100_000 + "<action>go</action>", "think").action.endswith("go")
