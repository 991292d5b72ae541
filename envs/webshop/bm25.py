"""BM25 as Lucene computes it, over an index on disk that processes share by memory mapping.

Equal to Anserini's searcher (`k1 = 0.9`, `b = 0.4`) to the order of ties: document lengths go
through Lucene's one-byte `SmallFloat`, weights are float32, sums float64 rounded to float32, and
equal scores are ordered by document. Scoring: Lucene's `BM25Similarity`, after Robertson and
Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_K1, _B = np.float32(0.9), np.float32(0.4)
_ONE = np.float32(1)
_SEGMENT = 1 << 15
"""Documents sorted at a time while building, which bounds the memory that takes."""


class Index:
    """A read-only index: one posting list (documents, saturations) for every term.

    Shapes: T terms, P postings, N documents.
    """

    def __init__(self, folder: Path) -> None:
        """Map the index in `folder`; nothing is read yet."""
        self._hashes = map_array(folder, "term_hashes")  # (T,) uint64, sorted
        self._starts = map_array(folder, "posting_starts")  # (T + 1,) int64
        self._idf = map_array(folder, "idf")  # (T,) float32
        self._documents = map_array(folder, "posting_documents")  # (P,) int32
        self._saturations = map_array(folder, "posting_saturations")  # (P,) float32: 1 + tf * norm
        self._size = int(np.load(folder / "documents.npy"))

    def search(self, terms: Sequence[str], limit: int) -> list[int]:
        """The best `limit` documents for a query, best first, equal scores by document number."""
        counts = Counter(terms)
        if not counts or not len(self._hashes):
            return []
        wanted = np.array([_hash(term) for term in counts], dtype=np.uint64)
        places = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        known = np.flatnonzero(self._hashes[places] == wanted)
        if not len(known):
            return []
        places = places[known]
        repeats = np.array(list(counts.values()), dtype=np.float32)[known]
        starts, ends = self._starts[places], self._starts[places + 1]
        spans = [slice(*span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
        documents = np.concatenate([self._documents[span] for span in spans])
        saturations = np.concatenate([self._saturations[span] for span in spans])
        weights = np.repeat(repeats * self._idf[places], ends - starts)
        sums = np.bincount(documents, weights - weights / saturations, self._size)
        return _best(sums.astype(np.float32), limit)


def _best(scores: NDArray[np.float32], limit: int) -> list[int]:
    hits = np.flatnonzero(scores > 0)
    if len(hits) > limit:
        of_hits = scores[hits]
        threshold = np.partition(of_hits, len(hits) - limit)[len(hits) - limit]
        hits = hits[of_hits >= threshold]
    best = hits[np.argsort(-scores[hits], kind="stable")[:limit]]
    return [int(document) for document in best]


class IndexWriter:
    """Builds an `Index` from documents given one by one."""

    def __init__(self, folder: Path) -> None:
        """Build into `folder`, which exists."""
        self._folder = folder
        self._term_ids: dict[str, int] = {}
        self._lengths = array("q")
        self._segments: list[Path] = []
        self._clear()

    def _clear(self) -> None:
        self._terms, self._documents, self._counts = array("i"), array("i"), array("i")

    def add(self, terms: Sequence[str]) -> None:
        """Add the next document."""
        document = len(self._lengths)
        self._lengths.append(len(terms))
        ids = self._term_ids
        for term, count in Counter(terms).items():
            self._terms.append(ids.setdefault(term, len(ids)))
            self._documents.append(document)
            self._counts.append(count)
        if len(self._lengths) % _SEGMENT == 0:
            self._spill()

    def _spill(self) -> None:
        """Write what was gathered, sorted by term, and forget it."""
        columns = np.array([self._terms, self._documents, self._counts], dtype=np.int32)
        path = self._folder / f"segment_{len(self._segments)}.npy"
        np.save(path, columns[:, np.argsort(columns[0], kind="stable")])
        self._segments.append(path)
        self._clear()

    def finish(self, numbers: NDArray[np.int32]) -> None:
        """Write the index; the i-th document added gets the number `numbers[i]`."""
        self._spill()
        size = len(self._lengths)
        hashes = np.array([_hash(term) for term in self._term_ids], dtype=np.uint64)
        order = np.argsort(hashes)
        if len(np.unique(hashes)) != len(hashes):
            raise RuntimeError("two terms have the same 64-bit hash")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        frequencies = np.zeros(len(order), dtype=np.int64)
        for path in self._segments:
            terms = np.load(path, mmap_mode="r")[0]
            frequencies += np.bincount(place[terms], minlength=len(order))
        starts = np.concatenate([[0], np.cumsum(frequencies)])
        idf = [math.log(1 + (size - n + 0.5) / (n + 0.5)) for n in frequencies.tolist()]
        for name, values in (
            ("documents", np.int64(size)),
            ("term_hashes", hashes[order]),
            ("posting_starts", starts),
            ("idf", np.array(idf, dtype=np.float32)),
        ):
            np.save(self._folder / f"{name}.npy", values)
        self._write_postings(place, starts, numbers)

    def _write_postings(
        self, place: NDArray[np.intp], starts: NDArray[np.int64], numbers: NDArray[np.int32]
    ) -> None:
        total = int(starts[-1])
        norms = _norms(np.frombuffer(self._lengths, dtype=np.int64))
        documents = _create(self._folder / "posting_documents.npy", np.int32, total)
        saturations = _create(self._folder / "posting_saturations.npy", np.float32, total)
        free = starts[:-1].copy()
        for path in self._segments:
            terms, added, counts = np.load(path)
            _, first, runs = np.unique(terms, return_index=True, return_counts=True)
            places = place[terms]
            positions = free[places] + np.arange(len(terms)) - np.repeat(first, runs)
            documents[positions] = numbers[added]
            saturations[positions] = _ONE + counts.astype(np.float32) * norms[added]
            free[places[first]] += runs
            path.unlink()


def _norms(lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Lucene's length normalisation of documents of this many terms."""
    mean = np.float32(int(lengths.sum()) / max(1, len(lengths)))
    rounded = _ROUND_LENGTHS[np.searchsorted(_ROUND_LENGTHS, lengths, side="right") - 1]
    relative = _B * rounded.astype(np.float32) / (mean or _ONE)
    norms: NDArray[np.float32] = _ONE / (_K1 * ((_ONE - _B) + relative))
    return norms


def _round_lengths() -> NDArray[np.int64]:
    """The 256 lengths that Lucene's `SmallFloat.intToByte4` can tell apart."""
    exact = 24  # these are stored as they are; the rest keep four significant bits
    small = [
        code & 7 if code < 8 else (code & 7 | 8) << ((code >> 3) - 1) for code in range(256 - exact)
    ]
    return np.array([*range(exact), *(exact + value for value in small)], dtype=np.int64)


_ROUND_LENGTHS = _round_lengths()


def _hash(term: str) -> int:
    data = term.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def map_array(folder: Path, name: str) -> NDArray[Any]:
    """An array of a catalogue's folder, mapped; as a plain view, which slices faster."""
    mapped: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return mapped.view(np.ndarray)


def _create(path: Path, kind: type[np.generic], size: int) -> NDArray[Any]:
    created: NDArray[Any] = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(size,))
    return created
