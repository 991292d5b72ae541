"""The steps that generated problems are made of.

Each is a real function: its docstring is what the problem says (with the parameter filled in), its
source is part of the solution, and calling it gives the expected values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Step = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of data and what can be done with it."""

    name: str
    given: str
    """What the function takes, in words."""
    steps: tuple[tuple[Step, tuple[int, ...]], ...]
    """Functions from such data to such data, with the parameters they may have."""
    ends: tuple[tuple[Step, tuple[int, ...]], ...]
    """Functions from such data to an answer."""


# ---- lists of integers ----------------------------------------------------------------------


def keep_multiples(xs: list[int], k: int) -> list[int]:
    """Keep only the numbers that are divisible by {k}."""
    return [x for x in xs if x % k == 0]


def keep_above(xs: list[int], k: int) -> list[int]:
    """Keep only the numbers greater than {k}."""
    return [x for x in xs if x > k]


def add_to_each(xs: list[int], k: int) -> list[int]:
    """Add {k} to every number."""
    return [x + k for x in xs]


def multiply_each(xs: list[int], k: int) -> list[int]:
    """Multiply every number by {k}."""
    return [x * k for x in xs]


def rotate_left(xs: list[int], k: int) -> list[int]:
    """Rotate the list to the left by {k} places."""
    k %= len(xs) or 1
    return xs[k:] + xs[:k]


def every_nth(xs: list[int], k: int) -> list[int]:
    """Keep the first number and every {k}th number after it."""
    return xs[::k]


def reverse_groups(xs: list[int], k: int) -> list[int]:
    """Cut the list into groups of {k} (the last may be shorter) and reverse each group."""
    return [x for i in range(0, len(xs), k) for x in reversed(xs[i : i + k])]


def running_totals(xs: list[int]) -> list[int]:
    """Replace every number by the sum of all numbers up to and including it."""
    totals: list[int] = []
    for x in xs:
        totals.append(x + (totals[-1] if totals else 0))
    return totals


def differences(xs: list[int]) -> list[int]:
    """Replace the list by the differences between each number and the one before it."""
    return [xs[i] - xs[i - 1] for i in range(1, len(xs))]


def without_repeats(xs: list[int]) -> list[int]:
    """Drop every number that has occurred before."""
    return list(dict.fromkeys(xs))


def sort_by_last_digit(xs: list[int]) -> list[int]:
    """Sort by the last digit of the absolute value, keeping the order of ties."""
    return sorted(xs, key=lambda x: abs(x) % 10)


def biggest_so_far(xs: list[int]) -> list[int]:
    """Replace every number by the largest number up to and including it."""
    return [max(xs[: i + 1]) for i in range(len(xs))]


def total_of(xs: list[int]) -> int:
    """Return the sum of the numbers (0 if there are none)."""
    return sum(xs)


def alternating_sum(xs: list[int]) -> int:
    """Return the first number minus the second plus the third and so on (0 if there are none)."""
    return sum(x if i % 2 == 0 else -x for i, x in enumerate(xs))


def largest_of_window(xs: list[int], k: int) -> int:
    """Return the largest sum of {k} neighbouring numbers (0 if there are fewer than {k})."""
    return max((sum(xs[i : i + k]) for i in range(len(xs) - k + 1)), default=0)


def count_rises(xs: list[int]) -> int:
    """Return how many numbers are greater than the number just before them."""
    return sum(xs[i] > xs[i - 1] for i in range(1, len(xs)))


def the_list(xs: list[int]) -> list[int]:
    """Return the list."""
    return xs


# ---- text -------------------------------------------------------------------------------------


def reverse_words(text: str) -> str:
    """Reverse the order of the words (words are separated by single spaces)."""
    return " ".join(text.split(" ")[::-1])


def reverse_each_word(text: str) -> str:
    """Reverse the letters of every word, leaving the words in place."""
    return " ".join(word[::-1] for word in text.split(" "))


def keep_long_words(text: str, k: int) -> str:
    """Drop the words with fewer than {k} letters."""
    return " ".join(word for word in text.split(" ") if len(word) >= k)


def shift_letters(text: str, k: int) -> str:
    """Replace every letter by the letter {k} places later in the alphabet, after z comes a."""
    return "".join(chr((ord(c) - 97 + k) % 26 + 97) if "a" <= c <= "z" else c for c in text)


def drop_vowels(text: str) -> str:
    """Remove every vowel (a, e, i, o, u)."""
    return "".join(c for c in text if c not in "aeiou")


def double_vowels(text: str) -> str:
    """Write every vowel (a, e, i, o, u) twice."""
    return "".join(c * 2 if c in "aeiou" else c for c in text)


def sort_words(text: str) -> str:
    """Put the words in alphabetical order."""
    return " ".join(sorted(text.split(" ")))


def squeeze(text: str) -> str:
    """Replace every run of one repeated character by that character once."""
    return "".join(c for i, c in enumerate(text) if i == 0 or text[i - 1] != c)


def rotate_text(text: str, k: int) -> str:
    """Move the first {k} characters to the end."""
    return text[k:] + text[:k]


def the_text(text: str) -> str:
    """Return the text."""
    return text


def count_words(text: str) -> dict[str, int]:
    """Return a dictionary from every different word to how often it occurs."""
    counts: dict[str, int] = {}
    for word in text.split(" "):
        counts[word] = counts.get(word, 0) + 1
    return counts


def run_lengths(text: str) -> list[tuple[str, int]]:
    """Return a list of pairs (character, length), one for each run of one repeated character."""
    runs: list[tuple[str, int]] = []
    for c in text:
        if runs and runs[-1][0] == c:
            runs[-1] = (c, runs[-1][1] + 1)
        else:
            runs.append((c, 1))
    return runs


def letter_sum(text: str) -> int:
    """Return the sum of the places of its letters in the alphabet (a is 1, z is 26)."""
    return sum(ord(c) - 96 for c in text if "a" <= c <= "z")


# ---- grids ------------------------------------------------------------------------------------


def transpose(grid: list[list[int]]) -> list[list[int]]:
    """Swap rows and columns."""
    return [list(column) for column in zip(*grid, strict=True)]


def mirror_rows(grid: list[list[int]]) -> list[list[int]]:
    """Reverse every row."""
    return [row[::-1] for row in grid]


def turn_right(grid: list[list[int]]) -> list[list[int]]:
    """Turn the grid a quarter turn clockwise."""
    return [list(column) for column in zip(*grid[::-1], strict=True)]


def shift_rows(grid: list[list[int]], k: int) -> list[list[int]]:
    """Rotate row number i (the first is number 0) to the right by i times {k} places."""
    moved = []
    for i, row in enumerate(grid):
        n = i * k % len(row)
        moved.append(row[len(row) - n :] + row[: len(row) - n])
    return moved


def sort_rows(grid: list[list[int]]) -> list[list[int]]:
    """Sort the numbers inside every row."""
    return [sorted(row) for row in grid]


def order_rows(grid: list[list[int]]) -> list[list[int]]:
    """Order the rows by their sums, smallest first, keeping the order of ties."""
    return sorted(grid, key=sum)


def modulo(grid: list[list[int]], k: int) -> list[list[int]]:
    """Replace every number by its remainder when divided by {k}."""
    return [[x % k for x in row] for row in grid]


def add_neighbours(grid: list[list[int]]) -> list[list[int]]:
    """Add to every number the number that was above it (nothing in the first row)."""
    return [
        [x + (grid[i - 1][j] if i else 0) for j, x in enumerate(row)] for i, row in enumerate(grid)
    ]


def the_grid(grid: list[list[int]]) -> list[list[int]]:
    """Return the grid."""
    return grid


def diagonal(grid: list[list[int]]) -> int:
    """Return the sum of the numbers whose row number equals their column number."""
    return sum(grid[i][i] for i in range(min(len(grid), len(grid[0]))))


def column_sums(grid: list[list[int]]) -> list[int]:
    """Return the list of the sums of the columns."""
    return [sum(column) for column in zip(*grid, strict=True)]


def border_sum(grid: list[list[int]]) -> int:
    """Return the sum of the numbers in the first and last row and the first and last column."""
    rows, columns = len(grid), len(grid[0])
    return sum(
        grid[i][j]
        for i in range(rows)
        for j in range(columns)
        if i in (0, rows - 1) or j in (0, columns - 1)
    )


def peaks(grid: list[list[int]]) -> int:
    """Return how many numbers are greater than each number directly left and right of them."""
    return sum(
        all(row[j] > row[n] for n in (j - 1, j + 1) if 0 <= n < len(row))
        for row in grid
        for j in range(len(row))
    )


# ---- machines that run a list of instructions -------------------------------------------------


def drop_repeated(program: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Drop every instruction that equals the one just before it."""
    return [step for i, step in enumerate(program) if i == 0 or program[i - 1] != step]


def scale(program: list[tuple[str, int]], k: int) -> list[tuple[str, int]]:
    """Multiply the amount of every instruction by {k}."""
    return [(name, amount * k) for name, amount in program]


def swap_turns(program: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Turn every "left" into "right", and every "right" into "left"."""
    other = {"left": "right", "right": "left"}
    return [(other.get(name, name), amount) for name, amount in program]


def cap(program: list[tuple[str, int]], k: int) -> list[tuple[str, int]]:
    """Replace every amount greater than {k} by {k}."""
    return [(name, min(amount, k)) for name, amount in program]


def backwards(program: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Reverse the order of the instructions."""
    return program[::-1]


def skip_waits(program: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Drop every "wait" and also the instruction right after it."""
    kept, skipping = [], False
    for name, amount in program:
        if not skipping and name != "wait":
            kept.append((name, amount))
        skipping = name == "wait"
    return kept


def position(program: list[tuple[str, int]]) -> int:
    """Return where it ends.

    It starts at 0; "left" subtracts its amount, "right" adds it, "wait" does nothing.
    """
    return sum({"left": -a, "right": a, "wait": 0}[name] for name, a in program)


def farthest(program: list[tuple[str, int]]) -> int:
    """Return the greatest distance from 0 that it has after any instruction (0 if there are none).

    It starts at 0; "left" subtracts its amount, "right" adds it, "wait" does nothing.
    """
    place, most = 0, 0
    for name, amount in program:
        place += {"left": -amount, "right": amount, "wait": 0}[name]
        most = max(most, abs(place))
    return most


def amounts(program: list[tuple[str, int]]) -> dict[str, int]:
    """Return a dictionary from every instruction name that occurs to the sum of its amounts."""
    sums: dict[str, int] = {}
    for name, amount in program:
        sums[name] = sums.get(name, 0) + amount
    return sums


def visited(program: list[tuple[str, int]], k: int) -> list[int]:
    """Return the sorted list of the places where it was, the start included.

    It starts at 0 on a circle of {k} places, numbered from 0; "left" goes down by its amount,
    "right" goes up, "wait" stays.
    """
    place, places = 0, {0}
    for name, amount in program:
        place = (place + {"left": -amount, "right": amount, "wait": 0}[name]) % k
        places.add(place)
    return sorted(places)


FAMILIES = (
    Family(
        "lists",
        "a list `data` of integers",
        (
            *((keep_multiples, (2, 3)), (keep_above, (-5, 0, 4)), (add_to_each, (-3, 2, 7))),
            *((multiply_each, (-2, -1, 3)), (rotate_left, (1, 2, 3)), (every_nth, (2, 3))),
            *((reverse_groups, (2, 3, 4)), (running_totals, ()), (differences, ())),
            *((without_repeats, ()), (sort_by_last_digit, ()), (biggest_so_far, ())),
        ),
        (
            *((total_of, ()), (alternating_sum, ()), (largest_of_window, (2, 3))),
            *((count_rises, ()), (the_list, ())),
        ),
    ),
    Family(
        "text",
        "a string `data` of lower-case words separated by single spaces",
        (
            *((reverse_words, ()), (reverse_each_word, ()), (keep_long_words, (3, 4))),
            *((shift_letters, (1, 5, 13)), (drop_vowels, ()), (double_vowels, ())),
            *((sort_words, ()), (squeeze, ()), (rotate_text, (1, 2, 4))),
        ),
        ((the_text, ()), (count_words, ()), (run_lengths, ()), (letter_sum, ())),
    ),
    Family(
        "grids",
        "a non-empty list `data` of rows, equally long non-empty lists of integers",
        (
            *((transpose, ()), (mirror_rows, ()), (turn_right, ()), (shift_rows, (1, 2))),
            *((sort_rows, ()), (order_rows, ()), (modulo, (3, 5, 7)), (add_neighbours, ())),
        ),
        ((the_grid, ()), (diagonal, ()), (column_sums, ()), (border_sum, ()), (peaks, ())),
    ),
    Family(
        "machines",
        'a list `data` of pairs (name, amount), the name "left", "right" or "wait", the amount a '
        "positive integer",
        (
            *((drop_repeated, ()), (scale, (2, 3)), (swap_turns, ()), (cap, (2, 4))),
            *((backwards, ()), (skip_waits, ())),
        ),
        ((position, ()), (farthest, ()), (amounts, ()), (visited, (5, 7))),
    ),
)
