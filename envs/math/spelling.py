r"""One spelling for an answer: plain LaTeX in ASCII, with words marked as words.

`\text{...}` and its relatives leave their words behind, each marked with `WORD`, so that
`5\text{ cm}` is a number and a word, and `5cm` may be a product of letters. Nothing is joined that
stood apart: `8 5` stays two numbers.
"""

from __future__ import annotations

import re
import unicodedata

WORD = "\x02"
"""Stands before each word that was written as text."""

_SYMBOLS = {
    **{"MINUS SIGN": "-", "EN DASH": "-", "EM DASH": "-", "HYPHEN": "-"},
    **{"NON-BREAKING HYPHEN": "-", "FULLWIDTH EQUALS SIGN": "=", "FULLWIDTH COMMA": ", "},
    **{"ARABIC DECIMAL SEPARATOR": ".", "ARABIC THOUSANDS SEPARATOR": ",", "DIVISION SIGN": "/"},
    **{"FRACTION SLASH": "/", "DIVISION SLASH": "/", "ASTERISK OPERATOR": "*"},
    **{"MULTIPLICATION SIGN": r" \times ", "MIDDLE DOT": r" \cdot ", "DOT OPERATOR": r" \cdot "},
    **{"LESS-THAN OR EQUAL TO": r" \le ", "GREATER-THAN OR EQUAL TO": r" \ge "},
    **{"NOT EQUAL TO": r" \neq ", "ALMOST EQUAL TO": r" \approx ", "PLUS-MINUS SIGN": r" \pm "},
    **{"INFINITY": r" \infty ", "DEGREE SIGN": r"^\circ ", "UNION": r" \cup "},
    **{"INTERSECTION": r" \cap ", "ELEMENT OF": r" \in ", "EMPTY SET": r" \emptyset "},
    **{"SQUARE ROOT": r"\sqrt", "FULLWIDTH YEN SIGN": "¥", "FULLWIDTH POUND SIGN": "£"},
    **{"CHECK MARK": " ", "HEAVY CHECK MARK": " ", "WHITE HEAVY CHECK MARK": " "},
    **{"LATIN SMALL LETTER L WITH STROKE": "l", "NO-BREAK SPACE": " "},
    **{"THIN SPACE": " ", "NARROW NO-BREAK SPACE": " "},
}
_GREEK = {
    chr(code): f"\\{unicodedata.name(chr(code)).rpartition(' ')[2].lower()} "
    for code in range(0x3B1, 0x3CA)
    if "FINAL" not in unicodedata.name(chr(code))
}
_TABLE = str.maketrans({unicodedata.lookup(name): text for name, text in _SYMBOLS.items()} | _GREEK)
_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")


def ascii_math(text: str) -> str:
    """`text` with what Unicode has for mathematics written as LaTeX, and all digits as 0 to 9."""
    text = _RAISED.sub(lambda match: f"^{{{unicodedata.normalize('NFKC', match[0])}}}", text)
    text = "".join(_one(char) for char in text) if not text.isascii() else text
    return re.sub(r"\\sqrt(\d+|[a-z](?![a-z]))", r"\\sqrt{\1}", text)


def _one(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.decomposition(char).startswith("<fraction>"):
        over, _, under = unicodedata.normalize("NFKC", char).partition("\N{FRACTION SLASH}")
        return f"\\frac{{{over}}}{{{under}}}" if under else char
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.digit(char))
    normal = char.translate(_TABLE)
    return unicodedata.normalize("NFKC", normal).translate(_TABLE)


_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal|up)?|mbox|hbox|math(?:rm|bf|it|sf|tt)|bf|rm|operatorname|"
    r"underline|emph|boldsymbol|bm)"
    r"\s*\{((?:[^{}]|\^\{[^{}]*\})*)\}"
)
_UNITS_OVER = re.compile(
    r"\\[dtc]?frac\{ ?\\(?:text|mathrm)\{([A-Za-z ]+)\} ?\}"
    r"\{ ?\\(?:text|mathrm)\{([A-Za-z ]+)\} ?(\^\{?\d\}?)? ?\}"
)
_FUNCTIONS = tuple(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "exp",
        "arcsin",
        "arccos",
        "arctan",
        "gcd",
    ]
)
_REPLACED = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r", ?\\! ?", ","),
        (r"(?<!\\)((?:\\\\)*)\\!", r"\1"),
        (r"\\\\\[[^\]]*\]", r"\\\\"),  # the height of a row
        (r"(?<!\\)((?:\\\\)*)(?:\\[,;: ]|\\q?quad(?![a-z])|~)", r"\1 "),
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-zA-Z])", ""),
        (r"\{,\}", ","),
        (r"\\(?:[dtc]frac)(?![a-z])", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{([^{}]*)\}", r"\\frac{\1}{\2}"),
        (r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\lbrace(?![a-z])", r"\\{"),
        (r"\\rbrace(?![a-z])", r"\\}"),
        (r"\\varnothing(?![a-z])|^\{ *\}$", r"\\emptyset"),
        (r"\\checkmark(?![a-z])|\\(?:text)?color ?\{[A-Za-z]*\}", " "),
        (r"\\sqrt\s*(\d)", r"\\sqrt{\1}"),
        (r"\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\degree(?![a-z])|\\deg(?![a-z])", " degrees "),
        (rf"degrees +{WORD}?C(?![A-Za-z])", f"{WORD}celsius "),
        (rf"degrees +(?={WORD}?(?:[Cc]elsius|[Ff]ahrenheit))", ""),
        (rf"degrees +{WORD}?F(?![A-Za-z])", f"{WORD}fahrenheit "),
        (r"\\(?:leq|leqslant)(?![a-z])", r"\\le "),
        (r"\\(?:geq|geqslant)(?![a-z])", r"\\ge "),
        (r"\\ne(?![a-z])", r"\\neq "),
        (r"\\(?:simeq|approxeq)(?![a-z])", r"\\approx "),
        (r"(?<![\\A-Za-z])sqrt ?\(([^()]*)\)", r"\\sqrt{\1}"),
        (rf"(?<![\\A-Za-z{WORD}])({'|'.join(_FUNCTIONS)}|pi)(?![A-Za-z])", r"\\\1 "),
        (rf"(?<![\\A-Za-z{WORD}])inf(?:inity)?(?![A-Za-z])", r"\\infty "),
        (r"(?<![A-Za-z])(?:A|AU|C|CA|HK|NZ|S|SG|US)\\?\$(?= ?\d)", "$"),
        (rf"(?<=[\dA-Za-z]) ?\( ?((?:{WORD}?[A-Za-z]{{3,}} ?)+)\)$", rf" {WORD}\1"),
        (r"(\$ ?[\d.,]*\d)[kK](?![A-Za-z])", r"\1 thousand"),
        (r"(\$ ?[\d.,]*\d)(?:M|mm)(?![A-Za-z])", r"\1 million"),
        (r"(\$ ?[\d.,]*\d)B(?![A-Za-z])", r"\1 billion"),
        (r"\\pounds(?![a-z])", "£"),
        (r"\\(?:euro|EUR)(?![a-z])", "€"),
        (r"(^|[&,(\[]|\\\\)\s*\{([-+]?[\w.]+)\}", r"\1\2"),  # braces that group one number
    )
]
_DELIMITED = re.compile(
    r"^(?:\$+([^$]*)\$+|\\[(\[](.*)\\[)\]]|\*\*([^*]*)\*\*|`([^`]*)`)$", re.DOTALL
)
_REPEATING = re.compile(r"(\d{0,50})\.(\d{0,50}) ?\\overline ?\{?(\d{1,50})\}?")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])(?<!\d )\d{1,3}(?: \d{3})+(?! ?[\d/])")


def plain(text: str) -> str:
    """An answer in plain LaTeX, words marked; at most a few passes over the text."""
    text = re.sub(r"\s+", " ", ascii_math(text)).strip()
    match = _DELIMITED.match(text)
    text = "".join(filter(None, match.groups())).strip() if match else text
    text = _UNITS_OVER.sub(r"\\text{ \1 / \2\3 }", text)
    for _ in range(3):  # as deep as text commands are nested
        text = _TEXT.sub(lambda match: _words(match[1]), text)
    for pattern, new in _REPLACED:
        text = pattern.sub(new, text)
    text = _REPEATING.sub(_repeating, text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".,; ")
    text = re.sub(rf"\^ ?\{{? ?{WORD}?(st|nd|rd|th) ?\}}?", r"\1", text)
    grouped = re.fullmatch(r"\{([^{}]*)\}", text)
    text = grouped[1].strip() if grouped else text
    text = _SPACED_THOUSANDS.sub(lambda match: match[0].replace(" ", ""), text)
    return re.sub(rf"^(\d+) {WORD}?to (\d+)$", r"\1:\2", text)


def _repeating(match: re.Match[str]) -> str:
    """The fraction that a decimal with repeating digits is."""
    fixed, again = match[1] + match[2], match[3]
    over = int(fixed + again) - int(fixed or "0")
    return f"\\frac{{{over}}}{{{10 ** len(match[2]) * (10 ** len(again) - 1)}}}"


def _words(text: str) -> str:
    """The content of a text command: words are marked; single letters and functions are not."""
    marked = re.sub(
        r"(?<![A-Za-z\\])[A-Za-z]{2,}",
        lambda match: f"\\{match[0]} " if match[0] in _FUNCTIONS else WORD + match[0],
        text,
    )
    alone = re.fullmatch(r"\s*[A-Za-z]\s*", text)
    return f" {marked} " if not alone else f" {text.strip()} "


def form(text: str) -> str:
    """Plain text for a comparison: without case, marks, dollar signs and spaces that say nothing.

    Spaces stay between digits, where they keep numbers apart.
    """
    text = re.sub(rf"[{WORD}$]|\\\$", "", text)
    return re.sub(r"(?<!\d) | (?!\d)", "", text).rstrip(".").lower()
