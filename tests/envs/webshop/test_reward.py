"""The reward against a direct transcription of the original's formula."""

import random
import re
from functools import lru_cache
from typing import Any

import pytest
from rapidfuzz import fuzz

from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.products import Product, ShoppingGoal
from layergym.envs.webshop.reward import (
    COLOURS,
    RewardRule,
    original_reward,
    strict_reward,
    type_factor,
)
from layergym.envs.webshop.tasks import CatalogueGoals


def full_process(text: Any) -> str:
    """thefuzz 0.19: `utils.full_process(text, force_ascii=True)`."""
    ascii_only = str(text).translate({n: None for n in range(128, 256)})
    return re.sub(r"(?ui)\W", " ", ascii_only).lower().strip()


@lru_cache(1 << 16)
def token_set_ratio(one: Any, other: Any) -> int:
    """thefuzz: `fuzz.token_set_ratio`."""
    a, b = full_process(one), full_process(other)
    return round(fuzz.token_set_ratio(a, b)) if a and b else 0


def normalize_color(value: Any) -> Any:
    for colour in COLOURS:
        if colour in value:
            return colour
    return value


def transcription(product: Product, goal: ShoppingGoal, options: dict[str, str]) -> float:
    """`get_reward` of web_agent_site/engine/goal.py, step by step as it is written there."""
    attributes = 0
    for wanted in goal.attributes:
        matched = False
        for own in product.attributes:
            if token_set_ratio(own, wanted) > 85:
                attributes += 1
                matched = True
                break
        if not matched and (
            wanted in product.title.lower()
            or wanted in " ".join(product.bullets).lower()
            or wanted in product.description.lower()
        ):
            attributes += 1
    chosen = [normalize_color(value) for value in options.values()]
    matches = 0
    for option in [normalize_color(option) for option in goal.options]:
        for value in chosen:
            if token_set_ratio(value, option) > 85:
                matches += 1
                break
    shared = len(set(product.nouns) & set(goal.nouns))
    title_score = shared / len(goal.nouns) if goal.nouns else 0.2
    own_path = {x.strip() for x in product.product_category.split("\u203a")}
    goal_path = {x.strip() for x in goal.product_category.split("\u203a")}
    same = product.query == goal.query or len(own_path & goal_path) >= 2 or title_score > 0.2
    r_type = 1.0 if same else 0.5
    if title_score < 0.1:
        r_type = 0.1
    if title_score == 0.0:
        r_type = 0.0
    total = (attributes + matches + (product.price <= goal.price_upper)) / (
        len(goal.attributes) + len(goal.options) + 1
    )
    return total * r_type


def triples(
    catalogue: Catalogue, source: str, count: int
) -> list[tuple[Product, ShoppingGoal, Any]]:
    """Half of the products are those of the goal or of its query."""
    draw = random.Random(0)
    goals = CatalogueGoals(catalogue, source)
    numbers = [int(n) for split in ("train", "test") for n in goals.numbers(split, "original")]
    found = []
    for _ in range(count):
        goal = goals.goal(draw.choice(numbers))
        row = draw.choice(
            [
                draw.randrange(len(catalogue)),
                draw.choice(catalogue.search(goal.query) or (0,)),
                catalogue.row(goal.asin) or 0,
            ]
        )
        product = catalogue.product(row)
        options = {n: draw.choice(vs) for n, vs in product.options.items() if draw.random() < 0.8}
        found.append((product, goal, options))
    return found


def test_20000_real_purchases(real: Catalogue) -> None:
    cases = triples(real, "synthetic", 19_000) + triples(real, "requests", 1_000)
    rewards = [original_reward(*case) for case in cases]
    assert rewards == [transcription(*case) for case in cases]
    assert len(set(rewards)) > 50


def test_2000_generated_purchases(generated: Catalogue) -> None:
    cases = triples(generated, "requests", 2_000)
    rewards = [original_reward(*case) for case in cases]
    assert rewards == [transcription(*case) for case in cases]
    assert 1.0 in rewards


SHIRT = Product(
    "A", "Blue Shirt", "", [], {"color": ["light blue", "navy blue", "red"]}, ["slim fit"],
    "$10.0", 10.0, "fashion", "shirts", "Clothing \u203a Men \u203a Shirts", ["blue", "shirt"],
)  # fmt: skip
WANTED = ShoppingGoal(
    "A", "", ("slim fit",), (("color", "navy blue"),), 20.0, "shirts",
    "Clothing \u203a Men \u203a Shirts", ("blue", "shirt"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("reward", "color", "expected"),
    [
        (original_reward, "navy blue", 1.0),
        (original_reward, "light blue", 1.0),  # both count as "blue"
        (original_reward, "red", 2 / 3),
        (strict_reward, "navy blue", 1.0),
        (strict_reward, "light blue", 2 / 3),
    ],
)
def test_strict_wants_the_very_option(reward: RewardRule, color: str, expected: float) -> None:
    assert reward(SHIRT, WANTED, {"color": color}) == expected


@pytest.mark.parametrize(
    ("nouns", "query", "path", "expected"),
    [
        ("blue shirt", "shirts", "Clothing", 1.0),
        ("blue shirt", "pens", "Paper", 1.0),
        ("shirt", "shirts", "Paper", 1.0),
        ("shirt a b c d", "pens", "Paper", 0.5),
        ("shirt a b c d", "pens", "Clothing \u203a Men", 1.0),
        ("shirt a b c d e f g h i j", "shirts", "Clothing", 0.1),
        ("pen", "shirts", "Clothing \u203a Men", 0.0),
        ("", "pens", "Paper", 0.5),
    ],
)
def test_type_factor(nouns: str, query: str, path: str, expected: float) -> None:
    wanted = nouns.split()
    goal = ShoppingGoal("B", "", (), (), 20.0, query, path, tuple(wanted))
    own = ["shirt", "blue"]
    product = Product("A", "", "", [], {}, [], "", 1, "", "shirts", SHIRT.product_category, own)
    assert type_factor(product, goal) == expected
