"""Lexical measures of a column or of records: values with their reasons, and fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from imine.columns.lexical import LEXICAL, MEASURES, Side, split_name
from imine.columns.parameters import PARAMETERS_OF, LexicalParameters
from imine.errors import UnknownIndicatorError
from imine.indicators.arrow_text import BLOCK_ROWS, checked_threads
from imine.indicators.lexical.engine import measure_column
from imine.indicators.lexical.formulas import FORMULAS, Formula
from imine.indicators.lexical.scratch import Buffers, Outputs
from imine.indicators.tokens import is_blank

SPLITTER = "imine-words"
# Raised when the same text would give other words.
SPLITTER_VERSION = 1

# Rows whose quantities and joined texts a thread holds at once: what bounds the memory beside the result.
_MOST_ROWS = 1 << 16
_LEAST_ROWS = 1 << 14
_REASONS_AT_ONCE = 1000
_WHAT: dict[Side, str] = {"output": "response", "input": "prompt", "both": "example"}


def measure_text(
    text: pl.Series,
    measures: Sequence[str],
    parameters: LexicalParameters | None = None,
    *,
    prompt: pl.Series | None = None,
    what: str = "text",
    threads: int | None = None,
) -> pl.DataFrame:
    """Measures of every row of a column, in one pass over its bytes and in several threads.

    The result is the same to the last bit for any number of threads and any chunking of the column.

    Args:
        text: String column (or Binary, read as UTF-8); nulls are allowed.
        measures: names of :data:`imine.columns.lexical.MEASURES`.
        parameters: free numbers of the measures.
        prompt: String column of the same length, for ``copied_share``, which has no value beside a null.
        what: what the reasons call the text.
        threads: number of threads; by default ``NUMBA_NUM_THREADS``, else the cores of this process.

    Returns:
        For each measure its column and ``<measure>__why``: the reason where the value is null, else null.

    Raises:
        UnknownIndicatorError: a name is not a lexical measure.
        TypeError: a column is not a String column.
        ValueError: ``threads`` is below 1, or ``copied_share`` is asked for without a prompt of the same length.

    Examples:
        >>> measure_text(pl.Series(["Don't re-use it: don’t!", ""]), ["words", "ttr"]).rows()
        [(4, None, 0.75, None), (0, None, None, 'text has 0 words, fewer than 1')]
    """
    if "copied_share" in measures and (prompt is None or len(prompt) != len(text)):
        raise ValueError("copied_share needs the prompts, as many as there are texts")

    def texts(rows: slice) -> _Texts:
        return text[rows], None if prompt is None else prompt[rows]

    return _measure_rows(len(text), texts, measures, parameters, what, threads)


_Texts = tuple[pl.Series, pl.Series | None]


def _measure_rows(
    n_rows: int,
    texts: Callable[[slice], _Texts],
    measures: Sequence[str],
    parameters: LexicalParameters | None,
    what: str,
    threads: int | None,
) -> pl.DataFrame:
    """The measures of all rows, from the texts and prompts of a slice of them at a time."""
    parameters = parameters or LexicalParameters()
    formulas = {name: _formula(name) for name in measures}
    passes = dict.fromkeys(["words", *(p for f in formulas.values() for p in f.passes)])
    workers = checked_threads(threads)
    size = _slice_rows(n_rows, workers)
    # Slices are handed to threads whole, columns and reasons included; what is left for one is split in blocks.
    inner = 1 if n_rows > size else workers
    buffers = Buffers(BLOCK_ROWS)

    def work(start: int) -> pl.DataFrame:
        text, prompt = texts(slice(start, start + size))
        quantities = measure_column(text, passes, parameters, prompt=prompt, threads=inner, buffers=buffers)
        absences = _Absences(quantities, parameters, what)
        columns = (_column(name, f, quantities, absences) for name, f in formulas.items())
        return pl.DataFrame(chain.from_iterable(columns))

    with ThreadPoolExecutor(workers) as pool:
        try:
            return pl.concat(pool.map(work, range(0, max(n_rows, 1), size)))
        except BaseException:  # an interrupt by the user must not wait for all rows
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _slice_rows(n_rows: int, workers: int) -> int:
    """Rows of a slice: a few slices for each thread, none so small that its columns cost more than its text."""
    size = min(max(-(-n_rows // (4 * workers)), _LEAST_ROWS), _MOST_ROWS)
    slices = max(-(-n_rows // size), 1)
    if slices > workers:
        # As many for every thread: with eleven slices, one of two threads waits for the last.
        slices = -(-slices // workers) * workers
    return max(-(-n_rows // slices), 1)


def _formula(measure: str) -> Formula:
    if measure not in FORMULAS:
        raise UnknownIndicatorError(
            f"no lexical measure {measure!r}; there are {', '.join(FORMULAS)} (imine indicators lexical)"
        )
    return FORMULAS[measure]


def _column(name: str, formula: Formula, quantities: Outputs, absences: _Absences) -> list[pl.Series]:
    import pyarrow as pa

    with np.errstate(divide="ignore", invalid="ignore"):
        values = formula.value(quantities)
    if values.base is not None:
        # One of several quantities in one piece of memory, which the column would keep.
        values = values.copy()
    absence = absences.of(formula)
    column = _series(pa.from_numpy_dtype(values.dtype), len(values), [absence.valid, pa.py_buffer(values)])
    return [column.cast(getattr(pl, MEASURES[name].dtype)).alias(name), absence.why.alias(f"{name}__why")]


@dataclass(frozen=True, slots=True, eq=False)
class _Absence:
    """Which rows have no value, and why.

    Attributes:
        valid: Arrow's bitmap of the rows that have one; ``None`` where all have.
        why: the reason of every row that has none, null for the others.
    """

    valid: Any
    why: pl.Series


class _Absences:
    """Rows without a value: those of fewer words than the least, null texts, and what a formula lacks.

    Most measures have none in the same rows, so that each kind is made once.
    """

    def __init__(self, quantities: Outputs, parameters: LexicalParameters, what: str) -> None:
        self._quantities, self._parameters, self._what = quantities, parameters, what
        self._made: dict[tuple[Any, ...], _Absence] = {}

    def of(self, formula: Formula) -> _Absence:
        least = formula.least(self._parameters)
        key = least, formula.lacks, formula.otherwise
        if key not in self._made:
            absent = self._quantities["words"] < max(least, 0)
            if formula.lacks is not None:
                absent |= formula.lacks(self._quantities)
            self._made[key] = self._make(absent, least, formula.otherwise)
        return self._made[key]

    def _make(self, absent: np.ndarray, least: int, otherwise: str) -> _Absence:
        rows = np.flatnonzero(absent)
        if not len(rows):
            return _Absence(None, pl.Series([None], dtype=pl.String).new_from_index(0, len(absent)))
        words, what = self._quantities["words"][rows], self._what
        # Every number below the least, unless there are more of them than a text is likely to need.
        known = least <= _REASONS_AT_ONCE
        short = np.arange(least) if known else np.unique(words[(words >= 0) & (words < least)])
        reasons = [f"{what} has {n} word{'' if n == 1 else 's'}, fewer than {least}" for n in short]
        reasons += [otherwise.format(what=what), f"{what} is null"]
        # A null text has -1 words, and -1 is the last of the reasons.
        place = np.minimum(words, least) if known else np.where(words < 0, -1, np.searchsorted(short, words))
        bits = np.packbits(absent, bitorder="little")
        return _Absence(_buffer(~bits), _picked(reasons, place, rows, len(absent), _buffer(bits)))


def _picked(texts: list[str], place: np.ndarray, rows: np.ndarray, n_rows: int, valid: Any) -> pl.Series:
    """``texts[place]`` in the rows given, which are the valid ones, and null in the others.

    A string made for each row would cost more than all measures. Arrow's views of the texts are picked, 16 bytes each,
    which NumPy moves as complex numbers: a third of the time of polars' own gather.
    """
    import pyarrow as pa

    _, views, *data = pl.Series(texts).to_arrow(compat_level=pl.CompatLevel.newest()).buffers()
    # Zeros are empty texts, and memory that nobody writes is not even fetched.
    picked = np.zeros(n_rows, dtype=np.complex128)
    picked[rows] = np.frombuffer(views, dtype=np.complex128)[place]
    return _series(pa.string_view(), n_rows, [valid, _buffer(picked), *data])


class _Exported:
    """An Arrow array by its C interface: given the array itself, polars first imports pyarrow.compute (50 ms)."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self._array.__arrow_c_array__(requested_schema)


def _series(dtype: Any, n_rows: int, buffers: list[Any]) -> pl.Series:
    """A series that reads these buffers where they are."""
    import pyarrow as pa

    return pl.Series(_Exported(pa.Array.from_buffers(dtype, n_rows, buffers)))


def _buffer(array: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.py_buffer(array)


def score_lexical(
    frame: pl.DataFrame,
    names: Sequence[str] | None = None,
    *,
    parameters: LexicalParameters | None = None,
    threads: int | None = None,
) -> pl.DataFrame:
    """The lexical indicators of every record.

    The prompt is ``instruction`` and ``input``, joined by a line break where there is an input (more than white space);
    the whole example is the prompt and the response, joined by a line break. They are joined for at most 65,536 rows
    of a thread at a time; the response is read where polars has it.

    Args:
        frame: records, with the String columns ``instruction``, ``input`` and ``output`` as needed.
        names: indicators wanted, in the order of the result; the listed lexical ones by default.
        parameters: free numbers of the measures.
        threads: number of threads; by default ``NUMBA_NUM_THREADS``, else the cores of this process.

    Returns:
        Frame of the same height, for each indicator its column and ``<name>__why``: the reason where the
        value is null, else null.

    Raises:
        UnknownIndicatorError: a name is not a lexical indicator.
        TypeError: a text column is not a String column.
        polars.exceptions.ColumnNotFoundError: a text column is missing.

    Examples:
        >>> frame = pl.DataFrame({"instruction": ["Say it"], "input": ["twice"], "output": ["So, so."]})
        >>> score_lexical(frame, ["input_words", "mtld"]).row(0)
        (3, None, None, 'response has 2 words, fewer than 10')
    """
    wanted = [spec.name for spec in LEXICAL] if names is None else list(names)
    sides: dict[Side, dict[str, str]] = {}
    for name in wanted:
        side, measure = _split(name)
        sides.setdefault(side, {})[name] = measure
    columns: dict[str, pl.Series] = {}
    for side, members in sides.items():
        measured = _measure_side(frame, side, list(dict.fromkeys(members.values())), parameters, threads)
        for name, measure in members.items():
            columns[name] = measured[measure]
            columns[f"{name}__why"] = measured[f"{measure}__why"]
    return pl.DataFrame([columns[c].alias(c) for name in wanted for c in (name, f"{name}__why")])


def _split(name: str) -> tuple[Side, str]:
    found = split_name(name)
    if found is None:
        raise UnknownIndicatorError(f"not a lexical indicator: {name}; there are {', '.join(MEASURES)}")
    return found


def _measure_side(
    frame: pl.DataFrame,
    side: Side,
    measures: list[str],
    parameters: LexicalParameters | None,
    threads: int | None,
) -> pl.DataFrame:
    def texts(rows: slice) -> _Texts:
        part = frame[rows]
        text = part["output"] if side == "output" else _joined(part, side)
        return text, _joined(part, "input") if "copied_share" in measures else None

    return _measure_rows(frame.height, texts, measures, parameters, _WHAT[side], threads)


def _joined(frame: pl.DataFrame, side: Side) -> pl.Series:
    prompt = pl.col("instruction")
    if "input" in frame.columns:
        extra = pl.concat_str("instruction", "input", separator="\n")
        absent = is_blank(pl.col("input").fill_null(""))
        prompt = pl.when(absent).then("instruction").otherwise(extra)
    text = prompt if side == "input" else pl.concat_str(prompt, "output", separator="\n")
    return frame.select(text.alias("text"))["text"]


def lexical_fingerprint(name: str, parameters: LexicalParameters | None = None) -> dict[str, Any]:
    """What made a lexical score column; equal fingerprints mean equal numbers for equal text.

    Args:
        name: a lexical indicator; ``output_mtld`` and ``mtld`` are the same one.
        parameters: free numbers; those that matter to the measure are part of its fingerprint.

    Raises:
        UnknownIndicatorError: the name is not a lexical indicator.

    Examples:
        >>> lexical_fingerprint("output_words")["splitter"]
        'imine-words/1'
    """
    from imine_kernels.unicode_tables import UNICODE_VERSION

    side, measure = _split(name)
    plain = "output_words" if measure == "words" else measure
    chosen = asdict(parameters or LexicalParameters())
    return {
        "indicator": plain if side == "output" else f"{side}_{measure}",
        "version": MEASURES[measure].version,
        "splitter": f"{SPLITTER}/{SPLITTER_VERSION}",
        "unicode": UNICODE_VERSION,
        **{key: chosen[key] for key in PARAMETERS_OF.get(measure, ())},
        **_made_with(measure),
    }


def _made_with(measure: str) -> dict[str, Any]:
    """What else the numbers of a measure depend on."""
    if measure == "compression_ratio":
        from imine.indicators.lexical.compression import ZLIB_LEVEL, zlib_version

        return {"compressor": zlib_version(), "level": ZLIB_LEVEL}
    if measure == "stop_word_share":
        from imine.indicators.stop_words import STOP_WORDS_VERSION

        return {"stop_words": STOP_WORDS_VERSION}
    return {}
