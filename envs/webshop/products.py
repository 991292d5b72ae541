"""Products and goals, and how WebShop's raw rows become products.

Fields and cleaning follow `load_products` of princeton-nlp/WebShop (MIT).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_PRICE = 100.0
NO_LIMIT = 1_000_000.0
"""The price bound of a goal whose instruction names none, dollars."""
PATH_SEPARATOR = "\u203a"
"""Separates the parts of a category path."""
_BOUNDS = [10.0 * i for i in range(1, 100)]
_LONGEST_ASIN = 10


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction written for a product, with what it asks for."""

    instruction: str
    attributes: Sequence[str]
    options: Sequence[str] | Sequence[Sequence[str]]
    """Option values (human goals) or (name, value) pairs."""
    price_upper: float
    kind: str


@dataclass(frozen=True, slots=True)
class Product:
    """One product as the shop shows it. Prices are in dollars."""

    asin: str
    title: str
    description: str
    bullets: Sequence[str]
    options: Mapping[str, Sequence[str]]
    attributes: Sequence[str]
    price_tag: str
    price: float
    """What the reward compares: drawn from the range where the tag shows one."""
    category: str
    query: str
    product_category: str
    nouns: Sequence[str]
    """Nouns of the title, lower case, repeats kept."""
    instruction: str = ""
    """Start of the synthetic instructions; empty when there are none."""
    instruction_attributes: Sequence[str] = ()
    price_upper: float = NO_LIMIT
    """The price bound of the synthetic goals."""
    requests: Sequence[Instruction] = ()
    family: str = ""
    """Products of one family go to the same split; empty: the product is its own family."""

    def search_text(self) -> str:
        """The field that WebShop indexes: of the bullets, only the first."""
        options = ", and ".join(f"{name}: {', '.join(vs)}" for name, vs in self.options.items())
        first = self.bullets[0] if self.bullets else ""
        return " ".join([self.title, self.description, first, options]).lower()


@dataclass(frozen=True, slots=True)
class ShoppingGoal:
    """What the shopper wants, and what the reward compares a purchase with."""

    asin: str
    instruction: str
    attributes: tuple[str, ...]
    options: tuple[str, ...] | tuple[tuple[str, str], ...]
    price_upper: float
    query: str
    product_category: str
    nouns: tuple[str, ...]


class BadRow(ValueError):
    """A catalogue row that cannot be used; the message is the reason."""


def parse_product(
    row: object,
    attributes: Mapping[str, Any],
    human: Mapping[str, Any],
    nouns: Mapping[str, Sequence[str]] | None,
) -> Product:
    """A product from a row of `items_shuffle*.json` and what the other files say about it.

    Price draws are seeded by the asin alone, so that a product has the same price and the same
    bounds in every process and in every catalogue that holds it.

    Args:
        row: the raw row.
        attributes: `items_ins_v2*.json`.
        human: `items_human_ins.json`.
        nouns: asin -> nouns of the title; where None or silent, `approximate_nouns` stands in.

    Raises:
        BadRow: it has no usable asin or title, or a field of the wrong type.
    """
    if not isinstance(row, dict):
        raise BadRow("not an object")
    asin, title = row.get("asin"), row.get("name")
    if not isinstance(asin, str) or asin in ("", "nan") or len(asin) > _LONGEST_ASIN:
        raise BadRow("asin")
    if not isinstance(title, str):
        raise BadRow("name")
    draw = random.Random(f"price of {asin}")
    prices, tag = _prices(row.get("pricing"))
    price = prices[0] if len(prices) == 1 else draw.uniform(*prices)
    known = attributes.get(asin)
    about = known if isinstance(known, dict) else {}
    own_nouns = nouns.get(asin) if nouns is not None else None
    wanted = _strings(about.get("instruction_attributes"))
    category = _string(row.get("category"), "category")
    return Product(
        asin=asin,
        title=title,
        description=_string(row.get("full_description"), "full_description"),
        bullets=_bullets(row.get("small_description")),
        options=_options(row.get("customization_options")),
        attributes=_strings(about.get("attributes", ["DUMMY_ATTR"])),
        price_tag=tag,
        price=price,
        category=category,
        query=_string(row.get("query"), "query").lower().strip(),
        product_category=_string(row.get("product_category"), "product_category"),
        nouns=approximate_nouns(title) if own_nouns is None else list(own_nouns),
        instruction=_string(about.get("instruction"), "instruction") if wanted else "",
        instruction_attributes=wanted,
        price_upper=price_bound(price, draw),
        requests=_requests(asin, price, category, human.get(asin)),
    )


def price_bound(price: float, draw: random.Random) -> float:
    """The larger of two of the next four multiples of $10, or `NO_LIMIT` near the top."""
    nearest = [bound for bound in _BOUNDS if bound > price][:4]
    return max(draw.sample(nearest, 2)) if len(nearest) >= 2 else NO_LIMIT


def price_text(bound: float) -> str:
    """How an instruction ends that has a price bound."""
    return f", and price lower than {bound:.2f} dollars" if bound < NO_LIMIT else ""


# Words that a title may hold and that are no nouns.
_NOT_NOUN_WORDS = (
    "a about all an and any are as at be both by can do each every for from get go has have her "
    "his how if in into is it its just made make more most my no not of off on one only or other "
    "our out over own per plus so some such suit than that the their them these they this those "
    "to too under up use very via was we when which while will with without you your"
)
_NOT_NOUNS = frozenset(_NOT_NOUN_WORDS.split())


def approximate_nouns(title: str) -> list[str]:
    """Alphabetic words of a title less function words.

    An approximation of spaCy's part-of-speech tags, which the original uses: with spaCy's 3.8
    small model, rewards agree in 93 to 95 % of purchases. For exact ones, put `title_nouns*.json`
    (asin -> nouns) beside the catalogue.
    """
    words = re.findall(r"[^\W\d_]+", title.lower())
    return [word for word in words if word not in _NOT_NOUNS]


def _requests(asin: str, price: float, category: str, entries: object) -> list[Instruction]:
    """The human goals of a product; those without attributes are left out, as in WebShop."""
    if not isinstance(entries, list):
        return []
    requests = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue
        wanted = _strings(entry.get("instruction_attributes"))
        text = entry.get("instruction")
        if wanted and isinstance(text, str):
            bound = price_bound(price, random.Random(f"bound of {asin}, human goal {number}"))
            options = _strings(entry.get("instruction_options"))
            text = text.strip(".") + price_text(bound)
            requests.append(Instruction(text, wanted, options, bound, category))
    return requests


def _prices(pricing: object) -> tuple[list[float], str]:
    """The price or the two ends of its range, and the tag."""
    digits = [re.sub(r"[^\d.]", "", p) for p in str(pricing or "").split("$")[1:]]
    prices = [float(d) for d in digits if re.fullmatch(r"\d+\.?\d*|\.\d+", d, re.ASCII)][:2]
    prices = prices or [DEFAULT_PRICE]
    return prices, " to ".join(f"${price}" for price in prices)


def _options(raw: object) -> dict[str, list[str]]:
    if not raw:
        return {}
    if not isinstance(raw, dict):
        raise BadRow("customization_options")
    options = {}
    for name, contents in raw.items():
        if contents is None:
            continue
        try:
            values = [content["value"].strip().replace("/", " | ").lower() for content in contents]
        except (TypeError, KeyError, AttributeError):
            raise BadRow("customization_options") from None
        options[name.lower()] = values
    return options


def _bullets(raw: object) -> list[str]:
    return _strings(raw) if isinstance(raw, list) else [_string(raw, "small_description")]


def _string(raw: object, field: str) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise BadRow(field)
    return raw


def _strings(raw: object) -> list[str]:
    return [item for item in raw if isinstance(item, str)] if isinstance(raw, list) else []
