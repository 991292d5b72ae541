"""HumanEval and MBPP, all of them: what is right passes, what is changed fails."""

import ast
from pathlib import Path

import pytest

from layergym.envs.code import Code, datasets, generated
from layergym.envs.code.problems import CodeProblem
from layergym.envs.rows import leaked, read_rows
from layergym.envs.sandbox import Limits, Sandbox

QUICK = Limits(wall_s=3.0, cpu_s=2)
AMPLE = Limits(wall_s=240.0, cpu_s=120)
"""For solutions that are right: MBPP/123 needs 3.4 s on a fast machine and more on a slow one."""


def humaneval(data: Path) -> list[CodeProblem]:
    rows = read_rows(data / "humaneval" / "HumanEval.jsonl.gz", "test")
    return datasets.problems(rows, "test")


def mbpp(data: Path) -> list[CodeProblem]:
    rows = read_rows(data / "mbpp" / "mbpp.jsonl", "test")
    return [p for split in Code.splits for p in datasets.problems(rows, split)]


def failing(problems: list[CodeProblem]) -> list[str]:
    with Sandbox() as sandbox:
        return [
            problem.id
            for problem in problems
            if not sandbox.examine(problem.source(problem.solution), problem.hidden, AMPLE).passed
        ]


class Mutate(ast.NodeTransformer):
    """Change what a program computes: comparisons, arithmetic, numbers, and what is returned."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        return ast.UnaryOp(ast.Not(), node)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        known = isinstance(node.value, int) and not isinstance(node.value, bool)
        return ast.Constant(node.value + 1) if known else node  # type: ignore[operator]

    def visit_Return(self, node: ast.Return) -> ast.Return:
        self.generic_visit(node)
        value = node.value or ast.Constant(None)
        return ast.Return(ast.IfExp(value, ast.Constant(None), ast.Constant(0)))


def test_some_problems_of_each_pass(shared_data: Path) -> None:
    assert failing(humaneval(shared_data)[::12]) == []
    assert failing(mbpp(shared_data)[::60]) == []


@pytest.mark.slow
def test_all_164_solutions_of_humaneval_pass(shared_data: Path) -> None:
    problems = humaneval(shared_data)
    assert len(problems) == 164
    assert failing(problems) == []


@pytest.mark.slow
def test_all_164_mutants_of_humaneval_fail(shared_data: Path) -> None:
    survivors = []
    with Sandbox() as sandbox:
        for problem in humaneval(shared_data):
            mutant = ast.unparse(ast.fix_missing_locations(Mutate().visit(_tree(problem))))
            if sandbox.examine(problem.source(mutant), problem.hidden, QUICK).passed:
                survivors.append(problem.id)
    assert survivors == []


def _tree(problem: CodeProblem) -> ast.Module:
    return ast.parse(problem.solution)


@pytest.mark.slow
def test_all_docstring_examples_hold(shared_data: Path) -> None:
    with Sandbox() as sandbox:
        for problem in humaneval(shared_data):
            verdict = sandbox.examine(problem.source(problem.solution), problem.visible)
            assert verdict.passed or not problem.visible.checks, problem.id


@pytest.mark.slow
def test_all_974_solutions_of_mbpp_pass(shared_data: Path) -> None:
    problems = mbpp(shared_data)
    assert len(problems) == 974
    assert failing(problems) == []


@pytest.mark.slow
def test_all_generated_solutions_pass() -> None:
    assert (
        failing([p for split in generated.SPLITS for p in generated.generated_problems(split)])
        == []
    )


def test_docstring_examples_become_visible_tests(shared_data: Path) -> None:
    problems = {problem.id: problem for problem in humaneval(shared_data)}
    assert problems["HumanEval/0"].visible.checks == (
        "assert has_close_elements([1.0, 2.0, 3.0], 0.5) == False",
        "assert has_close_elements([1.0, 2.8, 3.0, 4.0, 5.0, 2.0], 0.3) == True",
    )
    assert sum(bool(problem.visible.checks) for problem in problems.values()) >= 125


def test_a_body_alone_completes_the_prompt(shared_data: Path) -> None:
    env = Code(split="test", problems=shared_data / "humaneval" / "HumanEval.jsonl.gz", max_turns=1)
    env.reset(options={"task": "HumanEval/53"})
    assert env.step("```python\n    return x + y\n```")[1] == 1.0
    env.reset(options={"task": "HumanEval/53"})
    assert env.step("```python\ndef add(x, y):\n    return x + y\n```")[1] == 1.0
    env.reset(options={"task": "HumanEval/53"})
    assert env.step("```python\n    return x - y\n```")[1] == 0.0


def test_no_humaneval_problem_is_in_a_training_panel(shared_data: Path) -> None:
    held_out = [problem.statement.partition("\n\n")[2] for problem in humaneval(shared_data)]
    training = [p.statement for p in generated.generated_problems("train")]
    rows = read_rows(shared_data / "mbpp" / "mbpp.jsonl", "train")
    training += [p.statement for p in datasets.problems(rows, "train")]
    assert leaked(training, held_out) == []
    assert leaked([*training, f"Please. {held_out[7]}"], held_out) == [held_out[7]]


def test_the_plus_versions_are_read_the_same_way(shared_data: Path) -> None:
    """A row in the columns of HumanEval+ and MBPP+, with their style of test script."""
    script = (
        "import numpy as np\n"
        "def assertion(out, exp, atol):\n"
        "    if atol: np.testing.assert_allclose(out, exp, atol=atol)\n"
        "    else: assert out == exp\n"
        "{head}"
        "{indent}inputs = [[1.0, 2.0], [4, 5]]\n"
        "{indent}results = [3.0, 9]\n"
        "{indent}for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
        "{indent}    assertion({name}(*inp), exp, 1e-6)\n"
    )
    one = {
        "task_id": "HumanEval/1",
        "entry_point": "add",
        "prompt": 'def add(x, y):\n    """Add them."""\n',
        "canonical_solution": "    return x + y\n",
        "test": script.format(head="def check(candidate):\n", indent="    ", name="candidate"),
    }
    two = {
        "task_id": 11,
        "code": "def add(x, y):\n    return x + y\n",
        "prompt": "Add them.",
        "test_list": ["assert add(1, 2) == 3"],
        "test_imports": ["import math"],
        "test": script.format(head="", indent="", name="add"),
    }
    with Sandbox(modules=["numpy", "numpy.testing"]) as sandbox:
        for row in (one, two):
            (problem,) = datasets.problems([row], "test")
            assert len(problem.hidden.checks) == 1
            assert sandbox.examine(problem.source(problem.solution), problem.hidden).passed
            wrong = "def add(x, y):\n    return 3.0"
            assert not sandbox.examine(problem.source(wrong), problem.hidden).passed
