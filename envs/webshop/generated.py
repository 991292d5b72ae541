"""The catalogue that comes with the project: made up, seeded, the same on every machine.

Products come in families of near-duplicates that differ from the one asked for in exactly one
thing: an attribute, an option value, the price or the kind. How many there are, and where a page
says what tells them apart, makes the difficulty. Lengths of texts and numbers of kinds, attributes
and option values are about those of WebShop's 1,000 products; more products have options.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from layergym.envs.webshop.building import build_catalogue
from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.goals import goal_of
from layergym.envs.webshop.loading import cached
from layergym.envs.webshop.products import Instruction, Product, price_bound, price_text
from layergym.envs.webshop.reward import alike, nearest_options, original_reward
from layergym.envs.webshop.vocabulary import DEPARTMENTS, Department, Kind, ProductDesign
from layergym.envs.webshop.wording import instruction, plural, write_product

VERSION = 1
"""Raise it when the generated text changes."""


@dataclass(frozen=True, slots=True)
class Level:
    """What makes a difficulty."""

    name: str
    families: int
    """Families for each of the 250 kinds of product."""
    twins: Sequence[str]
    """What each near-duplicate differs in from the first product of its family."""
    wanted: tuple[int, int]
    """Least and most attributes asked for."""
    options: tuple[int, int]
    """Least and most options."""
    in_title: float
    """Share of the attributes that the title names."""
    hidden: float
    """Share of the rest that stand where the search engine does not look: after bullet one."""
    colloquial: bool
    """Whether instructions read like a person's, not like WebShop's pattern."""


_LEVELS = (
    Level("easy", 2, ["kind"], (1, 2), (0, 1), in_title=0.5, hidden=0.2, colloquial=False),
    Level(
        "medium", 2, ["attribute", "option", "price", "kind"], (2, 4), (1, 2),
        in_title=0.2, hidden=0.5, colloquial=False,
    ),
    Level(
        "hard", 2, ["attribute"] * 4 + ["price"] * 3 + ["option"] * 2 + ["kind"] * 2, (3, 5),
        (2, 2), in_title=0.0, hidden=0.6, colloquial=True,
    ),
)  # fmt: skip
DIFFICULTIES = tuple(level.name for level in _LEVELS)


@dataclass(frozen=True, slots=True)
class _Order:
    """What the goals of a family ask for, apart from attributes."""

    wanted: int
    """How many of the attributes."""
    options: dict[str, str]
    bound: float


@lru_cache(1)
def open_generated() -> Catalogue:
    """The generated catalogue; written to the cache on first use, which takes seconds."""

    def write(folder: Path) -> None:
        build_catalogue(folder, generate_products(), "generated")

    return Catalogue(cached(f"generated-{VERSION}", write))


def generate_products(scale: int = 1) -> Iterator[Product]:
    """9,500 products times `scale`, family after family, with the goals written for them."""
    for level in _LEVELS:
        for number in range(level.families * scale):
            for department in DEPARTMENTS:
                for kind in department.kinds:
                    for subtype in kind.subtypes:
                        name = f"{level.name} {department.name} {subtype} {kind.noun} {number}"
                        yield from _family(name, level, department, kind, subtype)


def _family(
    name: str, level: Level, department: Department, kind: Kind, subtype: str
) -> list[Product]:
    draw = random.Random(f"generated {VERSION}: {name}")
    first = _design(draw, level, department, kind, subtype)
    chosen = {option: draw.choice(values) for option, values in first.options.items()}
    bound = price_bound(first.price, draw)
    wanted = min(draw.randint(*level.wanted), len(first.attributes))
    order = _Order(wanted, chosen, bound)
    twins = [_twin(draw, first, what, order) for what in level.twins]
    designs = [first, *twins]
    written = [write_product(draw, design, level.in_title, level.hidden) for design in designs]
    members = [replace(product, family=name) for product in written]
    other = {option: draw.choice(values) for option, values in first.options.items()}
    asked = [(0, order), (0, replace(order, options=other))]
    asked += [(1 + n, order) for n, what in enumerate(level.twins) if what == "attribute"]
    requests: dict[int, list[Instruction]] = {}
    for place, wish in asked:
        request = _request(draw, level, designs[place], wish)
        known = [known.instruction for known in requests.get(place, [])]
        if request.instruction not in known and _only_one_fits(members, place, request):
            requests.setdefault(place, []).append(request)
    return [replace(member, requests=requests.get(n, [])) for n, member in enumerate(members)]


def _design(
    draw: random.Random, level: Level, department: Department, kind: Kind, subtype: str
) -> ProductDesign:
    attributes = []
    for slot, groups in department.attributes.items():
        for group in draw.sample(groups, min(len(groups), draw.randint(1, 3))):
            attributes.append((slot, draw.choice(group)))
    draw.shuffle(attributes)
    count = draw.randint(*level.options)
    names = sorted(draw.sample(sorted(department.options), min(count, len(department.options))))
    options = {}
    for name in names:
        values = _tellable(name, tuple(department.options[name]))
        options[name] = draw.sample(values, draw.randint(3, min(9, len(values))))
    price = round(5 * 40 ** draw.random(), 2)  # 5 to 200 dollars, most of them low
    place = draw.choice(department.places)
    return ProductDesign(department, kind, subtype, place, tuple(attributes), options, price)


def _twin(draw: random.Random, first: ProductDesign, what: str, order: _Order) -> ProductDesign:
    """A design that differs from `first` in one thing that matters to the order."""
    if what == "attribute":
        place = draw.randrange(order.wanted)
        slot, attribute = first.attributes[place]
        group = next(g for g in first.department.attributes[slot] if attribute in g)
        changed = list(first.attributes)
        changed[place] = slot, draw.choice([other for other in group if other != attribute])
        return replace(first, attributes=tuple(changed))
    if what == "option":
        name = draw.choice(sorted(order.options))
        values = [value for value in first.options[name] if value != order.options[name]]
        return replace(first, options={**first.options, name: values})
    if what == "price":
        return replace(first, price=round(order.bound + draw.uniform(1, 30), 2))
    others = [subtype for subtype in first.kind.subtypes if subtype != first.subtype]
    return replace(first, subtype=draw.choice(others))


@lru_cache(64)
def _tellable(name: str, values: tuple[str, ...]) -> list[str]:
    """The values that the original reward can tell from one another."""
    kept: list[str] = []
    for value in values:
        if not any(_confused(name, value, k) or _confused(name, k, value) for k in kept):
            kept.append(value)
    return kept


def _confused(name: str, wanted: str, chosen: str) -> bool:
    return alike(chosen, str((name, wanted)))


def _request(
    draw: random.Random, level: Level, design: ProductDesign, order: _Order
) -> Instruction:
    said = design.attributes[: order.wanted]
    text = instruction(draw, level.colloquial, plural(design.type_name), said, order.options)
    names = [*(attribute.name for _, attribute in said), design.type_name]
    options = [list(option) for option in order.options.items()]
    return Instruction(text + price_text(order.bound), names, options, order.bound, level.name)


def _only_one_fits(members: Sequence[Product], place: int, request: Instruction) -> bool:
    """Whether of a family the member at `place`, and no other, is worth the full reward."""
    goal = goal_of(replace(members[place], requests=[request]), "requests", 0)
    best = [original_reward(member, goal, nearest_options(member, goal)) for member in members]
    return [n for n, reward in enumerate(best) if reward == 1] == [place]
