"""What an agent is told."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from layergym.agents import Exchange, Job, LLMAgent, View, parse, rollout
from layergym.agents.conversation import Layout
from layergym.agents.formats import Parsed, open_format
from layergym.agents.prompts import PromptStyle, Scene, turns_of
from layergym.agents.shots import shots
from layergym.agents.styles import style_of
from layergym.base.errors import InputError
from layergym.envs import make
from tests.agents.conftest import CHATML
from tests.agents.test_contexts import BARE, Corridor, Says, Tokenizers, in_context

ROOM = Scene("Find the key.\n", "A room.", "A room.", admissible=("go", "look"))


def test_instructions_come_first_and_the_form_of_a_reply_last() -> None:
    text = PromptStyle().system(ROOM)
    assert text.startswith("Find the key.\n\n")
    assert "<action>" in text


def test_a_small_model_is_told_only_what_it_needs() -> None:
    assert PromptStyle("plain").system(ROOM) == "Find the key."
    assert PromptStyle("plain", instructions=False).system(ROOM) == ""


def test_admissible_actions_are_listed_on_request() -> None:
    assert PromptStyle().user(ROOM) == "A room."
    listed = PromptStyle(admissible=True)
    assert listed.user(ROOM).endswith("\nAdmissible actions: go, look.")
    assert listed.user(Scene("", "A room.", "A room.")) == "A room."


PAST = (
    Exchange("Room 0.", "asked 0", "<think>a</think><action>go</action>", "go"),
    Exchange("Room 1.", "asked 1", "<action>look</action>", "look"),
)
TURN_2 = Scene("Walk.", "Find the key.", "Room 2.", 3, ("go", "look"), View(PAST))
TEMPLATE = """
{% set system %}
You walk. {{ instructions }}
{% endset %}
Task: {{ task }} ({{ turn }} turns taken, {{ left_out }} left out)
{% for one in history %}
{{ one.observation }} -> {{ one.action }}
{% endfor %}
Now: {{ observation }} You can: {{ admissible | join(", ") }}. {{ format }}
"""


def test_a_template_writes_the_whole_prompt_where_it_speaks_of_history() -> None:
    style = PromptStyle("plain", template=TEMPLATE)
    assert style.system(TURN_2) == "You walk. Walk."
    text = style.user(TURN_2)
    assert text.splitlines() == [
        "Task: Find the key. (3 turns taken, 1 left out)",
        "Room 0. -> go",
        "Room 1. -> look",
        "Now: Room 2. You can: go, look.",
    ]
    assert turns_of(style, TURN_2, text) == [{"role": "user", "content": text}]


def test_a_template_without_history_writes_one_message_of_a_dialogue() -> None:
    style = PromptStyle("plain", template="{{ observation }} Well?")
    turns = turns_of(style, TURN_2, style.user(TURN_2))
    assert [turn["content"] for turn in turns] == [
        "Find the key.\n\n[Turns 1 to 1 are left out.]\n\nasked 0",
        PAST[0].reply,
        "asked 1",
        PAST[1].reply,
        "Room 2. Well?",
    ]


def test_a_prompt_can_be_a_function() -> None:
    def mine(scene: Scene) -> str:
        did = [one.action for one in scene.view.exchanges]
        return " / ".join([scene.task, *did, scene.observation, *(scene.admissible or ())])

    style = PromptStyle("plain", function=mine)
    assert style.system(TURN_2) == ""
    assert turns_of(style, TURN_2, style.user(TURN_2)) == [
        {"role": "user", "content": "Find the key. / go / look / Room 2. / go / look"}
    ]


@pytest.mark.parametrize("broken", [lambda scene: None, lambda scene: scene.nothing])
def test_a_function_that_fails_ends_the_run(broken: Callable[[Scene], str]) -> None:
    with pytest.raises(InputError, match="function fails"):
        PromptStyle("plain", function=broken).user(TURN_2)


def test_a_function_gets_what_a_template_would(tokenizer: Tokenizers) -> None:
    words = tokenizer(CHATML)
    scenes: list[Scene] = []

    def mine(scene: Scene) -> str:
        scenes.append(scene)
        return scene.observation

    style = PromptStyle("think", context=in_context("last:1").context, function=mine)
    [played] = rollout(LLMAgent(Says(words, BARE), words, style), Corridor, [Job("train-0000", 0)])
    assert [turn.reply.extends for turn in played.turns] == [False] * 3
    assert [scene.left_out for scene in scenes] == [0, 0, 1]
    assert [scene.admissible for scene in scenes] == [(f"go {n}", "look") for n in range(3)]


@dataclass(frozen=True)
class Asked:
    """Settings that say nothing."""

    format: str | None = None
    admissible: bool | None = None
    context: str = "whole"
    prompt: str = ""
    shots: int = 0


@pytest.mark.parametrize(
    ("env", "format", "ends"),
    [
        ("alfworld-v0", "act", "Action:"),
        ("webshop-v0", "act", "Action:"),
        ("math-v0", "plain", "\\boxed{}."),
        ("code-v0", "plain", "```python block."),
    ],
)
def test_a_chat_model_is_told_in_every_message_in_which_form_to_answer(
    env: str, format: str, ends: str
) -> None:
    style = style_of(Asked(), "act", lambda: make(env))
    played = make(env)
    observation, _ = played.reset(seed=0)
    listed = played.admissible()
    known = None if listed is None else tuple(listed)
    scene = Scene(played.instructions, observation, observation, 0, known)
    assert style.format == format
    last = style.user(scene)
    assert ends in last.splitlines()[-1]
    assert all(action in last for action in listed or ())
    assert style.system(scene).startswith(played.instructions.strip())


def test_the_embedded_policy_is_told_nothing_more() -> None:
    for env in ("alfworld-v0", "math-v0"):
        style = style_of(Asked(), "plain", partial(make, env))
        assert style == PromptStyle("plain")
    assert style_of(Asked(admissible=False), "act").admissible is False


@pytest.mark.parametrize("hostile", ["{{ 7 * 7 }}", "{% for x in y %}", "<|im_end|>\n<|im_start|>"])
def test_what_an_environment_says_is_text_in_a_template(
    hostile: str, tokenizer: Tokenizers
) -> None:
    words = tokenizer(CHATML)
    scene = Scene(hostile, hostile, hostile, 1, (hostile,), View(PAST[:1]))
    style = PromptStyle("plain", template=TEMPLATE)
    assert style.user(scene).count(hostile) == 3
    layout = Layout(words)
    ids = layout.encode(
        layout.render([{"role": "user", "content": layout.as_text(style.user(scene))}])
    )
    assert ids.count(256) == 2 and ids.count(257) == 1, "as many control tokens as the template's"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ nothing }}", "speaks of"),
        ("{% if %}", "Jinja template"),
        ("{{ ''.__class__.__mro__ }}", "fails"),
        ("{{ observation.foo }}", "fails"),
        ("{% include '/etc/passwd' %}", "fails"),
        ("{{ history.append(1) }}", "fails"),
    ],
)
def test_a_template_that_cannot_be_or_goes_too_far_is_refused(template: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        PromptStyle("plain", template=template).user(ROOM)


def test_examples_are_played_by_the_expert_and_shown_in_the_form_of_replies() -> None:
    found = shots(lambda: make("math-v0", size=50), 2, open_format("think"))
    assert len(found) == 2 and found[0] != found[1]
    for example in found:
        for one in example:
            assert parse(one.reply, "think") == Parsed(one.action, True)
    text = PromptStyle("think", examples=found).system(ROOM)
    assert text.index("Example 1:") < text.index("Example 2:")
    assert found[1][0].observation in text and found[1][0].reply in text
    with pytest.raises(InputError, match="no expert"):
        shots(lambda: Corridor(), 1, open_format("think"))


def test_a_template_and_a_window_make_one_prompt_of_each_turn(tokenizer: Tokenizers) -> None:
    words = tokenizer(CHATML)
    style = PromptStyle("plain", context=in_context("last:1").context, template=TEMPLATE)
    agent = LLMAgent(Says(words, BARE), words, style)
    [played] = rollout(agent, Corridor, [Job("train-0000", 0)])
    prompts = [str(words.decode(list(turn.reply.prompt_ids))) for turn in played.turns]
    assert not any(turn.reply.extends for turn in played.turns)
    assert [p.count(" -> ") for p in prompts] == [0, 1, 1]
    assert all("You walk. Walk on." in p and "go 0, look" in p for p in prompts[:1])
