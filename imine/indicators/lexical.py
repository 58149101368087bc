"""Lexical indicators: words of prompt and response, and the diversity of the response's vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from imine.columns import COLUMNS, require_column
from imine.errors import UnknownIndicatorError
from imine.indicators.arrow_text import TextChunk, for_each_block, text_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITTER = "imine-words"
# Raised when the same text would give other words.
SPLITTER_VERSION = 1
MTLD_THRESHOLD = 0.72
MTLD_MIN_WORDS = 10

LEXICAL = tuple(name for name, spec in COLUMNS.items() if spec.group == "lexical")


@dataclass(frozen=True, slots=True, eq=False)
class TextMeasures:
    """What one pass over a text column gives.

    Attributes:
        words: (rows,) number of words, -1 where the text is null.
        mtld: (rows,) MTLD in words a factor, NaN where there is none; empty if it was not asked for.
    """

    words: NDArray[np.int64]
    mtld: NDArray[np.float64]


def measure_text(
    series: pl.Series,
    *,
    mtld: bool = True,
    mtld_threshold: float = MTLD_THRESHOLD,
    min_words: int = MTLD_MIN_WORDS,
    threads: int | None = None,
) -> TextMeasures:
    """Words and MTLD of every row of a column, in one pass over its bytes and in several threads.

    The result is the same to the last bit for any number of threads and any chunking of the column.

    Args:
        series: String column; nulls are allowed.
        mtld: whether MTLD is wanted.
        mtld_threshold: type-token ratio at which a factor ends, between 0 and 1.
        min_words: words below which a row has no MTLD, at least 1.
        threads: number of threads; by default ``NUMBA_NUM_THREADS``, else the cores of this process.

    Raises:
        TypeError: the column is not a String column.
        ValueError: a parameter is out of its range.

    References:
        McCarthy and Jarvis (2010), Behavior Research Methods 42, 381-392, doi:10.3758/BRM.42.2.381.

    Examples:
        >>> measure_text(pl.Series("output", ["Don't re-use it: don’t!", None])).words.tolist()
        [4, -1]
    """
    from imine_kernels.lexical import measure_rows
    from imine_kernels.unicode_tables import word_tables

    _check_parameters(mtld_threshold, min_words)
    chunks = text_chunks(series)
    words = np.empty(len(series), dtype=np.int64)
    diversity = np.empty(len(series) if mtld else 0, dtype=np.float64)
    tables = word_tables()

    def work(chunk: TextChunk, start: int, stop: int) -> None:
        rows = slice(chunk.start, chunk.start + chunk.n_rows)
        measure_rows(
            chunk.column, start, stop, tables, float(mtld_threshold), min_words, words[rows], diversity[rows]
        )

    for_each_block(work, chunks, threads)
    return TextMeasures(words, diversity)


def _check_parameters(mtld_threshold: float, min_words: int) -> None:
    if not 0 < mtld_threshold < 1:
        raise ValueError(f"mtld_threshold must lie between 0 and 1, and is {mtld_threshold}")
    if min_words < 1:
        raise ValueError(f"min_words must be at least 1, and is {min_words}")


def score_lexical(
    frame: pl.DataFrame,
    names: Sequence[str] | None = None,
    *,
    mtld_threshold: float = MTLD_THRESHOLD,
    min_words: int = MTLD_MIN_WORDS,
    threads: int | None = None,
) -> pl.DataFrame:
    """The lexical indicators of every record.

    The prompt is ``instruction`` and ``input``, taken as joined by a line break; a null ``input`` counts as
    none.

    Args:
        frame: records, with the String columns ``instruction``, ``input`` and ``output`` as needed.
        names: indicators wanted, in the order of the result; all lexical ones by default.
        mtld_threshold: type-token ratio at which a factor of MTLD ends, between 0 and 1.
        min_words: words below which a response has no MTLD, at least 1.
        threads: number of threads; by default ``NUMBA_NUM_THREADS``, else the cores of this process.

    Returns:
        Frame of the same height, for each indicator its column and ``<name>__why``: the reason where the
        value is null, else null.

    Raises:
        UnknownIndicatorError: a name is not a lexical indicator.
        TypeError: a text column is not a String column.
        ValueError: a parameter is out of its range.
        polars.exceptions.ColumnNotFoundError: a text column is missing.

    Examples:
        >>> frame = pl.DataFrame({"instruction": ["Say it"], "input": ["twice"], "output": ["So, so."]})
        >>> score_lexical(frame, ["input_words", "mtld"]).row(0)
        (3, None, None, 'response has 2 words, fewer than 10')
    """
    names = LEXICAL if names is None else names
    _check_names(names)
    _check_parameters(mtld_threshold, min_words)
    columns: dict[str, pl.Series] = {}
    if "input_words" in names:
        columns |= _prompt_columns(frame, threads)
    if {"output_words", "mtld"} & set(names):
        measures = measure_text(
            frame["output"],
            mtld="mtld" in names,
            mtld_threshold=mtld_threshold,
            min_words=min_words,
            threads=threads,
        )
        columns |= _response_columns(measures, min_words)
    return pl.DataFrame(
        [columns[column].alias(column) for name in names for column in (name, f"{name}__why")]
    )


def _check_names(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in LEXICAL]
    if unknown:
        raise UnknownIndicatorError(
            f"not a lexical indicator: {', '.join(unknown)}; there are {', '.join(LEXICAL)}"
        )


def _prompt_columns(frame: pl.DataFrame, threads: int | None) -> dict[str, pl.Series]:
    instruction = measure_text(frame["instruction"], mtld=False, threads=threads).words
    extra = measure_text(frame["input"], mtld=False, threads=threads).words
    # A line break is in no word, so that the words of the joined text are the words of its parts.
    return _count_columns("input_words", instruction + np.maximum(extra, 0), instruction < 0, "instruction")


def _response_columns(measures: TextMeasures, min_words: int) -> dict[str, pl.Series]:
    missing = measures.words < 0
    columns = _count_columns("output_words", measures.words, missing, "response")
    if measures.mtld.size != measures.words.size:
        return columns
    words = pl.Series("words", measures.words)
    plural = pl.when(words == 1).then(pl.lit("")).otherwise(pl.lit("s"))
    why = (
        pl.when(pl.lit(pl.Series(missing)))
        .then(pl.lit("response is null"))
        .when(words < min_words)
        .then(pl.format("response has {} word{}, fewer than {}", words, plural, pl.lit(min_words)))
    )
    columns["mtld"] = pl.Series(measures.mtld).fill_nan(None)
    columns["mtld__why"] = pl.select(why).to_series()
    return columns


def _count_columns(
    name: str, words: NDArray[np.int64], missing: NDArray[np.bool_], text: str
) -> dict[str, pl.Series]:
    value = pl.when(~pl.lit(pl.Series(missing))).then(pl.lit(pl.Series(words)))
    why = pl.when(pl.lit(pl.Series(missing))).then(pl.lit(f"{text} is null"))
    both = pl.select(value.alias(name), why.alias(f"{name}__why"))
    return {column.name: column for column in both}


def lexical_fingerprint(
    name: str, *, mtld_threshold: float = MTLD_THRESHOLD, min_words: int = MTLD_MIN_WORDS
) -> dict[str, Any]:
    """What made a lexical score column; equal fingerprints mean equal numbers for equal text.

    Args:
        name: a lexical indicator.
        mtld_threshold: as in :func:`score_lexical`; part of the fingerprint of ``mtld`` only.
        min_words: as in :func:`score_lexical`; part of the fingerprint of ``mtld`` only.

    Raises:
        UnknownIndicatorError: the name is not a lexical indicator.

    Examples:
        >>> lexical_fingerprint("output_words")["splitter"]
        'imine-words/1'
    """
    from imine_kernels.unicode_tables import UNICODE_VERSION

    _check_names([name])
    made_by: dict[str, Any] = {
        "indicator": name,
        "version": require_column(name).version,
        "splitter": f"{SPLITTER}/{SPLITTER_VERSION}",
        "unicode": UNICODE_VERSION,
    }
    if name == "mtld":
        made_by |= {"threshold": float(mtld_threshold), "min_words": min_words}
    return made_by
