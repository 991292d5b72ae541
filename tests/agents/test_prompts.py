"""What an agent is told."""

from layergym.agents.prompts import PromptStyle, Scene

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
