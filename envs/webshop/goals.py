"""Goals: one per combination of a product's options, written for a product, or read from a file.

Instructions follow `get_synthetic_goals` and `get_human_goals` of princeton-nlp/WebShop (MIT).
"""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.webshop.products import Product, ShoppingGoal, price_text

SOURCES = ("synthetic", "requests")


def goal_count(product: Product, source: str) -> int:
    """How many goals a product has from `source`."""
    if source == "requests":
        return len(product.requests)
    return math.prod(map(len, product.options.values())) if product.instruction else 0


def goal_kind(product: Product, source: str, index: int) -> str:
    """The kind of a product's goal: its difficulty if it was generated, else the category."""
    return product.requests[index].kind if source == "requests" else product.category


def goal_of(product: Product, source: str, index: int) -> ShoppingGoal:
    """A product's goal number `index` from `source`."""
    if source == "synthetic":
        options = _combination(product, index)
        return _goal(
            product,
            _instruction(product, options),
            product.instruction_attributes,
            options,
            product.price_upper,
        )
    request = product.requests[index]
    return _goal(
        product, request.instruction, request.attributes, request.options, request.price_upper
    )


def _goal(product: Product, text: str, attributes: Any, options: Any, bound: float) -> ShoppingGoal:
    return ShoppingGoal(
        asin=product.asin,
        instruction=text,
        attributes=tuple(attributes),
        options=_frozen(options),
        price_upper=bound,
        query=product.query,
        product_category=product.product_category,
        nouns=tuple(product.nouns),
    )


def _combination(product: Product, index: int) -> list[tuple[str, str]]:
    """The `index`-th combination of options, the last name varying fastest."""
    options = []
    for name in sorted(product.options, reverse=True):
        index, place = divmod(index, len(product.options[name]))
        options.append((name, product.options[name][place]))
    return options[::-1]


def _instruction(product: Product, options: list[tuple[str, str]]) -> str:
    text = ", and ".join(f"{name}: {value}" for name, value in options)
    with_options = f" with {text}" if text else ""
    return f"{product.instruction}{with_options}{price_text(product.price_upper)}"


def _frozen(raw: Any) -> tuple[str, ...] | tuple[tuple[str, str], ...]:
    options: Any = (option if isinstance(option, str) else tuple(option) for option in raw)
    return tuple(options)


class GoalFile:
    """Goals and prices that somebody else drew, in their order.

    The original draws prices and price bounds unseeded, so a recorded or published run can only be
    repeated with the goals it used: a JSON file, gzip or not, with `goals` (WebShop's goal
    dictionaries) and `product_prices` (asin -> dollars).
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            InputError: it cannot be read or has another form.
        """
        try:
            data = path.read_bytes()
            content = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
            goals = content["goals"]
            self._texts: list[str] = [goal["instruction_text"] for goal in goals]
            self._wanted = [(tuple(g["attributes"]), _given_options(g)) for g in goals]
            self._bounds = [float(goal["price_upper"]) for goal in goals]
            self.asins: list[str] = [goal["asin"] for goal in goals]
            """The product that each goal was made from."""
            self._prices = {str(k): float(v) for k, v in content["product_prices"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path} is not a goal file ({type(error).__name__}: {error}); it needs the keys "
                '"goals", as in WebShop, and "product_prices"'
            ) from error

    def goal(self, number: int, target: Product) -> ShoppingGoal:
        """Goal `number`, whose product is `target`."""
        attributes, options = self._wanted[number]
        return _goal(target, self._texts[number], attributes, options, self._bounds[number])

    def price(self, product: Product) -> float:
        """The price of a product, dollars."""
        return self._prices.get(product.asin, product.price)


def _given_options(goal: dict[str, Any]) -> tuple[str, ...] | tuple[tuple[str, str], ...]:
    options = goal["goal_options"]
    return _frozen(options.items() if isinstance(options, dict) else options)
