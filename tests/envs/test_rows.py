"""Rows of a file: what ends a line, what may begin a file, and what is no row."""

import gzip
import json
from pathlib import Path

import pytest

import layergym as lg
from layergym.envs.code.datasets import problems
from layergym.envs.math.problems import questions
from layergym.envs.rows import TableRow, read_once, read_rows

ODD = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
"""Characters that Unicode takes for line ends, and a file of JSON lines does not."""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
@pytest.mark.parametrize("after", ["", "\n", "\n\n  \n"])
def test_a_line_ends_with_a_line_feed_and_nothing_else(
    tmp_path: Path, end: str, begin: str, after: str
) -> None:
    rows = [{"question": ODD, "answer": "1"}, {"question": "y", "answer": "2"}]
    text = begin + end.join(json.dumps(row, ensure_ascii=False) for row in rows) + after
    file = tmp_path / "train.jsonl"
    # The characters below 32 are escaped by JSON, so only those above are in the file as they are.
    file.write_bytes(text.encode())
    assert read_rows(file, "train") == rows
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_rows(packed, "train") == rows


def test_an_array_may_begin_with_a_mark_too(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    file.write_text('\ufeff[{"a": 1}]', encoding="utf-8")
    assert read_rows(file, "train") == [{"a": 1}]


def test_a_row_may_be_huge(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps({"question": "x" * 5_000_000}))
    assert len(read_rows(file, "train")[0]["question"]) == 5_000_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"a": 1}\n[1, 2]\n'),
        ("a.jsonl", b'{"a": 1}\nnull\n'),
        ("a.json", b'[{"a": 1}, "text"]'),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000),
        ("a.jsonl", b'{"a": "\xff"}'),
        ("a.jsonl", '{"a": 1}'.encode("utf-16")),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}', mtime=0)[:-9] + b"123456789"),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff"),
        ("a.parquet", b"PAR1 no"),
    ],
)
def test_what_is_no_row_is_refused_with_the_files_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(lg.InputError, match=name):
        read_rows(tmp_path / name, "train")


@pytest.mark.parametrize("name", ["train.csv", "train.tsv", "train.txt", "train.gz", "train"])
def test_a_form_that_is_not_read_is_told_those_that_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("question,answer\n1 + 1,2\n")
    for env in ("math-v0", "code-v0"):
        with pytest.raises(lg.InputError, match=rf"{name} .*\.jsonl, \.json, .*\.parquet"):
            lg.make(env, problems=tmp_path / name)


def test_an_ending_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A.JSONL.GZ").write_bytes(gzip.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert read_rows(tmp_path / "A.JSONL.GZ", "train") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("empty", [None, "", "  ", float("nan"), [], {}, [""]])
def test_a_question_whose_answer_is_empty_is_left_out(empty: object) -> None:
    rows: list[dict[str, object]] = [
        {"question": "Q", "answer": empty},
        {"question": "Q", "answer": empty, "solution": empty},
        {"prompt": [{"content": "Q"}], "reward_model": {"ground_truth": empty}},
        {"question": "P", "answer": empty, "solution": r"so $\boxed{4}$"},
        {"question": "Z", "answer": 0},
    ]
    assert {(q.text, q.answer) for q in questions(rows, "here")} == {("P", "4"), ("Z", "0")}


@pytest.mark.parametrize(("answer", "said"), [(["5"], "5"), ([1, 2], "1, 2"), (("a",), "a")])
def test_a_list_of_answers_is_what_its_items_say(answer: object, said: str) -> None:
    rows: list[dict[str, object]] = [
        {"question": "Q", "answer": answer},
        {"prompt": [{"content": "P"}], "reward_model": {"ground_truth": answer}},
    ]
    assert [q.answer for q in questions(rows, "here")] == [said, said]


@pytest.mark.parametrize("question", [None, "", float("nan")])
def test_a_row_without_a_question_is_named(question: object) -> None:
    with pytest.raises(lg.InputError, match="row 0 has no question"):
        questions([{"question": question, "answer": "1"}], "here")
    with pytest.raises(lg.InputError, match="row 0 has no question"):
        questions([{"prompt": [question], "reward_model": {"ground_truth": "1"}}], "here")


GOOD = {"task_id": 11, "text": "t", "code": "def f(): return 1", "test_list": ["assert f() == 1"]}


@pytest.mark.parametrize(
    "damage",
    [
        {"task_id": None},
        {"task_id": "eleven"},
        {"code": None},
        {"code": "def f(:"},
        {"test_list": None},
        {"test_list": []},
        {"test_list": ["assert g("]},
        {"text": None},
    ],
)
def test_a_broken_program_row_is_named(damage: dict[str, object]) -> None:
    assert len(problems([GOOD], "test")) == 1
    with pytest.raises(lg.InputError, match="row 1 of the dataset"):
        problems([GOOD, GOOD | damage], "test")


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"a": 1}\n')
    first = read_once(_values, file, "train")
    assert first == (1,) and read_once(_values, file, "train") is first
    file.write_text('{"a": 1}\n{"a": 22}\n')
    assert read_once(_values, tmp_path, "train") == (1, 22)


def _values(rows: list[TableRow], source: str, split: str) -> list[int]:
    return [row["a"] for row in rows]
