"""The words that generated products are made of; written for this project.

A `Department` lists kinds of product, attributes in groups of alternatives (a product has one of a
group), and options. `a=b` gives an attribute and the words that say the same in a product's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from layergym.envs.webshop.products import PATH_SEPARATOR


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product: `noun` with several `subtypes`, under a part of the category path."""

    path: str
    noun: str
    subtypes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Attribute:
    """What an instruction asks for, and another way to say it (empty: none)."""

    name: str
    paraphrase: str


@dataclass(frozen=True, slots=True)
class Department:
    """One of the shop's categories."""

    name: str
    path: str
    places: Sequence[str]
    kinds: Sequence[Kind]
    attributes: Mapping[str, Sequence[Sequence[Attribute]]]
    """Groups of alternatives by how they are said: "is", "with" or "for"."""
    options: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class ProductDesign:
    """What a product is, before it is put into words."""

    department: Department
    kind: Kind
    subtype: str
    place: str
    attributes: tuple[tuple[str, Attribute], ...]
    """(how it is said, attribute)"""
    options: dict[str, list[str]]
    price: float

    @property
    def type_name(self) -> str:
        """Such as "console table"."""
        return f"{self.subtype} {self.kind.noun}"


COLORS = (
    "black, white, charcoal, beige, teal, burgundy, mustard, olive, lavender, coral, turquoise, "
    "walnut, ivory, plum, copper, silver, sapphire, peach, mint, khaki, indigo, crimson, amber"
)

_GARDEN = """
Furniture > Tables | table | console, coffee, nesting, folding, bedside
Furniture > Chairs | chair | dining, accent, rocking, swivel, lounge
Furniture > Storage | cabinet | shoe, bathroom, display, filing, wine
Furniture > Shelving | rack | corner, floating, ladder, spice, plant
Bedding | blanket | throw, weighted, heated, sherpa, quilted
Bedding > Pillows | pillow | body, bolster, memory foam, travel, lumbar
Décor > Windows | curtain | blackout, sheer, thermal, shower, door
Décor > Wall | mirror | vanity, floor, hallway, sunburst, shaving
Lighting | lamp | desk, floor, bedside, clip, tripod
Rugs | rug | runner, braided, shag, kitchen, jute
"""
_GARDEN_ATTRIBUTES = """
is: easy clean=wipes clean in seconds / machine washable=safe in a washing machine / dry clean only
is: easy assemble=goes together in minutes without tools / fully assembled=arrives in one piece
is: space saving=takes very little room / heavy duty=built for hard daily wear / wall mounted
is: eco friendly=gentle on the planet / hand painted / double sided=has two usable faces
is: water resistant=shrugs off spills / scratch resistant / flame retardant
is: long lasting=made to serve for years / mid century / non slip=stays put on smooth floors
with: solid wood=cut from one piece of timber / tempered glass / carbon steel / engineered bamboo
with: storage space=room to put things away / adjustable legs / lumbar support / brass finish
with: high density foam / memory filling / cotton cover / faux leather / velvet upholstery
with: usb charging / remote control / hidden zipper / metal frame
for: living room=where the family sits / home office / guest bedroom / dining nook
for: small apartments / vacation homes / nursery corners / rental flats
"""
_FASHION = """
Shoes > Everyday | sneaker | walking, running, slip on, canvas, platform
Shoes > Seasonal | boot | ankle, snow, hiking, chelsea, rain
Shoes > Open | sandal | wedge, sport, strappy, gladiator, slide
Clothing > Tops | shirt | polo, flannel, henley, linen, work
Clothing > Tops | sweater | cardigan, turtleneck, cable knit, pullover, cropped
Clothing > Bottoms | pant | cargo, yoga, chino, jogger, wide leg
Clothing > Dresses | dress | maxi, wrap, cocktail, shirt, pencil
Clothing > Outerwear | jacket | bomber, puffer, denim, trench, fleece
Clothing > Sleep | pajama | satin, fleece, short, nursing, thermal
Accessories | hat | bucket, beanie, sun, baseball, fedora
"""
_FASHION_ATTRIBUTES = """
is: machine wash=can be cleaned in any washer / hand wash=wash gently in a basin / dry clean
is: light weight=you hardly feel it / water resistant=keeps drizzle out / wind proof
is: slim fit=cut close to the body / relaxed fit=cut generously / regular fit
is: quick drying=dries fast after rain / wrinkle free=needs no iron / fade proof
is: moisture wicking=pulls sweat away / breathable mesh / fleece lined=soft and warm inside
with: elastic waist=stretches around the middle / drawstring closure / button closure / side zipper
with: rubber sole=grips wet ground / memory insole / ankle strap / arch support
with: polyester spandex / organic cotton / merino wool / bamboo viscose / faux suede
with: long sleeve / short sleeve / contrast stitching / deep pockets / reflective trim
for: daily wear=something to put on every day / office wear / evening parties / winter hikes
for: beach vacations / gym workouts / rainy commutes / wedding guests
"""
_GROCERY = """
Snacks | chip | potato, tortilla, kale, plantain, lentil
Snacks | bar | granola, protein, fruit, nut, cereal
Snacks | cookie | oatmeal, shortbread, ginger, wafer, almond
Snacks > Nuts | mix | trail, party, seed, cashew, pretzel
Beverages | tea | herbal, oolong, chai, rooibos, matcha
Beverages | coffee | ground, whole bean, instant, cold brew, decaf
Beverages | drink | energy, electrolyte, kombucha, coconut, sparkling
Pantry | sauce | pasta, curry, barbecue, hot, teriyaki
Pantry | spread | hazelnut, peanut, apricot, tahini, honey
Pantry > Baking | flour | almond, rice, oat, coconut, buckwheat
"""
_GROCERY_ATTRIBUTES = """
is: gluten free=contains no wheat, rye or barley / whole grain=milled with the bran / grain free
is: sugar free=sweetened without any sugar / low sugar=only slightly sweet / keto friendly
is: dairy free=made without milk / nut free=no tree nuts in the factory / soy free
is: non gmo=from unmodified crops / certified organic / kosher certified
is: plant based=nothing in it from animals / freeze dried / hand crafted=mixed by cooks
is: ready eat=needs no cooking / individually wrapped=every portion sealed / resealable bag
with: high protein=filling for hours / dietary fiber / low sodium / omega fatty acids
with: natural flavors / real cinnamon / sea salt / dark cocoa / citric zest
with: natural ingredients=nothing artificial goes in / artificial colors / vitamin blend
for: school lunches=made for a lunch box / office breaks / road trips / camping meals
for: gift baskets / holiday parties / quick breakfasts / movie nights
"""
_BEAUTY = """
Hair Care | shampoo | dandruff, clarifying, volumizing, purple, baby
Hair Care | treatment | scalp, keratin, split end, overnight, curl
Hair Care > Tools | brush | detangling, paddle, round, vented, beard
Skin Care | cream | night, eye, hand, shaving, sun
Skin Care | serum | vitamin, retinol, peptide, brightening, lash
Skin Care > Masks | mask | clay, sheet, sleeping, peel off, lip
Bath | soap | castile, glycerin, charcoal, oatmeal, goat milk
Makeup | lipstick | matte, liquid, sheer, crayon, tinted
Makeup > Eyes | palette | eyeshadow, contour, brow, highlighter, glitter
Oral Care | toothbrush | bamboo, electric, kids, interdental, sonic
"""
_BEAUTY_ATTRIBUTES = """
is: cruelty free=never tested on animals / dermatologist tested / clinically proven
is: paraben free=preserved without parabens / sulfate free=lathers without harsh salts / oil free
is: fragrance free=has no scent at all / lightly scented / alcohol free
is: long lasting=stays on from morning to night / quick absorbing=sinks in at once / rinse off
is: easy apply=goes on without practice / travel size=small enough for a cabin bag / easy carry
with: hyaluronic acid / salicylic acid / coconut oil / argan oil / tea tree
with: green tea / shea butter / aloe vera / witch hazel / jojoba beads
with: natural ingredients=nothing synthetic goes in / soft bristles / ergonomic handle
for: sensitive skin=for those who redden easily / dry skin / oily skin / mature skin
for: damaged hair=for strands that break / hair growth / fine lines / dark circles
for: daily use / weekly care / bridal looks / winter months
"""
_ELECTRONICS = """
Audio | speaker | bookshelf, shower, party, outdoor, soundbar
Audio | headphone | over ear, sleep, gaming, kids, open back
Computers | keyboard | mechanical, folding, ergonomic, numeric, backlit
Computers | webcam | conference, streaming, doorbell, clip on, ring light
Computers > Cables | cable | ethernet, charging, display, extension, optical
Phones | charger | car, wall, travel, dock, magnetic
Phones | case | wallet, rugged, clear, folio, battery
Cameras | tripod | travel, tabletop, video, monopod, phone
Television | mount | ceiling, tilting, corner, desk, full motion
Wearables | band | nylon, leather, mesh, sport, ceramic
"""
_ELECTRONICS_ATTRIBUTES = """
is: fast charging=full again within the hour / wireless charging / solar powered
is: water proof=survives being dropped in a pool / dust proof / shock proof=survives falls
is: plug play=works as soon as it is connected / easy install=fitted in five minutes / tool free
is: light weight=barely there in a bag / heavy duty=for years of rough handling / ultra slim
is: noise cancelling=shuts the street out / low latency / high resolution
with: stereo sound / deep bass / surround effects / built microphone
with: gold plated contacts / braided nylon / aluminum alloy / carbon fiber / silicone shell
with: quick release=comes off with one press / led indicator / volume knob / motion sensor
with: usb port / optical zoom / battery display / memory slot
for: home theater=for evenings in front of a film / video calls / live streaming / office desks
for: long flights / rainy hikes / small studios / class rooms
"""


def _kinds(text: str) -> list[Kind]:
    rows = [[part.strip() for part in line.split("|")] for line in text.strip().splitlines()]
    return [
        Kind(path.replace(">", PATH_SEPARATOR), noun, subtypes.split(", "))
        for path, noun, subtypes in rows
    ]


def _attributes(text: str) -> dict[str, list[list[Attribute]]]:
    groups: dict[str, list[list[Attribute]]] = {"is": [], "with": [], "for": []}
    for line in text.strip().splitlines():
        slot, _, names = line.partition(": ")
        pairs = [name.partition("=") for name in names.split(" / ")]
        groups[slot].append([Attribute(name, paraphrase) for name, _, paraphrase in pairs])
    return groups


def _department(
    name: str, path: str, places: str, kinds: str, attributes: str, **options: str
) -> Department:
    values = {option.replace("_", " "): text.split(", ") for option, text in options.items()}
    return Department(
        name, path, places.split(", "), _kinds(kinds), _attributes(attributes), values
    )


DEPARTMENTS = (
    _department(
        "garden", "Home & Kitchen", "Living Room, Bedroom, Office, Patio", _GARDEN,
        _GARDEN_ATTRIBUTES, color=COLORS,
        size="16 x 16 inch, 24 x 36 inch, 30 x 84 inch, 48 x 60 inch, 52 x 95 inch, 72 x 18 inch",
    ),
    _department(
        "fashion", "Clothing, Shoes & Jewelry", "Women, Men, Girls, Boys", _FASHION,
        _FASHION_ATTRIBUTES, color=COLORS,
        size="petite, small, medium, large, tall, wide, plus, junior",
    ),
    _department(
        "grocery", "Grocery & Gourmet Food", "Family, Vegan, Kids, Gourmet", _GROCERY,
        _GROCERY_ATTRIBUTES,
        flavor_name="smoky paprika, vanilla, wild cherry, mango, lemon thyme, rosemary, maple, "
        "caramel, pistachio, cardamom, blackcurrant, jalapeno",
        size="1 pack, 4 count, 250 gram, 6 ounce, 12 pouches, 2 kilo, 500 milliliter",
    ),
    _department(
        "beauty", "Beauty & Personal Care", "Women, Men, Salon, Baby", _BEAUTY,
        _BEAUTY_ATTRIBUTES, color=COLORS,
        scent="eucalyptus, sandalwood, jasmine, bergamot, unscented, honeysuckle, patchouli, cedar",
        size="50 ml, 3.4 ounce, 1 liter, 2 pack, 8 gram, 120 count",
    ),
    _department(
        "electronics", "Electronics", "Home, Travel, Studio, Car", _ELECTRONICS,
        _ELECTRONICS_ATTRIBUTES, color=COLORS,
        size="mini, compact, standard, grand, extended, 12 inch",
        style="starter, deluxe, classic, retro, minimal, collector",
    ),
)  # fmt: skip
"""The five departments; their names are WebShop's categories."""
