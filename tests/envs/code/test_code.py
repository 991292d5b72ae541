"""The code environment: the turns, the reward, the generated problems."""

import ast
import json
from pathlib import Path

import gymnasium
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import layergym as lg
from layergym.envs.code import Code, generated
from layergym.envs.code.replies import read_program
from layergym.envs.rows import leaked, read_rows, same_text

RIGHT = "def double(x):\n    return 2 * x"
WRONG = "def double(x):\n    return 6"
ROW = {
    "task_id": 700,
    "text": "Write a function that doubles.",
    "code": RIGHT,
    "test_list": ["assert double(3) == 6", "assert double(5) == 10", "assert double(0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": ["assert double(-2) == -4"],
}


@pytest.fixture
def mbpp(tmp_path: Path) -> Path:
    rows = [{**ROW, "task_id": number} for number in (5, 300, 550, 700)]
    path = tmp_path / "mbpp.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def fenced(program: str) -> str:
    return f"Here it is:\n```python\n{program}\n```"


def test_it_keeps_the_contract() -> None:
    assert lg.conforms("layergym/Code-v0") == []


def test_gymnasium_and_vectors_make_it() -> None:
    env = gymnasium.make("layergym/Code-v0")
    text, _ = env.reset(seed=3)
    assert "Write a Python function" in text
    vector = SyncVectorEnv([lambda: Code(max_turns=1) for _ in range(2)])
    vector.reset(seed=[1, 2])
    rewards = vector.step(("def solve(data): return 1", "nothing"))[1]
    assert list(rewards) == [0.0, 0.0]
    vector.close()


def test_propose_see_the_error_repair_submit(mbpp: Path) -> None:
    env = Code(problems=mbpp)
    env.reset(options={"task": "MBPP/700"})
    text, reward, terminated, _, info = env.step(fenced("def double(x):\n    return x + '1'"))
    assert (reward, terminated, info["valid"]) == (0.0, False, True)
    assert "FAILED: assert double(3) == 6" in text
    assert "line 2, in double" in text
    text = env.step(fenced(RIGHT))[0]
    assert text == "passed: assert double(3) == 6"
    text, reward, terminated, _, info = env.step("submit")
    assert (text, reward, terminated) == ("Judged: 4 of 4 hidden tests passed.", 1.0, True)
    assert info["success"]


def test_hidden_tests_are_not_shown(mbpp: Path) -> None:
    env = Code(problems=mbpp)
    text, _ = env.reset(options={"task": "MBPP/700"})
    text += env.step(fenced(WRONG))[0]
    assert "double(3) == 6" in text
    assert "double(5)" not in text
    assert "-2" not in text


def test_what_passes_the_visible_tests_alone_earns_its_share(mbpp: Path) -> None:
    for reward, expected in (("all", 0.0), ("fraction", 0.25)):
        env = Code(problems=mbpp, reward=reward)  # type: ignore[arg-type]
        env.reset(options={"task": "MBPP/700"})
        assert env.step(f"submit {fenced(WRONG)}")[1] == expected


def test_the_last_turn_is_a_submission(mbpp: Path) -> None:
    env = Code(problems=mbpp, max_turns=1)
    env.reset(options={"task": "MBPP/700"})
    assert env.step(fenced(RIGHT))[1:3] == (1.0, True)


def test_a_reply_without_a_program_is_invalid(mbpp: Path) -> None:
    env = Code(problems=mbpp)
    env.reset(options={"task": "MBPP/700"})
    assert env.step("submit")[4]["valid"] is False
    assert env.step("I think that it is easy")[4]["valid"] is False


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("x = 1", ("x = 1", False)),
        ("```python\nx = 1  \n```", ("x = 1", False)),
        ("```\nold\n```\nbetter:\n```py\nx = 1\n```", ("x = 1", False)),
        ("submit", ("", True)),
        ("Submit.\n```python\nx = 1\n```", ("x = 1", True)),
        ("**submit**\nx = 1", ("x = 1", True)),
        ("```python\nsubmit = 1\n```", ("submit = 1", False)),
        ("```python\nx = 1", ("x = 1", False)),
        ("", ("", False)),
    ],
)
def test_programs_are_read_from_replies(action: str, expected: tuple[str, bool]) -> None:
    assert read_program(action, "x") == expected


def test_the_same_program_leads_to_the_same_state(mbpp: Path) -> None:
    env = Code(problems=mbpp)
    keys = []
    for replies in ([RIGHT], [WRONG, fenced(RIGHT)], [WRONG]):
        env.reset(options={"task": "MBPP/700"})
        for reply in replies:
            env.step(reply)
        keys.append(env.state_key())
    assert keys[0] == keys[1] != keys[2]


def test_a_clone_goes_its_own_way(mbpp: Path) -> None:
    env = Code(problems=mbpp)
    env.reset(seed=0, options={"task": "MBPP/700"})
    env.step(fenced(WRONG))
    twin = env.clone()
    twin.step(fenced(RIGHT))
    assert env.step("submit")[1] == 0.0
    assert twin.step("submit")[1] == 1.0


def test_workers_of_a_vector_have_sandboxes_of_their_own() -> None:
    vector = AsyncVectorEnv([lambda: Code(split="test", max_turns=1)] * 2, context="fork")
    vector.reset(seed=0)
    assert list(vector.step(("def solve(data): return data", "x"))[1]) == [0.0, 0.0]
    vector.close()


def test_mbpp_ids_decide_the_split(mbpp: Path) -> None:
    tasks = {split: Code(problems=mbpp, split=split).tasks for split in Code.splits}
    assert tasks == {
        "train": ["MBPP/005", "MBPP/700"],
        "valid": ["MBPP/550"],
        "test": ["MBPP/300"],
    }


def test_broken_data_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "?"}')
    with pytest.raises(lg.InputError, match="those of HumanEval"):
        Code(problems=path)
    path.write_text(json.dumps({**ROW, "test_list": ["assert double("]}))
    with pytest.raises(lg.InputError, match="cannot be used"):
        Code(problems=path)
    path.write_text("{")
    with pytest.raises(lg.InputError, match="cannot be read"):
        Code(problems=path)
    with pytest.raises(lg.InputError, match="no data at"):
        Code(problems=tmp_path / "missing.jsonl")
    with pytest.raises(lg.InputError, match='no reward "some"'):
        Code(reward="some")  # type: ignore[arg-type]


def test_rows_come_from_every_kind_of_file(tmp_path: Path) -> None:
    import gzip

    from datasets import Dataset

    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "é"}]
    text = "\n".join(map(json.dumps, rows))
    (tmp_path / "train.jsonl").write_text(text)
    (tmp_path / "r.json").write_text(json.dumps(rows))
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    Dataset.from_list(rows).to_parquet(str(tmp_path / "r.parquet"))
    for name in ("train.jsonl", "r.json", "r.jsonl.gz", "r.parquet", ""):
        assert read_rows(tmp_path / name, "train") == rows
    with pytest.raises(lg.InputError, match="no file test"):
        read_rows(tmp_path, "test")


def test_the_hub_library_loads_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in the hub's layout stands for a repository: the library reads both alike."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    assert read_rows(f"hub:{tmp_path}", "train") == [{"a": 1}, {"a": 2}]
    with pytest.raises(lg.InputError, match="cannot be loaded from the hub"):
        read_rows(f"hub:{tmp_path}/nothing", "train")


def test_generated_splits_are_disjoint_and_even() -> None:
    seen: dict[str, str] = {}
    for split in generated.SPLITS:
        problems = generated.generated_problems(split)
        assert len(problems) == generated.SPLITS[split]
        kinds = [problem.kind for problem in problems]
        assert {kinds.count(kind) for kind in kinds} == {len(kinds) // 12}
        for problem in problems:
            assert seen.setdefault(same_text(problem.statement), split) == split
    assert len(seen) == sum(generated.SPLITS.values())


def test_the_panel_is_pinned() -> None:
    """The problems must never change under an id: a change needs Code-v1."""
    env = lg.make("layergym/Code-v0", split="test")
    assert lg.panel(env).hash[:16] == "d6c18c271a685926"


def test_generated_solutions_pass_and_guesses_do_not() -> None:
    env = Code(split="test", max_turns=1, reward="fraction")
    for task in lg.panel(env, 8).tasks:
        env.reset(options={"task": task})
        assert env.step(str(env.expert()))[4]["success"]
        env.reset(options={"task": task})
        assert env.step("def solve(data): return data")[1] < 0.8
        env.reset(options={"task": task})
        assert env.step("def solve(data): return 0")[1] < 0.8


def test_a_table_of_the_visible_tests_fails() -> None:
    env = Code(split="test", max_turns=1)
    for task in lg.panel(env, 3).tasks:
        text, _ = env.reset(options={"task": task})
        table = {}
        for line in text.splitlines():
            if line.startswith("assert"):
                compare = ast.parse(line).body[0].test  # type: ignore[attr-defined]
                table[ast.unparse(compare.left.args[0])] = ast.unparse(compare.comparators[0])
        cases = ", ".join(f"repr({key}): {value}" for key, value in table.items())
        _, reward, *_ = env.step(f"def solve(data): return {{{cases}}}.get(repr(data))")
        assert len(table) == 2
        assert reward == 0.0


def test_leaks_are_found_by_normalised_text() -> None:
    train = ["Write a function to add two numbers, please, as fast as you can.", "Sum it up"]
    test = [
        "write a FUNCTION to add two numbers please as fast as you can",
        "Write a  function to add `two numbers`, please",
        "Sum",
    ]
    assert leaked(train, test) == test[:1]
    assert leaked([f"Question: {test[0]} Answer:"], test[:1]) == test[:1]
