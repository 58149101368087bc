"""The corpora that the benchmarks run over: real pools where they are at hand, else the bundled sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

TEXTS = ("instruction", "input", "output")
FULL_BYTES, QUICK_BYTES = 200_000_000, 20_000_000


@dataclass(frozen=True)
class Pool:
    """Rows that corpora are made of.

    Attributes:
        rows: frame with the columns ``instruction``, ``input`` and ``output``, no nulls.
        source: where they come from, for people.
    """

    rows: pl.DataFrame
    source: str


def load_pool(folder: Path | None) -> Pool:
    """The concatenated pools of a folder, but for its evaluation sets; the bundled sample where there is none."""
    if folder is None:
        from imine.sample import load_sample

        return Pool(load_sample().select(TEXTS), "the 300 rows of the bundled sample")
    paths = [p for p in sorted(folder.glob("*.parquet")) if not p.name.startswith("eval_")]
    frames = {
        path.stem: pl.read_parquet(path) for path in paths if set(TEXTS) <= set(pl.read_parquet_schema(path))
    }
    if not frames:
        raise ValueError(f"no parquet file of {folder} has the columns {', '.join(TEXTS)}")
    rows = pl.concat([frame.select(pl.col(TEXTS).cast(pl.String).fill_null("")) for frame in frames.values()])
    return Pool(rows, f"{rows.height:,} rows of {len(frames)} pools ({', '.join(frames)})")


@dataclass(frozen=True)
class Corpus:
    """Text to work through, in memory and as a file.

    Attributes:
        frame: the text columns; every repetition of the pool has bytes of its own, as a real pool of that size.
        columns: those whose text counts.
        path: file with the same text, a line break after each.
        source: for people.
    """

    frame: pl.DataFrame
    columns: tuple[str, ...]
    path: Path
    source: str

    @property
    def rows(self) -> int:
        return self.frame.height

    @cached_property
    def bytes(self) -> int:
        """Bytes of the text, in UTF-8, without the file's line breaks."""
        return text_bytes(self.frame, self.columns)


def text_bytes(frame: pl.DataFrame, columns: tuple[str, ...]) -> int:
    return sum(int(frame[name].str.len_bytes().sum()) for name in columns)


def make_corpus(pool: Pool, columns: tuple[str, ...], least_bytes: int, path: Path) -> Corpus:
    """The pool shuffled and repeated until ``columns`` hold so many bytes, then cut; written to ``path`` as well."""
    times = -(-least_bytes // text_bytes(pool.rows, columns))
    rows = pool.rows.select(columns).sample(fraction=1.0, shuffle=True, seed=0)
    frame = repeat(rows, times)
    sizes = frame.select(pl.sum_horizontal(pl.all().str.len_bytes().cast(pl.Int64)).cum_sum()).to_series()
    frame = frame.head(int((sizes < least_bytes).sum()) + 1)
    with path.open("wb") as file:
        for part in frame.iter_slices(100_000):
            lines = part.select(pl.concat_str(columns, separator="\n"))
            lines.write_csv(file, include_header=False, quote_style="never")
    total = text_bytes(frame, columns)
    source = (
        f"{' + '.join(columns)} of {pool.source}, shuffled and repeated {frame.height / rows.height:.1f} times: "
        f"{total / 1e6:,.0f} MB"
    )
    return Corpus(frame, columns, path, source)


def repeat(rows: pl.DataFrame, times: int) -> pl.DataFrame:
    """Rows repeated in memory of their own.

    Concatenated string views would point into the same few megabytes again and again, which then stay in the
    processor's cache; Arrow's contiguous layout copies the bytes.
    """
    import pyarrow as pa

    columns = {}
    for name in rows.columns:
        text = rows[name].to_arrow().cast(pa.large_string())
        columns[name] = pl.from_arrow(pa.concat_arrays([text] * times)).alias(name)
    return pl.DataFrame(columns)
