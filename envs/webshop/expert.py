"""Scripted shoppers: an oracle, and baselines that show how hard a set of goals is.

Each is a function of shop, state and goal, without memory, so it can go on from any state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from layergym.envs.webshop.pages import (
    BUY,
    NEXT,
    PAGE_SIZE,
    PREVIOUS,
    PageState,
    Shop,
    parse_action,
)
from layergym.envs.webshop.products import Product, ShoppingGoal
from layergym.envs.webshop.reward import nearest_options, original_reward

ShopPolicy = Callable[[Shop, PageState, ShoppingGoal], str | None]


def oracle(shop: Shop, state: PageState, goal: ShoppingGoal) -> str | None:
    """Knows the product that the goal was made from: finds it, chooses its options, buys it.

    It searches the instruction, as anyone could, and the product's title only where that fails.
    """
    row = shop.catalogue.row(goal.asin)
    if row is None:
        return None
    product = shop.catalogue.product(row)
    said = query(goal.instruction)
    keywords = said if row in shop.catalogue.search(said) else query(product.title)
    return _buy(shop, state, row, keywords, nearest_options(product, goal))


def first_hit(shop: Shop, state: PageState, goal: ShoppingGoal) -> str | None:
    """Searches the instruction and buys the first hit, without options."""
    return _buy_best(shop, state, goal, hits=1, choose=lambda product: {})


def first_hit_substrings(shop: Shop, state: PageState, goal: ShoppingGoal) -> str | None:
    """The same, with every option value that the instruction contains; the longest per name."""
    return _buy_best(shop, state, goal, hits=1, choose=lambda p: named_options(p, goal.instruction))


def best_of_ten(shop: Shop, state: PageState, goal: ShoppingGoal) -> str | None:
    """Buys what the reward likes best among the first ten hits: reading without searching well."""
    return _buy_best(shop, state, goal, hits=PAGE_SIZE, choose=lambda p: nearest_options(p, goal))


POLICIES: dict[str, ShopPolicy] = {
    "first hit, no options": first_hit,
    "first hit, options by substring": first_hit_substrings,
    "best of the first ten": best_of_ten,
    "oracle": oracle,
}


def query(text: str) -> str:
    """A text as search keywords, without what an action cannot hold."""
    return " ".join(text.lower().replace("[", " ").replace("]", " ").split())


def named_options(product: Product, instruction: str) -> dict[str, str]:
    """Per option name the longest value that the instruction contains."""
    text = instruction.lower()
    inside = {
        name: [value for value in values if value in text]
        for name, values in product.options.items()
    }
    return {name: max(values, key=len) for name, values in inside.items() if values}


def _buy_best(
    shop: Shop,
    state: PageState,
    goal: ShoppingGoal,
    hits: int,
    choose: Callable[[Product], Mapping[str, str]],
) -> str | None:
    keywords = query(goal.instruction)
    rows = shop.catalogue.search(keywords)[:hits]
    if not rows:
        return None
    products = [shop.catalogue.product(row) for row in rows]
    values = [original_reward(product, goal, choose(product)) for product in products]
    best = values.index(max(values))
    return _buy(shop, state, rows[best], keywords, choose(products[best]))


def _buy(
    shop: Shop, state: PageState, row: int, keywords: str, options: Mapping[str, str]
) -> str | None:
    """The next action on the way to buying a product with options; None when there is no way."""
    if state.page == "done":
        return None
    if state.page == "sub":
        return f"click[{PREVIOUS}]"
    if state.page == "item" and state.row == row:
        chosen = dict(state.options)
        for name, value in options.items():
            action = f"click[{value}]"
            if chosen.get(name) != value and _leads_to(shop, state, action, name, value):
                return action
        return f"click[{BUY}]"
    if state.page != "results" or state.keywords != keywords:
        return f"search[{keywords}]"
    hits = shop.catalogue.search(keywords)
    if row not in hits:
        return None
    number = hits.index(row) // PAGE_SIZE + 1
    if state.number != number:
        return f"click[{NEXT if state.number < number else PREVIOUS}]"
    return f"click[{shop.catalogue.product(row).asin.lower()}]"


def _leads_to(shop: Shop, state: PageState, action: str, name: str, value: str) -> bool:
    """Whether the action chooses this option; some values cannot be clicked."""
    kind, argument = parse_action(action)
    after = shop.click(state, argument) if kind == "click" else None
    return after is not None and (name, value) in after.options
