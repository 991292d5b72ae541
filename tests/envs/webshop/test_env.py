"""The environment: contract, pages, clones, state keys, experts, strange input."""

import copy
from collections.abc import Callable
from pathlib import Path

import gymnasium
import pytest

from layergym.envs.conformance import conforms
from layergym.envs.registry import make
from layergym.envs.webshop import WebShop
from layergym.envs.webshop.splits import split_of

from .conftest import SHOES, write_catalogue
from .test_goals import ABOUT


@pytest.fixture
def shoes(tmp_path: Path) -> Callable[..., WebShop]:
    """Environments over one product, at the first of its two goals."""

    def fresh(**settings: str | bool) -> WebShop:
        data = write_catalogue(tmp_path, [SHOES], ABOUT)
        split = split_of(SHOES["asin"])
        env = WebShop(data=data, split=split, **settings)  # type: ignore[arg-type]
        env.reset(options={"task": 0})
        return env

    return fresh


def test_it_keeps_the_contract() -> None:
    assert conforms("layergym/WebShop-v0") == []
    assert isinstance(gymnasium.make("layergym/WebShop-v0").unwrapped, WebShop)
    assert make("webshop-v0").max_turns == 15


def test_an_episode(shoes: Callable[..., WebShop]) -> None:
    env = shoes()
    said = env.goal.instruction
    wanted = env.goal.options[0][1]
    head = f"Instruction: [SEP] {said} [SEP] Back to Search"
    text, *_ = env.step("search[Walking SHOES]")
    card = "B000000001 [SEP] Walking Shoes for Women [SEP] $20.5 to $30.0"
    assert text == f"{head} [SEP] Page 1 (Total results: 1) [SEP] Next > [SEP] {card}"
    text, *_ = env.step("click[next >]")
    assert text == f"{head} [SEP] Page 2 (Total results: 1) [SEP] < Prev [SEP] Next >"
    env.step("click[< prev]")
    text, *_ = env.step("click[b000000001]")
    assert text == (
        f"{head} [SEP] < Prev [SEP] size [SEP] 6 | 7 [SEP] 8 [SEP] Walking Shoes for Women [SEP] "
        "Price: $20.5 to $30.0 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews "
        "[SEP] Buy Now"
    )
    text, *_ = env.step("click[Features]")
    assert text == f"{head} [SEP] < Prev [SEP] Light sole [SEP] Made for rain"
    env.step("click[< prev]")
    env.step(f"click[{wanted}]")
    text, reward, terminated, truncated, info = env.step("click[buy now]")
    assert text.startswith("Thank you for shopping with us!")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (info["success"], info["score"]) == (True, 100.0)


def test_rich_text_marks_what_was_clicked(shoes: Callable[..., WebShop]) -> None:
    env = shoes(observation="text_rich")
    said = env.goal.instruction
    assert env.reset(options={"task": 0})[0] == (
        f"WebShop\nInstruction: \n{said}\n[button] Search [button_]\n"
    )
    env.step("search[shoes]")
    env.step("click[b000000001]")
    text, *_ = env.step("click[8]")
    assert text == (
        f"You have clicked 8.\nInstruction:\n{said}\n[button] Back to Search [button_]\n"
        "[button] < Prev [button_]\nsize\n  [button] 6 | 7 [button_]\n"
        "  [clicked button] 8 [clicked button_]\nWalking Shoes for Women\n"
        "Price: $20.5 to $30.0\nRating: N.A.\n[button] Description [button_]\n"
        "[button] Features [button_]\n[button] Reviews [button_]\n[button] Buy Now [button_]\n"
    )
    text, *_ = env.step("click[< prev]")
    assert "\n\n[clicked button] B000000001 [clicked button_]\n" in text
    env.step("click[back to search]")
    assert "\n\n[button] B000000001 [button_]\n" in env.step("search[shoes]")[0]


def test_urls(shoes: Callable[..., WebShop]) -> None:
    env = shoes(observation="url")
    base = "http://127.0.0.1:3000"
    urls = [env.step(a)[0] for a in (
        "search[red shoes]", "click[b000000001]", "click[8]", "click[description]", "click[< prev]",
        "click[buy now]",
    )]  # fmt: skip
    place = f"{env.task}/B000000001/red+shoes/1"
    assert urls == [
        f"{base}/search_results/{env.task}/red+shoes/1",
        f"{base}/item_page/{place}/{{}}",
        f'{base}/item_page/{place}/{{"size": "8"}}',
        f"{base}/item_sub_page/{place}/Description/{{'size': '8'}}",
        f'{base}/item_page/{place}/{{"size": "8"}}',
        f"{base}/done/{env.task}/B000000001/{{'size': '8'}}",
    ]


def test_the_attributes_page_is_optional(shoes: Callable[..., WebShop]) -> None:
    for shown in (False, True):
        env = shoes(show_attributes=shown)
        env.step("search[shoes]")
        env.step("click[b000000001]")
        assert env.step("click[attributes]")[4]["valid"] is shown
    assert env.step("click[attributes]")[0].endswith(
        "< Prev [SEP] light sole [SEP] fashion [SEP] walking shoes [SEP] "
        "Clothing \u203a Women \u203a Shoes"
    )


@pytest.mark.parametrize(
    "action",
    [
        "", "click[]",
        "click[search]", "click[buy now]", "search", "Search[shoes]", "click[\u00e9]",
        "search[\n]", "x" * 10_000, "click[" + "[" * 5_000 + "]", "\x00\ud800", "think[shoes]",
    ],
)  # fmt: skip
def test_what_is_not_understood_changes_nothing(action: str) -> None:
    env = WebShop(split="test")
    before, _ = env.reset(options={"task": 0})
    key = env.state_key()
    text, reward, terminated, truncated, info = env.step(action)
    assert (text, reward, terminated, truncated, info["valid"]) == (before, 0, False, False, False)
    assert env.state_key() == key


@pytest.mark.parametrize(
    "words", ["a" * 10_000, "\u4e2d" * 10_000, "\U0001f600\u200d" * 3_000, "]"]
)
def test_any_search_is_understood(words: str) -> None:
    env = WebShop(split="test")
    env.reset(options={"task": 0})
    text, _, _, _, info = env.step(f"search[{words}]")
    assert info["valid"]
    assert "Page 1 (Total results: 0)" in text


def test_equal_states_have_equal_keys_and_others_not() -> None:
    env = WebShop(split="test")
    paths = [
        ["search[chair]", "click[back to search]", "search[table]"],
        ["search[table]"],
        ["search[table]", "click[next >]", "click[< prev]"],
    ]
    keys = []
    for path in paths:
        env.reset(options={"task": 0})
        for action in path:
            env.step(action)
        keys.append(env.state_key())
    assert len(set(keys)) == 1
    env.step("click[next >]")
    assert env.state_key() not in keys


def test_the_order_of_choosing_options_does_not_matter_in_text() -> None:
    env = WebShop(split="test", goals="hard")
    keys = []
    for order in (1, -1):
        env.reset(options={"task": 0})
        while env.state.page != "item":
            env.step(env.expert() or "")
        for _, value in list(env.goal.options)[::order]:
            env.step(f"click[{value}]")
        keys.append((env.state_key(), env.expert()))
    assert keys[0] == keys[1]
    assert keys[0][1] == "click[buy now]"


def test_clones_share_the_shop_and_nothing_else() -> None:
    env = WebShop(split="test")
    env.reset(options={"task": 0})
    env.step("search[chair]")
    twin = env.clone()
    assert twin.shop is env.shop
    assert copy.deepcopy(env.shop.catalogue) is env.shop.catalogue
    twin.step("click[next >]")
    assert env.state.number == 1
    env.step("click[next >]")
    assert env.state_key() == twin.state_key()


def test_admissible_actions_are_all_understood() -> None:
    env = WebShop(split="test", goals="hard", max_turns=100)
    env.reset(options={"task": 3})
    while env.expert() != "click[buy now]":
        for action in env.admissible():
            assert env.clone().step(action)[4]["valid"], action
        env.step(env.expert() or "")


def test_options_that_collide_with_buttons_or_hold_brackets(tmp_path: Path) -> None:
    values = ["buy now", "description", "a [b]", "next >", "8"]
    row = {**SHOES, "customization_options": {"size": [{"value": v} for v in values]}}
    env = WebShop(data=write_catalogue(tmp_path, [row], ABOUT), split=split_of(SHOES["asin"]))
    env.reset(options={"task": 0})
    env.step("search[shoes]")
    env.step("click[b000000001]")
    assert env.shop.clickables(env.state)[-3:] == ["a [b]", "next >", "8"]
    assert not env.step("click[a [b]]")[4]["valid"]
    assert "click[a [b]]" not in env.admissible()
    env.step("click[next >]")
    assert dict(env.state.options) == {"size": "next >"}
    env.step("click[description]")
    assert env.state.page == "sub"
    env.step("click[< prev]")
    assert env.step("click[buy now]")[2]


def test_unbought_episodes_end_without_score() -> None:
    env = WebShop(split="test")
    env.reset(options={"task": 0})
    for _ in range(15):
        _, _, terminated, truncated, info = env.step("search[chair]")
    assert (terminated, truncated, info["score"], info["success"]) == (False, True, 0.0, False)
