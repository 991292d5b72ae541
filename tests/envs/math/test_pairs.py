"""Answers that say the same in different spellings, and answers that look alike but do not."""

import pytest

from layergym.envs.math.answers import equal, grader

SAME = [
    # numbers
    ("18", "18.0"),
    ("18", "18.00"),
    ("18", "+18"),
    ("18", r"\$18"),
    ("18", "$18$"),
    ("18", r"\$18.00"),
    ("18", "18 dollars"),
    ("18", r"18\text{ dollars}"),
    ("18", r"18 \text{ cm}^2"),
    ("18", r"18\,\mathrm{cm}"),
    ("1000", "1,000"),
    ("1234567", "1,234,567"),
    ("1000", "1000."),
    ("{17}.", "17"),
    (r"\dfrac{2469}{20,\!000}", "2469/20000"),
    ("-5", r"-5"),
    ("-5", "-5.0"),
    ("0.5", ".5"),
    ("0.5", "0.50"),
    ("18", "x = 18"),
    ("18", "x=18"),
    ("3", r"\frac{6}{2}"),
    ("1500", r"1.5 \times 10^3"),
    ("30", r"30^\circ"),
    (r"30^\circ", "30"),
    (r"50\%", r"50 \%"),
    (r"50\%", "0.5"),
    # fractions
    (r"\frac{1}{2}", "0.5"),
    (r"\frac{1}{2}", "1/2"),
    (r"\frac{1}{2}", r"\dfrac{1}{2}"),
    (r"\frac{1}{2}", r"\tfrac12"),
    (r"\frac{1}{2}", r"\frac12"),
    (r"\frac{1}{2}", r"\frac{2}{4}"),
    (r"-\frac{1}{2}", "-1/2"),
    (r"-\frac{1}{2}", r"\frac{-1}{2}"),
    (r"-\frac{1}{2}", r"\frac{1}{-2}"),
    (r"-\frac{3}{4}", "-0.75"),
    (r"\frac{7}{3}", "7/3"),
    (r"\frac{14}{3}", r"\frac{28}{6}"),
    (r"\frac{3}{8}", "0.375"),
    ("0.125", r"\frac{1}{8}"),
    (r"\frac{a}{b}", r"\dfrac{a}{b}"),
    (r"\frac{x+1}{2}", r"\frac{1+x}{2}"),
    (r"\frac{x+1}{2}", r"\frac{x}{2}+\frac{1}{2}"),
    # roots and powers
    (r"\sqrt{2}", r"\sqrt2"),
    (r"2\sqrt{3}", r"2 \cdot \sqrt{3}"),
    (r"\sqrt{12}", r"2\sqrt{3}"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt3}"),
    (r"3\sqrt{5}", r"\sqrt{45}"),
    (r"\sqrt[3]{4}", r"4^{1/3}"),
    (r"x^{2}", "x^2"),
    (r"2^{10}", "1024"),
    (r"5\sqrt{2}", r"5\sqrt{2}\text{ units}"),
    (r"1+\sqrt{5}", r"\sqrt{5}+1"),
    (r"\frac{1+\sqrt{5}}{2}", r"\frac{\sqrt{5}+1}{2}"),
    # pi and e
    (r"\frac{\pi}{2}", r"0.5\pi"),
    (r"\frac{\pi}{2}", r"\pi/2"),
    (r"\frac{\pi}{2}", r"\frac{1}{2}\pi"),
    (r"12\pi", r"12 \pi"),
    (r"12\pi", r"\pi \cdot 12"),
    (r"9\pi", r"3^2\pi"),
    ("e^2", r"e^{2}"),
    # expressions
    ("x+1", "1+x"),
    ("x^2+2x+1", "(x+1)^2"),
    ("x^2-1", "(x-1)(x+1)"),
    ("2x+6", "2(x+3)"),
    ("6x^2", r"6 \cdot x^2"),
    ("a-b", "-(b-a)"),
    ("3x^2 - 5x + 2", "2 - 5x + 3x^2"),
    ("xy", "yx"),
    (r"\frac{x^2-1}{x-1}", r"\frac{(x-1)(x+1)}{x-1}"),
    (r"\sin^2 x", r"(\sin x)^2"),
    (r"2i", r"2 i"),
    ("3+4i", "4i+3"),
    ("-1+i", "i-1"),
    # tuples and points
    ("(1,2)", "(1, 2)"),
    ("(1,2)", r"\left(1, 2\right)"),
    (r"(3, \frac{\pi}{2})", r"\left( 3, \pi/2 \right)"),
    (r"(\frac{1}{2}, 3)", "(0.5, 3)"),
    ("(1,2,3)", r"(1,\,2,\,3)"),
    (r"\left(-2, \frac{3}{5}\right)", "(-2, 0.6)"),
    # sets and lists
    (r"\{1,2,3\}", r"\{3,2,1\}"),
    (r"\{1,2,3\}", r"\{1, 2, 3\}"),
    (r"\{1,2\}", r"\left\{1,2\right\}"),
    ("1,2", "2,1"),
    ("1, 2", "1,2"),
    (r"\{1,2\}", "1,2"),
    (r"\{\frac{1}{2}\}", r"\{0.5\}"),
    (r"-1, 3", r"\{-1, 3\}"),
    # intervals
    ("[1,2]", r"\left[1,2\right]"),
    ("(1,2]", r"(1, 2]"),
    (r"(-\infty, 3)", r"(-\infty,3)"),
    (r"[0,\infty)", r"[0, \infty)"),
    (r"(-\infty,2)\cup(3,\infty)", r"(-\infty, 2) \cup (3, \infty)"),
    (r"[-\frac{1}{2}, 1]", "[-0.5, 1]"),
    (r"(-\infty,2)\cup(3,\infty)", r"(3,\infty)\cup(-\infty,2)"),
    # equations and inequalities
    ("y = 2x+1", "y=2x+1"),
    ("y = 2x+1", "y = 1+2x"),
    ("x > 3", "3 < x"),
    (r"x \le 3", r"x \leq 3"),
    # matrices
    (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
    ),
    (
        r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
        r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}",
    ),
    # words
    (r"\text{Friday}", "Friday"),
    ("Friday", "friday"),
    (r"\text{(A)}", "(A)"),
    (r"\text{even}", r"\textbf{even}"),
]

DIFFERENT = [
    ("18", "19"),
    ("18", "-18"),
    ("18", "1.8"),
    ("18", "180"),
    ("18", "18, 19"),
    ("18", "18 or 19"),
    ("18", r"9 \cdot 2"),
    ("18", "9*2"),
    ("18", "9+9"),
    ("18", "20-2"),
    ("18", r"\sqrt{324}"),
    ("18", "x"),
    ("18", ""),
    ("18", r"\text{eighteen and a half}"),
    ("18", "81"),
    ("1000", "1,0000"),
    ("3", "3.1"),
    ("3", "3i"),
    ("3", "3 pi"),
    ("3", r"3\pi"),
    ("85", r"12 \cdot 7 + 1"),
    (r"\frac{1}{2}", r"\frac{1}{3}"),
    (r"\frac{1}{2}", "2"),
    (r"\frac{1}{2}", "-0.5"),
    (r"\frac{1}{3}", "0.3"),
    (r"\sqrt{2}", "2"),
    (r"\sqrt{2}", r"\sqrt{3}"),
    (r"2\sqrt{3}", r"3\sqrt{2}"),
    (r"\frac{\pi}{2}", r"\pi"),
    (r"12\pi", "12"),
    ("x+1", "x-1"),
    ("x^2+2x+1", "x^2+1"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "(1,2,3)"),
    ("(1,2)", "[1,2]"),
    (r"\{1,2,3\}", r"\{1,2\}"),
    (r"\{1,2\}", r"\{1,2,3\}"),
    ("[1,2]", "[1,2)"),
    (r"(-\infty, 3)", r"(-\infty, 3]"),
    ("x > 3", "x < 3"),
    (r"x \le 3", "x < 3"),
    (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}",
    ),
    (r"\text{Friday}", "Monday"),
    (r"\text{(A)}", "(B)"),
    (r"50\%", "5"),
]


def test_there_are_a_hundred_pairs() -> None:
    assert len(set(SAME)) >= 100


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_is_equal(gold: str, answer: str) -> None:
    assert equal(gold, answer, grader())


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_the_different_is_not(gold: str, answer: str) -> None:
    assert not equal(gold, answer, grader())
