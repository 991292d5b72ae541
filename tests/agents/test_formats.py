"""What counts as an action, and as keeping to the format."""

import time

import pytest

from layergym.agents.formats import FORMATS, Parsed, open_format, parse
from layergym.base.errors import InputError


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
    [
        ("I look first.\nAction: go to bed 1", Parsed("go to bed 1", True)),
        ("**Action:** `go to bed 1`", Parsed("go to bed 1", True)),
        ("Action: go to bed 1\nI do it since", Parsed("go to bed 1", True)),
        ("<think>Action: sit</think>Action: look", Parsed("look", True)),
        ("I will <action>look</action> now", Parsed("look", True)),
        ("> search[red shoe]", Parsed("> search[red shoe]", False, True)),
        ("go to bed 1", Parsed("go to bed 1", False, True)),
        ("I am tired.\n\n'go to bed 1'\n", Parsed("go to bed 1", False, True)),
        ("```\ngo to bed 1\n```", Parsed("go to bed 1", False, True)),
        ("Action: look\nAction: look", Parsed("look", True)),
        ("Action: look\nYou see a bed.\nAction: sit", Parsed("sit", False)),
        ("<think>never closed", Parsed("<think>never closed", False)),
        ("<think>all thought</think>", Parsed("<think>all thought</think>", False)),
        ("", Parsed("", False)),
    ],
)
def test_act(text: str, parsed: Parsed) -> None:
    assert parse(text, "act") == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [(" go to bed 1\n", Parsed("go to bed 1", True)), (" \n", Parsed("", False))],
)
def test_plain(text: str, parsed: Parsed) -> None:
    assert parse(text, "plain") == parsed


CALL = '<tool_call>{"name": "act", "arguments": {"action": "go north"}}</tool_call>'


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (CALL, Parsed("go north", True)),
        (f"I go.\n{CALL}\n", Parsed("go north", True)),
        (CALL[11:-12], Parsed("go north", True)),
        (CALL.replace('{"action": "go north"}', '"{\\"action\\": \\"up\\"}"'), Parsed("up", True)),
        (f"{CALL} And then?", Parsed("go north", False)),
        (CALL + CALL, Parsed("go north", False)),
        (CALL.replace("act", "rm", 1), Parsed(CALL.replace("act", "rm", 1), False)),
        ("go north", Parsed("go north", False)),
        ('{"name": "act", "arguments": []}', Parsed('{"name": "act", "arguments": []}', False)),
        ("[" * 9999, Parsed("[" * 9999, False)),
        ("{" + "[" * 15_000, Parsed("{" + "[" * 15_000, False)),
    ],
)
def test_tool(text: str, parsed: Parsed) -> None:
    assert parse(text, "tool") == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Hm.\nAction: go: north \n", Parsed("go: north", True)),
        ("Action: a\nAction: b", Parsed("b", False)),
        ("go north", Parsed("go north", False)),
    ],
)
def test_regex(text: str, parsed: Parsed) -> None:
    assert parse(text, "regex:Action: (.+)") == parsed


@pytest.mark.parametrize("name", ["act", "think", "plain", "tool", "regex:Action: (.+)"])
def test_what_is_written_in_a_form_is_read_in_it(name: str) -> None:
    for action in ("go north", 'say "hi" {x}', "a\\b"):
        assert parse(open_format(name).write(action), name) == Parsed(action, True)


@pytest.mark.parametrize("name", ["thnk", "think:x", "regex:(", "regex:a", "regex:(a)(b)", ""])
def test_what_names_no_form_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        open_format(name)


def test_an_expression_that_backtracks_without_end_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("layergym.agents.formats.pattern.LIMIT_S", 0.05)
    with pytest.raises(InputError, match="backtracks less"):
        parse("a" * 5000 + "!", "regex:((?:a|aa)+)$")


def test_a_form_of_another_package_is_found_by_name() -> None:
    FORMATS.register("shout", lambda argument: open_format("plain"))
    assert parse(" UP ", "shout") == Parsed("UP", True)


@pytest.mark.parametrize("form", ["act", "think"])
@pytest.mark.parametrize(
    "piece", ["<action>", "</action>", "<think>", "</think>", "<action></", "* ", "action ", "\n**"]
)
def test_the_time_grows_with_the_length(piece: str, form: str) -> None:
    def cpu(count: int) -> float:
        start = time.process_time()
        parse(piece * count, form)
        return time.process_time() - start

    short, long = (min(cpu(count) for _ in range(3)) for count in (4000, 32000))
    assert long < 30 * short + 0.05
