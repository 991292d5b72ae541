"""What an agent is told."""

from layergym.agents.prompts import PromptStyle, system_text, user_text


def test_instructions_come_first_and_the_form_of_a_reply_last() -> None:
    text = system_text(PromptStyle(), "Find the key.\n")
    assert text.startswith("Find the key.\n\n")
    assert "<action>" in text


def test_a_small_model_is_told_only_what_it_needs() -> None:
    assert system_text(PromptStyle("plain"), "Find the key.") == "Find the key."
    assert system_text(PromptStyle("plain", instructions=False), "Find the key.") == ""


def test_admissible_actions_are_listed_on_request() -> None:
    assert user_text(PromptStyle(), "A room.", ["go", "look"]) == "A room."
    listed = PromptStyle(admissible=True)
    assert user_text(listed, "A room.", ["go", "look"]).endswith("\nAdmissible actions: go, look.")
    assert user_text(listed, "A room.", None) == "A room."
