"""Resident memory of the lexical engine beyond its input and its result."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pools import TEXTS, Pool, repeat, text_bytes

from imine.bench.children import run_child
from imine.bench.plugin import AddFigure

SCORE = """
import json, sys
import polars as pl
import pyarrow as pa
from imine.indicators.lexical import score_lexical
from imine.indicators.score import expand_indicators
LEXICAL = expand_indicators("lexical")

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))

frame = pl.DataFrame(pl.from_arrow(pa.ipc.open_file(pa.memory_map(sys.argv[1])).read_all()))
score_lexical(frame.head(64), LEXICAL, threads=1)
frame.select(pl.all().hash().sum())
before = status("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
scores = score_lexical(frame, LEXICAL, threads=1)
peak = status("VmHWM")
# estimated_size() leaves out the 16 bytes that each row of a String column has.
result = scores.to_arrow(compat_level=pl.CompatLevel.newest()).get_total_buffer_size()
print(json.dumps([peak - before, result, frame.height]))
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone tells the highest resident memory of a while"
)
def bench_memory(benchmark: Any, figure: AddFigure, pool: Pool, quick: bool, tmp_path: Path) -> None:
    """Highest resident memory while scoring, less that before, less the result; for a corpus and four times it.

    The corpus is a file mapped into memory and read once before, so that loading leaves no freed memory that
    scoring could fill unseen; the kernels are loaded and have run on 64 rows. The engine holds a quarter of the rows
    at once or 65,536: memory can be independent of them from 262,144 rows on, more than a quick run has.
    """
    times = -(-(20_000 if quick else 262_144) // pool.rows.height)
    found: list[list[float]] = []

    def work() -> None:
        once, fourfold = (beyond(pool.rows, times * factor, tmp_path) for factor in (1, 4))
        found.append([once[0], fourfold[0], (fourfold[0] - once[0]) / (fourfold[1] - once[1])])

    benchmark.pedantic(work, rounds=3)
    once, fourfold, slope = zip(*found, strict=True)
    rows, more = times * pool.rows.height, 4 * times * pool.rows.height
    benchmark.extra_info |= {"rows": rows, "bytes": times * text_bytes(pool.rows, TEXTS)}
    figure(f"working memory, {rows:,} rows", [value / 1e6 for value in once], "MB")
    figure(f"working memory, {more:,} rows", [value / 1e6 for value in fourfold], "MB")
    figure("growth with rows", slope, "bytes a row", None if quick else "<= 1")


def beyond(rows: pl.DataFrame, times: int, folder: Path) -> tuple[float, int]:
    """Bytes beyond input and result, and the number of rows."""
    path = folder / f"{times}.arrow"
    if not path.is_file():
        table = repeat(rows, times).to_arrow(compat_level=pl.CompatLevel.oldest())
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    peak, result, height = json.loads(run_child([sys.executable, "-c", SCORE, str(path)]).output)
    return peak - result, height
