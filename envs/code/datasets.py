"""HumanEval and MBPP, and their `+` versions, as problems.

HumanEval (Chen et al., arXiv 2107.03374): the function is written under its docstring, whose
examples are the visible tests; `check` holds the hidden ones. MBPP (Austin et al.,
arXiv 2108.07732): the first assertion is visible, all are hidden tests. The `+` versions
(Liu et al., arXiv 2305.01210) have the same columns with more tests.
"""

from __future__ import annotations

import ast
import doctest
import re
import warnings
from collections.abc import Callable, Sequence

from layergym.base.errors import InputError
from layergym.envs.code.problems import CodeProblem, defined, imports, mentioned, suite
from layergym.envs.rows import TableRow
from layergym.envs.sandbox import Suite

_MBPP_SPLITS = (("test", 11, 510), ("valid", 511, 600))
# Their docstrings show values that the dataset's own solutions and tests contradict.
_WRONG_EXAMPLES = {f"HumanEval/{number}" for number in (47, 116, 130, 148)}
_EXAMPLE = r"^\W*({name}\(.*\))\s*(?:==>?|(?:#\s*)?=>|=|➞|->|returns?)\s*(.+?)\s*(?:[#(].*)?$"


def problems(rows: Sequence[TableRow], split: str) -> list[CodeProblem]:
    """The problems of one split, in order of id.

    HumanEval is a test set only. MBPP's ids decide its split: 11-510 test, 511-600 valid, the rest
    (with the ten few-shot prompts of the paper) train.

    Raises:
        InputError: the columns are neither's, a row is broken, or the split is empty.
    """
    columns = set(rows[0]) if rows else set()
    if columns >= {"prompt", "entry_point", "canonical_solution", "test"}:
        build: Callable[[TableRow], CodeProblem] = _humaneval
        split_of: Callable[[TableRow], str] = _humaneval_split
    elif columns >= {"task_id", "code", "test_list"}:
        split_of, build = _mbpp_split, _mbpp
    else:
        raise InputError(
            f"columns {', '.join(sorted(columns)) or '(none)'} are not those of HumanEval "
            "(prompt, entry_point, canonical_solution, test) or MBPP (task_id, code, test_list); "
            "rename them"
        )
    of_split = []
    for number, row in enumerate(rows):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the row's own, such as "\B" in a plain string
                of_split += [build(row)] if split_of(row) == split else []
        except (SyntaxError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"row {number} of the dataset cannot be used: {error!r}; mend or drop it"
            ) from error
        except StopIteration:
            raise InputError(
                f"row {number} of the dataset has no function check; mend or drop it"
            ) from None
    if not of_split:
        raise InputError(f"the dataset has no {split} split; HumanEval, for one, is test only")
    return sorted(of_split, key=lambda problem: problem.id)


def _humaneval_split(_: TableRow) -> str:
    return "test"


def _mbpp_split(row: TableRow) -> str:
    number = int(row["task_id"])
    return next((name for name, low, high in _MBPP_SPLITS if low <= number <= high), "train")


def _humaneval(row: TableRow) -> CodeProblem:
    prompt, entry = row["prompt"], row["entry_point"]
    solution = prompt + row["canonical_solution"]
    tests = ast.parse(row["test"])
    check = next(n for n in tests.body if isinstance(n, ast.FunctionDef) and n.name == "check")
    helpers = "\n".join(ast.unparse(node) for node in tests.body if node is not check)
    return CodeProblem(
        id=str(row["task_id"]),
        kind="HumanEval",
        statement=f"Complete this Python function:\n\n{prompt.strip()}",
        entry=entry,
        visible=_examples("" if row["task_id"] in _WRONG_EXAMPLES else prompt, entry),
        # The tests may use the reference, which stays with them.
        hidden=suite(check.body, {check.args.args[0].arg: entry}, setup=f"{solution}\n{helpers}"),
        solution=solution,
        preamble=prompt[: re.search(rf"^def {entry}\(", prompt, re.MULTILINE).start()],  # type: ignore[union-attr]
        stub=prompt,
    )


def _examples(prompt: str, entry: str) -> Suite:
    """The examples in a docstring whose call and value are plain Python."""
    tree = ast.parse(f"{prompt.rstrip()}\n    pass\n" if prompt else "")
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    text = next((ast.get_docstring(node) or "" for node in functions if node.name == entry), "")
    try:
        examples = [(e.source, e.want) for e in doctest.DocTestParser().get_examples(text)]
    except ValueError:
        examples = []
    pattern = re.compile(_EXAMPLE.format(name=re.escape(entry)), re.MULTILINE)
    written = [(match[1], match[2]) for match in pattern.finditer(text)]
    usable = [pair for pair in examples if _usable(*pair)] or [p for p in written if _usable(*p)]
    kept = [f"assert {call.strip()} == {want.strip()}" for call, want in usable]
    return suite(kept, [entry], setup=imports(prompt))


def _usable(call: str, want: str) -> bool:
    try:
        ast.literal_eval(want.strip())
        tree = ast.parse(call.strip(), mode="eval").body
        return isinstance(tree, ast.Call) and all(map(_is_literal, tree.args))
    except (ValueError, SyntaxError):
        return False


def _is_literal(node: ast.expr) -> bool:
    return not any(isinstance(inner, ast.Name) for inner in ast.walk(node))


def _mbpp(row: TableRow) -> CodeProblem:
    code = row["code"].replace("\r\n", "\n")
    shown = list(row["test_list"])
    before = [row.get("test_setup_code") or "", *(row.get("test_imports") or [])]
    known = defined(code)
    texts = [*shown, *(row.get("challenge_test_list") or []), row.get("test") or "", *before]
    names = sorted(known & {name for text in texts for name in mentioned(ast.parse(text))})
    setup = imports(code)
    # The `+` version's script repeats the listed tests and adds to them.
    hidden = [row["test"]] if row.get("test") else [*shown, *(row.get("challenge_test_list") or [])]
    called = [name for name in mentioned(ast.parse(shown[0])) if name in names]
    text = row.get("text") or row["prompt"]
    return CodeProblem(
        id=f"MBPP/{int(row['task_id']):03d}",
        kind="MBPP",
        statement=f"{text.strip()}\nName it so that the tests below can call it.",
        entry=called[0],
        visible=suite(shown[:1], names, setup=setup, before=before),
        hidden=suite(hidden, names, setup=setup, before=before),
        solution=code,
    )
