"""Search: Lucene's order, on recorded results, on our own catalogue, and against its jar."""

import gzip
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from layergym.envs.webshop.analyzer import terms, word_tokens
from layergym.envs.webshop.bm25 import Index, IndexWriter
from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.porter import stem

GOLDEN = Path(__file__).with_name("golden_search.json")


def test_top_50_equal_recorded_lucene_results(real: Catalogue, webshop_data: Path) -> None:
    different = []
    with gzip.open(webshop_data / "golden_search.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            recorded = json.loads(line)
            found = [real.product(row).asin for row in real.search(recorded["query"])]
            if found != recorded["top50"]:
                different.append(recorded["query"])
    assert different == []


def test_results_on_the_generated_catalogue_stay_the_same(generated: Catalogue) -> None:
    for query, asins in json.loads(GOLDEN.read_text()).items():
        assert [generated.product(row).asin for row in generated.search(query)[:10]] == asins


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Women's walking shoes", ["women", "walk", "shoe"]),
        ("the women\u2019s and not", ["women"]),
        ("3.5mm 10,000 a_b x:y 1:2", ["3.5mm", "10,000", "a_b", "x:y", "1", "2"]),
        ("caf\u00e9 \u2122 \u5b57\u5178 \U0001f600\U0001f3fb",
         ["caf\u00e9", "\u2122", "\u5b57", "\u5178", "\U0001f600\U0001f3fb"]),
        ("!!! ... \u2014", []),
        ("", []),
    ],
)  # fmt: skip
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_long_words_are_cut() -> None:
    assert [len(token) for token in word_tokens("a" * 600 + " b")] == [255, 255, 90, 1]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("agreed", "agre"), ("feed", "feed"),
        ("hopping", "hop"), ("falling", "fall"), ("filing", "file"), ("happy", "happi"),
        ("sky", "sky"), ("relational", "relat"), ("rational", "ration"), ("digitizer", "digit"),
        ("vietnamization", "vietnam"), ("sensibiliti", "sensibl"), ("triplicate", "triplic"),
        ("hopefulness", "hope"), ("adjustable", "adjust"), ("replacement", "replac"),
        ("adoption", "adopt"), ("rate", "rate"), ("cease", "ceas"), ("controll", "control"),
        ("archaeologi", "archaeolog"), ("is", "is"),
    ],
)  # fmt: skip
def test_stems_of_the_published_examples(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_scores_follow_the_formula(tmp_path: Path) -> None:
    """Against the formula written out, on random documents long enough to round lengths."""
    draw = random.Random(0)
    words = [f"w{n}" for n in range(60)]
    documents = [draw.choices(words, k=draw.randint(1, 200)) for _ in range(150)]
    numbers = list(range(150))
    draw.shuffle(numbers)
    writer = IndexWriter(tmp_path)
    for document in documents:
        writer.add(document)
    writer.finish(np.array(numbers, dtype=np.int32))
    index = Index(tmp_path)
    mean = np.float32(sum(map(len, documents)) / 150)
    holding = {word: sum(word in document for document in documents) for word in words}
    for _ in range(20):
        query = draw.choices([*words, "absent"], k=draw.randint(1, 6))
        scores = {}
        for number, document in zip(numbers, documents, strict=True):
            found = [term for term in set(query) if term in document]
            score = sum(
                _score(query.count(t), document.count(t), len(document), holding[t], mean)
                for t in found
            )
            if score:
                scores[number] = np.float32(score)
        best = sorted(scores, key=lambda n: (-scores[n], n))[:20]
        assert index.search(query, 20) == best


def _score(repeats: int, count: int, length: int, holding: int, mean: np.float32) -> float:
    """What a term that stands `repeats` times in the query adds to one of 150 documents."""
    one, k1, b = np.float32(1), np.float32(0.9), np.float32(0.4)
    idf = np.float32(np.log(1 + (150 - holding + 0.5) / (holding + 0.5)))
    norm = one / (k1 * ((one - b) + b * np.float32(_rounded(length)) / mean))
    weight = np.float32(repeats) * idf
    return float(weight - weight / (one + np.float32(count) * norm))


def _rounded(length: int) -> int:
    """Lucene keeps lengths to 24 exactly; of the excess, the four leading bits."""
    if length < 24:
        return length
    excess = length - 24
    drop = max(0, excess.bit_length() - 4)
    return 24 + (excess >> drop << drop)


def test_documents_without_a_word_are_never_found(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path)
    for _ in range(3):
        writer.add([])
    writer.finish(np.arange(3, dtype=np.int32))
    assert Index(tmp_path).search(["chair"], 50) == []


def test_no_hit_and_no_word(generated: Catalogue) -> None:
    assert generated.search("zzzzqqq") == ()
    assert generated.search("") == ()
    assert len(generated.search("chair " * 2000)) == 50


@pytest.mark.real
def test_order_equals_the_jar_of_the_pyserini_wheel(generated: Catalogue, tmp_path: Path) -> None:
    """Needs Java, `pip install pyjnius`, and ANSERINI_JAR: the fat jar of the pyserini wheel."""
    jar = os.environ.get("ANSERINI_JAR")
    if not jar:
        pytest.skip("set ANSERINI_JAR to the anserini-*-fatjar.jar of the pyserini wheel")
    pytest.importorskip("jnius_config").set_classpath(jar)
    autoclass = pytest.importorskip("jnius").autoclass
    source = tmp_path / "documents"
    source.mkdir()
    with open(source / "documents.jsonl", "w", encoding="utf-8") as file:
        for row in range(len(generated)):
            product = generated.product(row)
            content = {"id": product.asin, "contents": product.search_text()}
            file.write(json.dumps(content) + "\n")
    index = str(tmp_path / "index")
    arguments = ["-collection", "JsonCollection", "-generator", "DefaultLuceneDocumentGenerator",
                 "-threads", "1", "-input", str(source), "-index", index, "-storeRaw"]  # fmt: skip
    autoclass("io.anserini.index.IndexCollection").main(arguments)
    searcher = autoclass("io.anserini.search.SimpleSearcher")(index)
    draw = random.Random(0)
    queries = list(json.loads(GOLDEN.read_text()))
    for _ in range(500):
        words = generated.product(draw.randrange(len(generated))).search_text().split()
        queries.append(" ".join(draw.sample(words, draw.randint(1, 12))))
    for query in queries:
        hits = [hit.docid for hit in searcher.search(query, 50)]
        assert [generated.product(row).asin for row in generated.search(query)] == hits
