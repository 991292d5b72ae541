"""Mathematical questions without a download, made by the reasoning-gym library.

Its generators are seeded; ours is the choice of families, of three levels each, and of splits: a
question's place in train, valid or test follows from its text, so none is in two.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

from layergym.base.errors import InputError, unknown
from layergym.envs.math.problems import Question

SPLITS = {"train": 840, "valid": 105, "test": 210}
"""Questions of each split by default, the same number of every family and level."""

# Family: settings of its three levels. Answers are integers, so that an expression is no answer.
_LEVELS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "chain_sum": (
        {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 2},
        {"min_terms": 3, "max_terms": 4, "min_digits": 2, "max_digits": 3},
        {"min_terms": 5, "max_terms": 7, "min_digits": 3, "max_digits": 4},
    ),
    "products": (
        {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
        {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 3},
        {"min_terms": 2, "max_terms": 3, "min_digits": 3, "max_digits": 4},
    ),
    "leg_counting": (
        {"min_animals": 2, "max_animals": 3, "min_instances": 1, "max_instances": 5},
        {"min_animals": 3, "max_animals": 6, "min_instances": 2, "max_instances": 10},
        {"min_animals": 6, "max_animals": 10, "min_instances": 5, "max_instances": 20},
    ),
    "simple_equations": (
        {"min_terms": 2, "max_terms": 2, "min_value": 1, "max_value": 20},
        {"min_terms": 2, "max_terms": 4, "min_value": 1, "max_value": 50},
        {"min_terms": 4, "max_terms": 6, "min_value": 10, "max_value": 100},
    ),
    "gcd": (
        {"min_numbers": 2, "max_numbers": 2, "min_value": 4, "max_value": 60},
        {"min_numbers": 2, "max_numbers": 3, "min_value": 20, "max_value": 500},
        {"min_numbers": 3, "max_numbers": 4, "min_value": 100, "max_value": 5000},
    ),
    "number_sequence": (
        {"min_terms": 5, "max_terms": 6, "max_complexity": 1},
        {"min_terms": 5, "max_terms": 7, "max_complexity": 2},
        {"min_terms": 6, "max_terms": 8, "max_complexity": 3},
    ),
    "count_primes": (
        {"min_n": 1, "max_n": 60},
        {"min_n": 1, "max_n": 400},
        {"min_n": 100, "max_n": 3000},
    ),
}

FAMILIES = tuple(_LEVELS)
LEVELS = (1, 2, 3)
_DRY = 20
"""A family has no more where this many draws for each question that was found, and for a hundred
more, gave none."""


@lru_cache(maxsize=16)
def generated_questions(
    split: str,
    families: Sequence[str] = FAMILIES,
    levels: Sequence[int] = LEVELS,
    size: int | None = None,
) -> tuple[Question, ...]:
    """The questions of a split, in order of id.

    Args:
        split: train, valid or test.
        families: which kinds of question, as a tuple.
        levels: which difficulties, 1 to 3, as a tuple.
        size: number of questions, the same of every family and level as far as it divides evenly;
            by default as many of each as all families and levels have in `SPLITS`.

    Raises:
        InputError: a family or level is unknown or has fewer questions, or reasoning-gym is not
            installed.
    """
    for name, given, known in (("family", families, FAMILIES), ("level", levels, LEVELS)):
        if bad := [choice for choice in given if choice not in known]:
            raise unknown(f"{name} of questions", str(bad[0]), [str(choice) for choice in known])
    cells = len(families) * len(levels)
    if not cells or (size is not None and size < cells):
        raise InputError(f"{cells} kinds of question need a size of at least {max(cells, 1)}")
    each = size // cells if size else SPLITS[split] // (len(LEVELS) * len(FAMILIES))
    made: list[Question] = []
    for family in families:
        for level in levels:
            made += _cell(split, family, level, _LEVELS[family][level - 1], each)
    return tuple(sorted(made, key=lambda question: question.id))


def _cell(
    split: str, family: str, level: int, settings: dict[str, Any], each: int
) -> list[Question]:
    try:
        import reasoning_gym
    except ImportError as error:
        raise InputError(
            "generated mathematics needs reasoning-gym: pip install 'layergym[math]'"
        ) from error
    # One stream for all splits; a question goes where its text sends it.
    stream = reasoning_gym.create_dataset(family, seed=level, size=1_000_000, **settings)
    questions: dict[str, Question] = {}
    index = found = 0
    while len(questions) < each:
        if index - found > _DRY * (100 + len(questions)):
            raise InputError(
                f'"{family}" of level {level} has about {len(questions):,} different questions in '
                f"the split {split}, and {each:,} were asked for; take a smaller size, or more "
                "families or levels"
            )
        row = stream[index]
        index += 1
        text = row["question"].strip()
        code = int.from_bytes(sha256(text.encode()).digest()[:8], "big")
        if {0: "test", 1: "valid"}.get(code % 5, "train") == split:
            id = f"{family}-{level}-{code:016x}"
            found = found if id in questions else index
            questions[id] = Question(id, f"{family} {level}", text, str(row["answer"]))
    return list(questions.values())
