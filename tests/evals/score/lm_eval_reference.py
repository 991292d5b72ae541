"""What lm-evaluation-harness says about small random models: `lm_eval_reference.json`.

    pip install 'layergym[lm-eval]'
    python -m tests.evals.score.lm_eval_reference

makes the file again. Models are filled with numbers of a generator that no library changes;
tokenizers have bytes as tokens and begin a text as those of the named families do.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from layergym.evals.score.multiple_choice import ChoiceQuestion, read_questions

FILE = Path(__file__).with_name("lm_eval_reference.json")
ROOM = 192
"""Tokens in a model's context; some questions are longer."""
_SPECIAL = ("<pad>", "<bos>", "<eos>", "[gMASK]")
_MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("a", "n"), ("Ġ", "a"), ("i", "n"), ("Ġ", "B")]
_SIZES: dict[str, Any] = {"vocab_size": 288, "num_hidden_layers": 2}
_HEADS: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
_SIZES |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_WIDE: dict[str, Any] = {**_SIZES, **_HEADS, "hidden_size": 32, "intermediate_size": 48}
_WIDE["max_position_embeddings"] = ROOM

_BUILT: dict[str, tuple[Callable[[], PreTrainedModel], str, dict[str, str]]] = {
    "qwen": (lambda: Qwen3ForCausalLM(Qwen3Config(**_WIDE)), "", {}),
    "gpt2": (
        lambda: GPT2LMHeadModel(
            GPT2Config(**_SIZES, n_embd=32, n_layer=2, n_head=2, n_positions=ROOM)
        ),
        "",
        {"bos_token": "<eos>"},
    ),
    "llama": (lambda: LlamaForCausalLM(LlamaConfig(**_WIDE)), "<bos>", {"bos_token": "<bos>"}),
    "gemma": (lambda: Gemma2ForCausalLM(Gemma2Config(**_WIDE)), "<bos>", {"bos_token": "<bos>"}),
    "glm": (
        lambda: LlamaForCausalLM(LlamaConfig(**_WIDE)),
        "[gMASK] <bos>",
        {"bos_token": "<bos>"},
    ),
}
"""How each kind is made: its model, what the tokenizer puts before a text, its special tokens."""
KINDS = tuple(_BUILT)

_ASKED: list[tuple[str, list[str], str]] = [
    ("Which of these is a metal?", ["iron", "oak", "wool", "glass"], "A"),
    ("What do the leaves of a plant take in?", ["light", "sand", "salt"], "A"),
    ("Water at the top of a fall has", ["energy of height", "no energy", "heat"], "A"),
    ("Which is the largest?", ["a cell", "an atom", "an organ", "a molecule"], "C"),
    ("How many legs has an insect?", ["4", "6", "8", "10", "12"], "B"),
    ("«Où est le nord ?» asks a traveller in 中国. North is", ["up", "left", "它"], "A"),
    ("The end of a text is written <eos> here. Is it?", ["yes", "no"], "A"),
    ("A ball is thrown. " * 20 + "It falls because of", ["gravity", "the wind"], "A"),
    ("Read this twice: " + "the sun, the moon, the stars; " * 12, ["sun", "moon"], "B"),
    ("Which word begins with a capital?", ["Berlin", "berlin", "BERLIN"], "A"),
    ("Same or other?", ["same", "same"], "B"),
    ("<bos>Which text begins twice?", ["this", "another"], "A"),
]
TEXT = "The brook ran down to the mill, and an old wheel took in the water again. " * 12


def model_of(kind: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A small random model and its tokenizer, the same everywhere."""
    build, before, special = _BUILT[kind]
    model = build().eval()
    generator = np.random.default_rng(KINDS.index(kind))
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            weight.copy_(torch.from_numpy(generator.normal(0.0, 0.3, tuple(weight.shape))))
    return model, _tokenizer(before, special)


def _tokenizer(before: str, special: dict[str, str]) -> PreTrainedTokenizerBase:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*_SPECIAL, *alphabet, *(first + second for first, second in _MERGES)]
    made = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=_MERGES))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(word, special=True) for word in _SPECIAL])
    if before:
        made.post_processor = TemplateProcessing(
            single=f"{before} $A", special_tokens=[(w, made.token_to_id(w)) for w in before.split()]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<eos>", pad_token="<pad>", **special
    )


def write_questions(folder: Path) -> tuple[Path, Path]:
    """The questions as files: in ARC's format of the hub, and in MMLU's."""
    worded, lettered = folder / "worded.jsonl", folder / "lettered.jsonl"
    labels = "ABCDE"
    rows: list[dict[str, Any]] = [
        {"question": q, "choices": {"text": c, "label": list(labels[: len(c)])}, "answerKey": key}
        for q, c, key in _ASKED
    ]
    worded.write_text("\n".join(map(json.dumps, rows)))
    four = [(q, [*c, "none of these", "all of these"][:4], key) for q, c, key in _ASKED]
    rows = [{"question": q, "choices": c, "answer": labels.index(k)} for q, c, k in four]
    lettered.write_text("\n".join(map(json.dumps, rows)))
    return worded, lettered


def questions() -> dict[str, tuple[ChoiceQuestion, ...]]:
    """The questions of both files, as read by the project."""
    with tempfile.TemporaryDirectory() as folder:
        return {path.stem: read_questions(path) for path in write_questions(Path(folder))}


def text_of(tokenizer: PreTrainedTokenizerBase, tokens: int) -> str:
    """The beginning of `TEXT` that has this many tokens."""
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert len(ids) >= tokens
    text = str(tokenizer.decode(ids[:tokens]))
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == tokens
    return text


# ---- with the harness ----------------------------------------------------------------------------


def _task(name: str, path: Path, prompt: str, target: str, choices: Any) -> dict[str, Any]:
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": prompt,
        "doc_to_target": target,
        "doc_to_choice": choices,
        "metric_list": [{"metric": m, "aggregation": "mean"} for m in ("acc", "acc_norm")],
    }


def _write_tasks(folder: Path) -> None:
    """The harness's own `arc_easy` and MMLU, on local files."""
    worded, lettered = write_questions(folder)
    letters = "".join(f"{letter}. {{{{choices[{n}]}}}}\n" for n, letter in enumerate("ABCD"))
    tasks = (
        _task(
            "worded",
            worded,
            "Question: {{question}}\nAnswer:",
            "{{choices.label.index(answerKey)}}",
            "{{choices.text}}",
        ),
        _task(
            "lettered",
            lettered,
            "{{question.strip()}}\n" + letters + "Answer:",
            "answer",
            list("ABCD"),
        ),
    )
    for task in tasks:  # JSON is YAML too
        (folder / f"{task['task']}.yaml").write_text(json.dumps(task))


def _asked(kind: str, folder: Path) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model, tokenizer = model_of(kind)
    engine = HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1)
    found: dict[str, Any] = {}
    manager = TaskManager(include_path=str(folder))
    for task in ("worded", "lettered"):
        told = simple_evaluate(model=engine, tasks=[task], task_manager=manager, bootstrap_iters=0)
        rows = sorted(told["samples"][task], key=lambda row: row["doc_id"])
        found[task] = {
            "loglikelihoods": [[round(c[0][0], 6) for c in row["resps"]] for row in rows],
            "acc": [row["acc"] for row in rows],
            "acc_norm": [row["acc_norm"] for row in rows],
        }
    plain = HFLM(
        pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1, add_bos_token=False
    )
    # The harness begins a rolled text with one token, and only the first window.
    sizes = {"": (ROOM // 2, 3 * ROOM), "<bos>": (ROOM // 2,)}
    found["text"] = {}
    for tokens in sizes.get(_BUILT[kind][1], ()):
        text = text_of(tokenizer, tokens)
        request = Instance("loglikelihood_rolling", {}, (text,), 0)
        found["text"][str(tokens)] = round(float(plain.loglikelihood_rolling([request])[0]), 5)
    return found


def main() -> None:
    """Write the file."""
    from importlib.metadata import version

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_tasks(folder)
        found = {kind: _asked(kind, folder) for kind in KINDS}
    told = {"lm_eval": version("lm-eval"), "kinds": found}
    FILE.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
