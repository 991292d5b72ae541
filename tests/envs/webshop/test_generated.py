"""The generated catalogue: plausible, graded, and solvable."""

from statistics import mean, median

import pytest

from layergym.envs.webshop import WebShop
from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.expert import ShopPolicy, first_hit_substrings, oracle
from layergym.envs.webshop.generated import DIFFICULTIES
from layergym.envs.webshop.reward import nearest_options, original_reward
from layergym.envs.webshop.vocabulary import DEPARTMENTS


def success(policy: ShopPolicy, goals: str, split: str, limit: int = 200) -> float:
    env = WebShop(goals=goals, split=split)
    solved = []
    for task in env.tasks[:limit]:
        env.reset(options={"task": task})
        done, info = False, {"success": False}
        while not done and (action := policy(env.shop, env.state, env.goal)):
            _, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        solved.append(info["success"])
    return mean(solved)


@pytest.mark.parametrize("goals", DIFFICULTIES)
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_the_oracle_solves_everything(goals: str, split: str) -> None:
    assert success(oracle, goals, split) == 1


def test_difficulties_are_graded_for_the_scripted_shopper() -> None:
    easy, medium, hard = (success(first_hit_substrings, d, "train") for d in DIFFICULTIES)
    assert easy > 0.6 > medium > 0.3 > hard > 0.1
    assert success(first_hit_substrings, "hard", "test") < 0.4


def test_sizes_and_lengths(generated: Catalogue) -> None:
    products = [generated.product(row) for row in range(len(generated))]
    assert len(products) == 9_500
    assert {p.category for p in products} == {department.name for department in DEPARTMENTS}
    assert len({p.query for p in products}) == 250
    assert 15 < mean(len(p.title.split()) for p in products) < 20
    assert 400 < mean(len(p.description) for p in products) < 600
    assert 4 < mean(len(p.bullets) for p in products) < 6
    assert 4 < mean(len(values) for p in products for values in p.options.values()) < 7
    assert sum(len(p.requests) for p in products) > 3_000


def test_one_product_fits_a_hard_goal(generated: Catalogue) -> None:
    """Of everything that a search for the product's kind finds."""
    env = WebShop(goals="hard", split="test")
    fitting = []
    for task in env.tasks[:60]:
        env.reset(options={"task": task})
        found = [generated.product(row) for row in generated.search(env.goal.query)]
        rewards = [original_reward(p, env.goal, nearest_options(p, env.goal)) for p in found]
        fitting.append(rewards.count(1.0))
    assert median(fitting) == 1


def test_kinds_are_difficulties() -> None:
    env = WebShop(split="test")
    assert {env.kind(task) for task in env.tasks} == set(DIFFICULTIES)
    hard = WebShop(split="test", goals="hard")
    assert list(hard.tasks) == [task for task in env.tasks if env.kind(task) == "hard"]


def test_every_attribute_is_said_on_the_page(generated: Catalogue) -> None:
    says = {
        (department.name, attribute.name): attribute.paraphrase or attribute.name
        for department in DEPARTMENTS
        for groups in department.attributes.values()
        for group in groups
        for attribute in group
    }
    for row in range(0, len(generated), 50):
        product = generated.product(row)
        page = " ".join([product.title, product.description, *product.bullets]).lower()
        assert product.attributes[-1] in page
        for name in product.attributes[:-1]:
            assert name in page or says[product.category, name] in page
