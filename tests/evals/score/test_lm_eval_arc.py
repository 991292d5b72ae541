"""ARC's own questions, asked of a real model, beside lm-evaluation-harness on the same machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from layergym.agents.names import open_model
from layergym.evals.score.harness import Harness
from layergym.evals.score.multiple_choice import (
    choice_loglikelihoods,
    read_questions,
    score_questions,
)

ARC = "arc/arc_challenge_test.json"
COUNT = 100
FEW = 10
NATS = 0.001
"""How far log-likelihoods may differ: the harness and layergym batch differently."""


def write_task(asked: Path, folder: Path) -> Path:
    """The harness's own `arc_easy`, on the first questions of a local file in the hub's format."""
    data = folder / "arc.jsonl"
    with data.open("w") as file:
        for line in asked.read_text().splitlines()[:COUNT]:
            row = json.loads(line)
            labels = list("ABCDE"[: len(row["options"])])
            answer = labels[row["correct_options_idx"][0]]
            choices = {"text": row["options"], "label": labels}
            told = {"question": row["centerpiece"], "choices": choices, "answerKey": answer}
            file.write(json.dumps(told) + "\n")
    task = {
        "task": "local_arc",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{choices.label.index(answerKey)}}",
        "doc_to_choice": "{{choices.text}}",
        "metric_list": [{"metric": m, "aggregation": "mean"} for m in ("acc", "acc_norm")],
    }
    (folder / "local_arc.yaml").write_text(json.dumps(task))  # JSON is YAML too
    return data


def asked_of_harness(model: Any, tokenizer: Any, folder: Path) -> list[dict[str, Any]]:
    """Every question as the harness logs it, in the file's order."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    engine = HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=8)
    tasks = TaskManager(include_path=str(folder))
    told = simple_evaluate(model=engine, tasks=["local_arc"], task_manager=tasks, bootstrap_iters=0)
    return sorted(told["samples"]["local_arc"], key=lambda row: row["doc_id"])


@pytest.mark.real
@pytest.mark.timeout(3600)
def test_every_choice_is_as_likely_as_to_the_harness(
    shared_data: Path, tmp_path: Path, smollm2: str
) -> None:
    pytest.importorskip("lm_eval", reason="needs the extra lm-eval")
    asked = write_task(shared_data / ARC, tmp_path)
    questions = read_questions(asked)
    model, tokenizer = open_model(smollm2)
    theirs = asked_of_harness(model, tokenizer, tmp_path)
    ours = choice_loglikelihoods(model, tokenizer, questions)
    assert len(ours) == len(theirs) == COUNT
    furthest = 0.0
    for one, row in zip(ours, theirs, strict=True):
        other = [float(choice[0][0]) for choice in row["resps"]]
        assert one == pytest.approx(other, abs=NATS)
        assert one.index(max(one)) == other.index(max(other))
        furthest = max(furthest, *(abs(a - b) for a, b in zip(one, other, strict=True)))
    right = sum(row["acc"] for row in theirs), sum(row["acc_norm"] for row in theirs)
    print(f"{COUNT} questions, acc and acc_norm {right}, furthest apart: {furthest:.1e} nats")

    # Verdicts, from the file as it is published, and by way of the harness as a source.
    first = read_questions(shared_data / ARC)[:FEW]
    scores = score_questions(model, tokenizer, first)
    assert scores == {name: tuple(float(row[name]) for row in theirs[:FEW]) for name in scores}
    again = Harness("local_arc", tmp_path, limit=FEW).score(model, tokenizer)
    assert {name: again[name] for name in scores} == scores
