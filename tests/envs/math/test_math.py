"""The mathematics environment: answers, tools, attempts, panels."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import layergym as lg
from layergym.envs.math import Math, generated
from layergym.envs.math.problems import questions
from layergym.envs.rows import leaked, read_rows, same_text

ROWS = [
    {"question": "What is 6 times 7?", "answer": "6*7 = <<6*7=42>>42\n#### 42"},
    {"question": "What is a thousand plus one?", "answer": "#### 1,001"},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return tmp_path


def ask(data: Path, **settings: object) -> Math:
    env = Math(problems=data, **settings)  # type: ignore[arg-type]
    env.reset(options={"task": "0"})
    return env


def test_it_keeps_the_contract() -> None:
    assert lg.conforms("layergym/Math-v0") == []
    assert lg.conforms(lambda: Math(tools=True, attempts=2)) == []


def test_gymnasium_makes_it() -> None:
    env = gymnasium.make("layergym/Math-v0", split="test")
    text, info = env.reset(options={"task": Math(split="test").tasks[0]})
    assert info["kind"] in text.replace("State the final answer", "chain_sum 1")


def test_one_turn_is_the_default(data: Path) -> None:
    env = ask(data)
    assert env.max_turns == 1
    assert env.step(r"It is \boxed{42}.")[:4] == ("Right.", 1.0, True, False)
    env.reset(options={"task": "0"})
    assert env.step(r"It is \boxed{41}.")[:3] == ("Wrong.", 0.0, True)


def test_form_alone_earns_nothing(data: Path) -> None:
    replies = {
        r"\boxed{42}": 1.0,
        "#### 42": 1.0,
        "<answer>42</answer>": 1.0,
        "6 times 7 is 42, so the answer is 42.": 1.0,
        r"The answer is 42, or in a box \boxed{41}": 0.0,
        r"\boxed{41} or \boxed{42}": 0.9,
        r"\boxed{42} or \boxed{41}": 0.0,
        r"\boxed{41}": 0.0,
        r"\boxed{6 \cdot 7}": 0.0,
        r"\boxed{41, 42}": 0.0,
        r"\boxed{}": 0.0,
        "42": 0.0,
    }
    for reply, reward in replies.items():
        assert ask(data).step(reply)[1] == reward, reply


def test_tools_calculate_and_do_not_judge(data: Path) -> None:
    env = ask(data, tools=True)
    assert env.step("<calc> 6 * 7 </calc>")[:3] == ("42", 0.0, False)
    assert env.step("```python\nprint(sum(range(7)))\n```")[0] == "21"
    assert "ZeroDivisionError" in env.step("<calc>1/0</calc>")[0]
    assert env.step("```python\nx = 1\n```")[0] == "(no output)"
    assert env.step("What the answer is: <calc>6 + 1</calc>")[0] == "7"
    assert env.step(r"\boxed{42}")[1] == 1.0


def test_without_tools_a_program_is_no_answer(data: Path) -> None:
    _, reward, terminated, _, info = ask(data).step("<calc>6*7</calc>")
    assert (reward, terminated, info["valid"]) == (0.0, True, False)


def test_a_wrong_answer_may_be_mended(data: Path) -> None:
    env = ask(data, attempts=3)
    text, reward, terminated, *_ = env.step(r"\boxed{40}")
    assert (text, reward, terminated) == (
        "Wrong. Check your steps; attempts left: 2.",
        0.0,
        False,
    )
    assert env.step(r"\boxed{42}")[1:3] == (1.0, True)
    env = ask(data, attempts=2)
    env.step(r"\boxed{40}")
    assert env.step(r"\boxed{40}")[1:3] == (0.0, True)


def test_what_was_learnt_makes_the_state(data: Path) -> None:
    def key(*replies: str) -> object:
        env = ask(data, tools=True, attempts=3)
        for reply in replies:
            env.step(reply)
        return env.state_key()

    assert key("<calc>1+1</calc>", "<calc>2+2</calc>") == key("<calc>4</calc>", "<calc>2</calc>")
    assert key("<calc>1+1</calc>") != key()
    assert key(r"\boxed{1}") != key(r"\boxed{2}")
    assert key("words") == key()


def test_a_clone_goes_its_own_way(data: Path) -> None:
    env = ask(data, attempts=2)
    twin = env.clone()
    env.step(r"\boxed{1}")
    assert twin.state_key() != env.state_key()
    assert twin.step(r"\boxed{42}")[1] == 1.0


def test_settings_are_checked(data: Path, tmp_path: Path) -> None:
    with pytest.raises(lg.InputError, match="attempts"):
        Math(attempts=0)
    with pytest.raises(lg.InputError, match="no split"):
        Math(split="tset")
    with pytest.raises(lg.InputError, match=r"no file test.jsonl"):
        Math(split="test", problems=data)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"question": "What?"}')
    with pytest.raises(lg.InputError, match="row 0 has no answer"):
        Math(problems=broken)


def test_a_missing_math_verify_is_said_before_a_run_begins(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layergym.envs.math.grading.find_spec", lambda name: None)
    with pytest.raises(lg.InputError, match=r"needs math-verify: pip install 'layergym\[math\]'"):
        Math(problems=str(data))


@pytest.mark.parametrize(
    ("row", "text", "answer", "kind"),
    [
        ({"question": "Q?", "answer": "so\n#### 1,234"}, "Q?", "1234", ""),
        ({"problem": "P", "answer": "3", "level": 2, "subject": "Algebra"}, "P", "3", "level 2"),
        (
            {"problem": "P", "solution": r"$\boxed{4}$", "level": "Level 5", "type": "G"},
            *("P", "4", "level 5"),
        ),
        ({"Problem": "P", "Answer": 204, "ID": "2024-I-1"}, "P", "204", ""),
        (
            {
                "prompt": [{"role": "user", "content": "P"}],
                "reward_model": {"ground_truth": "7", "style": "rule"},
            },
            *("P", "7", ""),
        ),
    ],
)
def test_columns_of_known_datasets(
    row: dict[str, object], text: str, answer: str, kind: str
) -> None:
    (question,) = questions([row, {"question": "without", "answer": ""}], "here")
    assert (question.text, question.answer, question.kind) == (text, answer, kind)


def test_real_datasets_load(shared_data: Path) -> None:
    env = Math(split="test", problems=shared_data / "gsm8k")
    assert len(env.tasks) == 1319
    env.reset(options={"task": "0000"})
    assert env.step(str(env.expert()))[1] == 1.0
    env = Math(split="test", problems=shared_data / "math" / "MATH-500.jsonl")
    assert len(env.tasks) == 500
    assert {env.kind(task) for task in env.tasks} == {f"level {n}" for n in range(1, 6)}
    env = Math(problems=shared_data / "math" / "train.parquet")
    env.reset(options={"task": "0000"})
    assert "boxed" not in env.question("0000")
    assert env.step(r"\boxed{0}")[1] == 1.0


def test_generated_splits_are_disjoint_and_even() -> None:
    seen: dict[str, str] = {}
    for split, size in generated.SPLITS.items():
        found = generated.generated_questions(split)
        assert len(found) == size
        kinds = [question.kind for question in found]
        assert {kinds.count(kind) for kind in kinds} == {size // 21}
        for question in found:
            assert seen.setdefault(same_text(question.text), split) == split


def test_a_panel_of_chosen_families_and_levels() -> None:
    chosen: dict[str, Any] = {"families": ("chain_sum", "gcd"), "levels": (1, 2), "size": 50}
    env = Math(**chosen)
    assert {env.kind(t) for t in env.tasks} == {
        f"{f} {n}" for f in ("chain_sum", "gcd") for n in (1, 2)
    }
    assert len(env.tasks) == 48
    assert not set(env.tasks) & set(Math(split="test", **chosen).tasks)
    with pytest.raises(lg.InputError, match="chain_sums"):
        Math(families=("chain_sums",))
    with pytest.raises(lg.InputError, match="at least 3"):
        Math(families=("gcd",), size=2)


def test_more_questions_than_a_family_has_are_refused() -> None:
    every: dict[str, Any] = {"families": ("count_primes",), "levels": (1,), "split": "test"}
    assert len(Math(**every, size=340).tasks) == 340
    with pytest.raises(lg.InputError, match=r"about 34\d different questions in the split test"):
        Math(**every, size=2000)


def test_generated_answers_are_right_and_neighbours_wrong() -> None:
    env = Math(split="test")
    for task in env.tasks:
        env.reset(options={"task": task})
        answer = str(env.expert())
        assert env.step(answer)[1] == 1.0
        env.reset(options={"task": task})
        number = int(answer.removeprefix("\\boxed{").removesuffix("}"))
        assert env.step(f"\\boxed{{{number + 1}}}")[1] == 0.0


def test_the_panel_is_pinned() -> None:
    """The questions must never change under an id: a change needs Math-v1."""
    env = lg.make("layergym/Math-v0", split="test")
    assert lg.panel(env).hash[:16] == "34a4015e674491c4"


def test_no_test_question_is_in_a_training_panel(shared_data: Path) -> None:
    def texts(path: str, split: str) -> list[str]:
        rows = read_rows(shared_data / path, split)
        return [question.text for question in questions(rows, path)]

    training = texts("gsm8k", "train") + [q.text for q in generated.generated_questions("train")]
    held_out = texts("math/MATH-500.jsonl", "test") + texts("gsm8k", "test")
    assert leaked(training, held_out) == []
    longest = max(held_out, key=len)
    assert leaked([*training, f"{longest}  Please answer."], held_out) == [longest]
