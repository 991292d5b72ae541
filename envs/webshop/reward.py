"""WebShop's reward of a purchase.

Yao et al., "WebShop" (arXiv 2207.01206), section 3 and appendix A.5, as its code computes it
(princeton-nlp/WebShop, `web_agent_site/engine/goal.py`, MIT):

    reward = (attributes matched + options matched + [price <= bound])
             / (|attributes| + |options| + 1) * type
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from rapidfuzz import fuzz

from layergym.envs.webshop.products import PATH_SEPARATOR, Product, ShoppingGoal

RewardRule = Callable[[Product, ShoppingGoal, Mapping[str, str]], float]
"""(purchased product, goal, chosen options name -> value) -> reward in [0, 1]."""

# The original's colours, in its order: an option value counts as the first of them it contains.
_COLOURS = (
    "alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown "
    "burgundy camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee "
    "cognac copper coral cranberry cream crystal dark denim eggplant elephant espresso fuchsia "
    "gold granite grape graphite grass gray green grey heather indigo ivory ivy khaki lavender "
    "lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha multicolor "
    "mushroom mustard natural navy nude olive orange peach pewter pink plum purple rainbow red "
    "rose royal rust sand sapphire seashell silver skull slate steel stone stonewash sunflower "
    "tan taupe teal tiger turquoise violet walnut wheat white wine yellow"
)
COLOURS = tuple(_COLOURS.split())
_SAME = 85
_LATIN_1 = dict.fromkeys(range(128, 256))
_NOT_WORD = re.compile(r"\W")


def original_reward(product: Product, goal: ShoppingGoal, options: Mapping[str, str]) -> float:
    """The reward of the original code, its looseness included.

    A synthetic goal's option is compared as the text of a (name, value) pair, and every value that
    names a colour counts as that colour: "light blue" satisfies "navy blue", and some goals cannot
    be met with the very product and options they were made from.
    """
    chosen = [_colour(value) for value in options.values()]
    wanted = [str(_colour(option)) for option in goal.options]
    matched = sum(any(alike(value, option) for value in chosen) for option in wanted)
    return _total(product, goal, matched)


def strict_reward(product: Product, goal: ShoppingGoal, options: Mapping[str, str]) -> float:
    """The same, but an option counts only when exactly the value asked for was chosen."""
    chosen = options.items()
    matched = sum(
        option in options.values() if isinstance(option, str) else option in chosen
        for option in goal.options
    )
    return _total(product, goal, matched)


def nearest_options(product: Product, goal: ShoppingGoal) -> dict[str, str]:
    """Per option of the goal the product's value that is or comes near it: name -> value."""
    pairs = [(name, value) for name, values in product.options.items() for value in values]
    chosen: dict[str, str] = {}
    for option in goal.options:
        near = [pair for pair in pairs if option in (pair, pair[1])] or [
            pair for pair in pairs if alike(str(_colour(pair[1])), str(_colour(option)))
        ]
        chosen.update(near[:1])
    return chosen


REWARDS: dict[str, RewardRule] = {"original": original_reward, "strict": strict_reward}


def _total(product: Product, goal: ShoppingGoal, options_matched: int) -> float:
    matched = sum(has_attribute(product, attribute) for attribute in goal.attributes)
    points = matched + options_matched + (product.price <= goal.price_upper)
    return points / (len(goal.attributes) + len(goal.options) + 1) * type_factor(product, goal)


def type_factor(product: Product, goal: ShoppingGoal) -> float:
    """How far the product is of the kind asked for: 1, 0.5, 0.1 or 0."""
    wanted = goal.nouns
    shared = len(set(product.nouns) & set(wanted)) / len(wanted) if wanted else 0.2
    if shared < 0.1:
        return 0.1 if shared else 0.0
    if shared > 0.2 or product.query == goal.query:
        return 1.0
    return 1.0 if len(_parts(product) & _parts(goal)) >= 2 else 0.5


def has_attribute(product: Product, attribute: str) -> bool:
    """Whether the product has the attribute, in its list or in its text."""
    return any(alike(own, attribute) for own in product.attributes) or any(
        attribute in text
        for text in (
            product.title.lower(),
            " ".join(product.bullets).lower(),
            product.description.lower(),
        )
    )


def _parts(item: Product | ShoppingGoal) -> set[str]:
    return {part.strip() for part in item.product_category.split(PATH_SEPARATOR)}


def _colour(option: str | tuple[str, str]) -> str | tuple[str, str]:
    """The first colour in a value; in a (name, value) pair only one that is all of an element."""
    return next((colour for colour in COLOURS if colour in option), option)


@lru_cache(1 << 14)
def alike(one: str, other: str) -> bool:
    """Whether thefuzz's token set ratio of two texts is above 85 of 100."""
    return round(fuzz.token_set_ratio(_plain(one), _plain(other))) > _SAME


@lru_cache(1 << 14)
def _plain(text: str) -> str:
    """Lower-case words, as thefuzz 0.19 prepares them (Latin-1 letters dropped, `_` kept)."""
    return _NOT_WORD.sub(" ", text.translate(_LATIN_1)).lower().strip()
