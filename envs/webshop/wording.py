"""Words for generated products and instructions."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence

from layergym.envs.webshop.products import PATH_SEPARATOR, Product
from layergym.envs.webshop.vocabulary import Attribute, ProductDesign

_ONSETS, _VOWELS, _CODAS = "b d f g k l m n p r s t v z br cl dr fl gr pl st tr", "aeiou", "lnrsx"
_SAYINGS = (
    "Thoughtful Gift Idea", "Trusted Everyday Quality", "Modern Look and Feel",
    "Carefully Packed and Shipped", "Made for Busy People", "New and Improved Version",
    "Small Batch Production", "Favorite of Our Customers", "Designed and Tested In House",
)  # fmt: skip
_FILLERS = (
    "We at {brand} have made the {type} for more than ten years and still check each one by hand.",
    "If anything is wrong with your {noun}, write to us and we will put it right.",
    "The picture may look a little different on your screen.",
    "Our designers spent months with customers before they settled on this {type}.",
    "It looks at home wherever you put it to use.",
    "Please read the measurements and notes on this page before you order.",
    "A small card with instructions comes in the parcel.",
    "Many people buy a second {type} for a friend after they have tried the first.",
    "The parcel is plain, sturdy and can be recycled.",
    "Not sure yet? Compare it with the other {plural} in our shop.",
    "Every {type} is inspected before it leaves our warehouse.",
    "{brand} is a family business with a small and friendly team.",
)
_VERBATIM = {
    "is": ("This {noun} is {name}.", "Yes, it is {name}.", "What we promise: {name}."),
    "with": ("It comes with {name}.", "Enjoy a {noun} with {name}.", "You get {name}."),
    "for": ("Just right for {name}.", "A good choice for {name}.", "We had {name} in mind."),
}
_PARAPHRASED = ("Good to know: {text}.", "Customers tell us: {text}.", "In short: {text}.")


def plural(noun: str) -> str:
    """The plural of a noun that the vocabulary has."""
    return noun + ("es" if noun.endswith(("s", "sh", "x", "ch")) else "s")


def write_product(
    draw: random.Random, design: ProductDesign, in_title: float, hidden: float
) -> Product:
    """Put a design into words, with a brand, a product code and filler of its own."""
    brand = _brand(draw)
    words = {
        "brand": brand,
        "noun": design.kind.noun,
        "plural": plural(design.kind.noun),
        "type": design.type_name,
    }
    titled: list[str] = []
    indexed: list[str] = []
    later: list[str] = []
    for slot, attribute in design.attributes:
        if draw.random() < in_title:
            titled.append(attribute.name)
            continue
        part = later if draw.random() < hidden else indexed
        part.append(_sentence(draw, slot, attribute, words))
    fillers = [filler.format(**words) for filler in draw.sample(_FILLERS, 8)]
    indexed += fillers[:6]
    later.append(fillers[6])
    draw.shuffle(indexed)
    draw.shuffle(later)
    type_name = design.type_name
    ranged = draw.random() < 0.09
    low, high = round(design.price * 0.9, 2), round(design.price * 1.1, 2)
    return Product(
        asin="G0" + "".join(draw.choices(string.ascii_uppercase + string.digits, k=8)),
        title=_title(draw, brand, design, titled),
        description=" ".join(indexed),
        bullets=[fillers[7], *later],
        options=design.options,
        attributes=[*(a.name for _, a in design.attributes), type_name],
        price_tag=f"${low} to ${high}" if ranged else f"${design.price}",
        price=design.price,
        category=design.department.name,
        query=plural(type_name),
        product_category=f" {PATH_SEPARATOR} ".join(
            [design.department.path, design.place, design.kind.path, plural(type_name).title()]
        ),
        nouns=[brand.lower(), *type_name.split(), *design.place.lower().split()],
    )


def instruction(
    draw: random.Random,
    colloquial: bool,
    query: str,
    attributes: Sequence[tuple[str, Attribute]],
    options: Mapping[str, str],
) -> str:
    """An instruction without its price: in WebShop's pattern, or as a person would write it."""
    by_slot = {
        slot: [attribute.name for said, attribute in attributes if said == slot]
        for slot in ("is", "with", "for")
    }
    if colloquial:
        return _colloquial(draw, query, by_slot, options)
    text = "Find me " + ", ".join(by_slot["is"]) + " " * bool(by_slot["is"]) + query
    for slot in ("with", "for"):
        if by_slot[slot]:
            text += f" {slot} {', '.join(by_slot[slot])}"
    values = ", and ".join(f"{name}: {value}" for name, value in options.items())
    return text + (f" with {values}" if values else "")


def _colloquial(
    draw: random.Random,
    query: str,
    by_slot: Mapping[str, Sequence[str]],
    options: Mapping[str, str],
) -> str:
    text = draw.choice(["i am looking for", "i need some", "i want to buy", "please get me"])
    text += f" {query}"
    parts = []
    if by_slot["is"]:
        parts.append(f"that are {' and '.join(by_slot['is'])}")
    if by_slot["with"]:
        parts.append(f"with {' and '.join(by_slot['with'])}")
    if by_slot["for"]:
        parts.append(f"for {' and '.join(by_slot['for'])}")
    draw.shuffle(parts)
    text += " " + ", ".join(parts)
    values = [f"{value} {name.split()[0]}" for name, value in options.items()]
    draw.shuffle(values)
    return text + (f", in {' and '.join(values)}" if values else "")


def _title(draw: random.Random, brand: str, design: ProductDesign, titled: Sequence[str]) -> str:
    model = f"{draw.choice(string.ascii_uppercase)}{draw.randint(10, 999)}"
    parts = [f"{brand} {design.type_name.title()} {model} for {design.place}"]
    parts += [name.title() for name in titled]
    parts += draw.sample(_SAYINGS, max(1, 3 - len(titled)))
    return ", ".join(parts)


def _sentence(
    draw: random.Random, slot: str, attribute: Attribute, words: Mapping[str, str]
) -> str:
    if attribute.paraphrase and draw.random() < 0.5:
        return draw.choice(_PARAPHRASED).format(text=attribute.paraphrase)
    return draw.choice(_VERBATIM[slot]).format(name=attribute.name, **words)


def _brand(draw: random.Random) -> str:
    syllables = [
        draw.choice(_ONSETS.split()) + draw.choice(_VOWELS) + draw.choice(_CODAS) * (n == 1)
        for n in range(2)
    ]
    return "".join(syllables).title()
