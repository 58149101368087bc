"""Candidates whose prompt is nearly that of an evaluation set.

Two rules, on words in lower case without punctuation:

* the sets of runs of three words of both prompts overlap by at least four tenths (intersection over union); a prompt
  of fewer words counts as one run. A prompt of ten words in which one inner word is another keeps 5 of 8 runs, an
  overlap of 5/11; one of eight words keeps 3 of 6, an overlap of 1/3, and is let through: so short, other prompts
  are as like it as that;
* a run of 13 words of the evaluation prompt stands anywhere in the candidate, prompt or response. Brown et al. (2020),
  Language models are few-shot learners, appendix C, look for contamination by runs of this length.

The first finds rewordings and short prompts, the second long prompts that were quoted or continued. Both are
computed exactly, from the few runs of words of the evaluation prompts, looked up for all candidates at once.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

SHINGLE = 3
OVERLAP = 0.4
QUOTED = 13

Hashes = NDArray[np.uint64]
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def near_prompts(candidates: pl.DataFrame, evaluation: pl.DataFrame) -> pl.Series:
    """Which candidates have a prompt that is nearly one of an evaluation set.

    Args:
        candidates: records frame: ``instruction``, ``input``, ``output``.
        evaluation: records frame with the rows of all evaluation sets.

    Returns:
        Booleans, one a candidate.

    Examples:
        >>> def frame(*prompts):
        ...     return pl.DataFrame({"instruction": prompts, "input": "", "output": "x"})
        >>> asked = frame("Write a short poem about the sea at night.")
        >>> near_prompts(frame("write a short poem about the sea, at night", "Write a short poem about cats."),
        ...              asked).to_list()
        [True, False]
    """
    prompts = _texts(evaluation, "instruction", "input").unique(maintain_order=True)
    # The response is looked through for long runs of words as well, but is no part of a prompt.
    overlap = _overlaps(_texts(candidates, "instruction", "input"), prompts)
    quoted = _quotes(_texts(candidates, "instruction", "input", "output"), prompts)
    return pl.Series("near", (overlap >= OVERLAP - 1e-12) | quoted)


def _texts(rows: pl.DataFrame, *columns: str) -> pl.Series:
    return rows.select(pl.concat_str(columns, separator="\n")).to_series().str.to_lowercase()


class _Words:
    """Words of texts one after another, as hashes.

    Attributes:
        hashes: of every word, shape (words,).
        text: number of its text, shape (words,).
        texts: number of texts.
    """

    def __init__(self, texts: pl.Series) -> None:
        words = texts.str.extract_all(r"[\p{L}\p{N}]+")
        counts = words.list.len().to_numpy().astype(np.int64)
        flat = words.explode().drop_nulls()
        self.texts = len(texts)
        self.text = np.repeat(np.arange(len(texts)), counts)
        self.hashes: Hashes = flat.hash(seed=0).to_numpy().astype(np.uint64)

    def runs(self, n: int) -> tuple[Hashes, NDArray[np.int64]]:
        """Hash and text of every run of ``n`` words."""
        count = max(0, len(self.hashes) - n + 1)
        inside = self.text[:count] == self.text[n - 1 : n - 1 + count]
        state = np.full(count, n, dtype=np.uint64)
        for k in range(n):
            state = (state ^ self.hashes[k : k + count]) * _FACTOR
            state ^= state >> _SHIFT
        return state[inside], self.text[:count][inside]

    def shingles(self) -> tuple[Hashes, NDArray[np.int64]]:
        """Hash and text of every run of three words, or of the whole text where it has fewer."""
        parts = [self.runs(SHINGLE)]
        lengths = np.bincount(self.text, minlength=self.texts)
        for n in range(1, SHINGLE):
            hashes, text = self.runs(n)
            short = lengths[text] == n
            parts.append((hashes[short], text[short]))
        return np.concatenate([h for h, _ in parts]), np.concatenate([t for _, t in parts])


def _once(hashes: Hashes, text: NDArray[np.int64]) -> tuple[Hashes, NDArray[np.int64]]:
    """Each hash once a text."""
    order = np.lexsort((hashes, text))
    hashes, text = hashes[order], text[order]
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (text[1:] != text[:-1])
    return hashes[new], text[new]


def _among(hashes: Hashes, known: Hashes) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(hashes), dtype=bool)
    ordered = np.sort(known)
    found: NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, hashes), len(known) - 1)] == hashes
    return found


def _overlaps(texts: pl.Series, prompts: pl.Series) -> NDArray[np.float64]:
    """Largest overlap of each text with a prompt, between 0 and 1."""
    asked, asked_prompt = _once(*_Words(prompts).shingles())
    own, own_text = _Words(texts).shingles()
    # Only texts with some run of a prompt can overlap with it: the others need not be counted.
    hit = _among(own, asked)
    concerned = np.zeros(len(texts), dtype=bool)
    concerned[own_text[hit]] = True
    own, own_text = _once(own[concerned[own_text]], own_text[concerned[own_text]])
    sizes = np.bincount(own_text, minlength=len(texts))
    asked_sizes = np.bincount(asked_prompt, minlength=len(prompts))
    hit = _among(own, asked)
    pairs = pl.DataFrame({"hash": own[hit], "text": own_text[hit]}).join(
        pl.DataFrame({"hash": asked, "prompt": asked_prompt}), on="hash"
    )
    common = pairs.group_by("text", "prompt").len()
    text, prompt = common["text"].to_numpy(), common["prompt"].to_numpy()
    shared = common["len"].to_numpy().astype(np.float64)
    largest = np.zeros(len(texts))
    np.maximum.at(largest, text, shared / (sizes[text] + asked_sizes[prompt] - shared))
    return largest


def _quotes(texts: pl.Series, prompts: pl.Series) -> NDArray[np.bool_]:
    """Whether a text holds 13 words of a prompt in a row."""
    hashes, text = _Words(texts).runs(QUOTED)
    found = np.zeros(len(texts), dtype=bool)
    found[text[_among(hashes, _Words(prompts).runs(QUOTED)[0])]] = True
    return found
