"""Where a final answer is found, and what counts as equal."""

import time
from fractions import Fraction
from pathlib import Path

import pytest

from layergym.envs.math.answers import equal, simple
from layergym.envs.math.find import find_answer, spoken_answer
from layergym.envs.math.grading import grader, verified
from layergym.envs.math.problems import Question, questions
from layergym.envs.math.reading import quantities
from layergym.envs.math.spelling import plain
from layergym.envs.rows import read_rows
from layergym.envs.sandbox import Limits, Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return grader()


@pytest.mark.parametrize(
    ("reply", "text", "clean"),
    [
        (r"so \boxed{5}", "5", True),
        (r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}", True),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", True),
        (r"\boxed 7", "7", True),
        (r"\fbox{7}", "7", True),
        (
            r"\boxed{\begin{pmatrix}1\\{-2}\end{pmatrix}}",
            r"\begin{pmatrix}1\\{-2}\end{pmatrix}",
            True,
        ),
        (r"\boxed{\boxed{5}}", "5", True),
        (r"\boxed{\{1\}\\} and }", r"\{1\}\\", True),
        ("put it into <answer> tags: <answer>6</answer>", "6", True),
        (r"first \boxed{4}, no: \boxed{5}", "5", False),
        (r"\boxed{5} as said, \boxed{ 5 }", "5", True),
        ("It is\n#### 1,234", "1,234", True),
        ("<answer> 12 </answer>", "12", True),
        ("<answer>3</answer> and \\boxed{4}", "4", True),
        ("<answer>3</answer> <answer>4</answer>", "4", False),
    ],
)
def test_the_final_answer_is_found(reply: str, text: str, clean: bool) -> None:
    found = find_answer(reply)
    assert found is not None
    assert (found.text, found.clean) == (text, clean)


@pytest.mark.parametrize(
    "reply", ["", "the answer is 5", r"\boxed{}", r"\boxed{5", "####", "<answer></answer>", "5"]
)
def test_no_answer_is_none(reply: str) -> None:
    assert find_answer(reply) is None


@pytest.mark.parametrize(
    ("reply", "text", "clean"),
    [
        ("6 * 7 = 42. The answer is 42.", "42", True),
        ("So the final answer is: **42**.", "42", True),
        ("**Answer:** $3.5$. I have checked it", "$3.5$", True),
        ("The answer is 4. No, the answer is 5", "5", False),
    ],
)
def test_an_answer_in_plain_words_is_found(reply: str, text: str, clean: bool) -> None:
    found = spoken_answer(reply)
    assert found is not None
    assert (found.text, found.clean) == (text, clean)


@pytest.mark.parametrize(
    "answer",
    ["9^{9^{9^{9}}}", "10^{10^{10}}!", "{" * 500 + "x" + "}" * 500, "(" * 1500, "x" * 9999],
)
def test_a_hostile_answer_is_wrong_in_time(answer: str, sandbox: Sandbox) -> None:
    assert not equal("x^9", answer, sandbox)


def test_an_answer_is_never_executed(sandbox: Sandbox) -> None:
    for answer in ("__import__('os')._exit(0)", "1; equal = lambda *a: True", "\\x41}]"):
        assert not equal("7x", answer, sandbox)


def value(text: str) -> Fraction | None:
    found = quantities(plain(text))
    return found[0].value if found else None


def test_numbers_are_read() -> None:
    assert value("-1,200.50") == Fraction("-1200.5")
    assert value(r"\dfrac{3}{4}") == Fraction(3, 4)
    assert value(r"-1\frac{1}{4}") == Fraction(-5, 4)
    for text in ("1/0", "1,2", "", ".", "8 5", "5 and 6", "1e9999", "trillion " * 200, "7 to 9"):
        assert value(text) is None, text


HOSTILE = {
    "boxes": r"\boxed{",
    "boxes in boxes": r"\boxed{\boxed{5}",
    "answer tags": "<answer>",
    "hashes": "####  ",
    "text": r"\text{",
    "braces": r"{\\",
    "answers in words": "answer is **",
}


def cpu(text: str) -> float:
    start = time.process_time()
    find_answer(text)
    spoken_answer(text)
    return time.process_time() - start


@pytest.mark.parametrize("name", HOSTILE)
def test_the_time_to_find_an_answer_grows_with_the_length(name: str) -> None:
    short, long = (min(cpu(HOSTILE[name] * n) for _ in range(3)) for n in (4000, 32000))
    assert long < 30 * short + 0.05


@pytest.mark.parametrize(
    "text",
    [
        "x_a" * 600 + "=1",
        r"\a" * 900 + "=1!",
        "the " * 490,
        "5 m" * 600,
        " / m" * 450,
        "1 " * 900,
        "million " * 240,
        "1," * 900,
        "and " * 480,
        r"\frac{" * 300,
        r"\frac{ " + " " * 1900,
    ],
)
def test_an_answer_of_two_thousand_characters_is_read_at_once(text: str, sandbox: Sandbox) -> None:
    start = time.process_time()  # of this process; math-verify has one of its own
    assert not equal("7", text, sandbox)
    assert time.process_time() - start < 1


GSM8K_SIZE = {"train": 7473, "test": 1319}


def gsm8k(data: Path) -> list[Question]:
    found = []
    for split, size in GSM8K_SIZE.items():
        read = questions(read_rows(data / "gsm8k", split), split)
        assert len(read) == size
        found += read
    return found


def test_all_8792_answers_of_gsm8k_are_right_and_perturbed_ones_wrong(
    shared_data: Path, sandbox: Sandbox
) -> None:
    found = gsm8k(shared_data)
    replies = [find_answer(f"So it is.\n#### {question.answer}") for question in found]
    pairs = [
        (q.answer, reply.text if reply else "") for q, reply in zip(found, replies, strict=True)
    ]
    wrong = [pair for pair in pairs if not equal(*pair, sandbox)]
    assert wrong == []
    changes = (lambda n: n + 1, lambda n: n - 1, lambda n: -n if n else 1, lambda n: 10 * n or 5)
    passed = []
    for index, question in enumerate(found[:2000]):
        number = value(question.answer)
        assert number is not None
        perturbed = str(changes[index % 4](number))
        if equal(question.answer, perturbed, sandbox):
            passed.append((question.answer, perturbed))
    assert passed == []


EACH = """
from prelude import equal, read
def each(golds):
    return [(equal(g, [g]), any(not isinstance(v, str) for v in read(g))) for g in golds]
"""


def self_verified(golds: list[str]) -> tuple[list[str], list[str]]:
    """What math-verify alone does not find equal to itself, and what it compares only as text."""
    failed, as_text = [], []
    for start in range(0, len(golds), 100):
        part = golds[start : start + 100]
        results = grader().call(EACH, "each", part, limits=Limits(300, 120, 2048))
        for gold, (good, understood) in zip(part, results, strict=True):
            failed += [] if good else [gold]
            as_text += [] if understood else [gold]
    return failed, as_text


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("MATH-500.jsonl", 500), ("train.parquet", 7498)])
def test_math_answers_verify_against_themselves(
    name: str, size: int, shared_data: Path, sandbox: Sandbox
) -> None:
    found = questions(read_rows(shared_data / "math" / name, "test"), name)
    assert len(found) == size
    golds = [question.answer for question in found]
    failed, as_text = self_verified(golds)
    print(f"\n{name}: {size - len(failed)} of {size} verify; not: {failed}; as text: {as_text}")
    assert len(failed) + len(as_text) <= size // 100
    assert [gold for gold in golds if not equal(gold, gold, sandbox)] == []


def test_a_grader_without_an_answer_says_no(sandbox: Sandbox) -> None:
    assert not verified("x", [], sandbox)


@pytest.mark.slow
def test_what_is_shown_to_math_verify_says_the_same_as_the_gold(
    shared_data: Path, sandbox: Sandbox
) -> None:
    """Plain LaTeX, for every answer of MATH that is neither a number nor a word."""
    source = "from prelude import equal\ndef each(pairs): return [equal(g, [a]) for g, a in pairs]"
    golds: set[str] = set()
    for name in ("MATH-500.jsonl", "train.parquet"):
        found = questions(read_rows(shared_data / "math" / name, "test"), name)
        golds |= {q.answer for q in found if not quantities(plain(q.answer))}
    pairs = [(g, simple(plain(g))) for g in sorted(golds) if r"\text" not in g and g[-1] != "."]
    changed = []
    for start in range(0, len(pairs), 100):
        part = pairs[start : start + 100]
        same = sandbox.call(source, "each", part, limits=Limits(300, 120, 2048))
        changed += [pair for pair, good in zip(part, same, strict=True) if not good]
    assert len(pairs) > 1200
    assert changed == []


@pytest.mark.parametrize("text", ["10^{401}", "10^999999999", "5 ft^12", "5 " + "ft^999 " * 270])
def test_a_power_that_no_answer_has_is_not_computed(text: str) -> None:
    assert quantities(plain(text)) == ()
