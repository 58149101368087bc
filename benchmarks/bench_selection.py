"""Selecting from ten million scored rows with quotas, and the stability of a choice from a hundred thousand.

    python benchmarks/bench_selection.py

Scores are synthetic. The selection runs in a process of its own, whose highest resident memory is that of everything:
interpreter, libraries, scores and result. The functions ``bench_...`` are for pytest-benchmark.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import polars as pl

from imine.bench.children import run_child
from imine.bench.plugin import AddFigure
from imine.rules import Estimate, FittedRange, Rule, Term
from imine.selection import Quota, select_scored, selection_stability

ROWS, STABILITY_ROWS, REFITS = 10_000_000, 100_000, 1000
SOURCES = tuple(f"pool-{i:02d}" for i in range(20))
NAMES = ("output_length", "reward", "mtld", "knn_6")

SELECT = """
import json, resource, sys, time
sys.path.insert(0, {folder!r})
import bench_selection as bench
rows, parts = int(sys.argv[1]), []
scores = bench.scores(rows)
bench.select_scored(bench.scores(1000), bench.rule(), top=200)
before = resource.getrusage(resource.RUSAGE_SELF)
start, cpu = time.perf_counter(), time.process_time()
selection = bench.select_scored(scores, bench.rule(), top=rows // 5, quota=bench.quota(rows))
kept = selection.kept_count
wall, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([wall, cpu, before.ru_maxrss * 1024, peak, kept]))
"""


def scores(rows: int) -> pl.DataFrame:
    """Synthetic scores, one part of a hundred missing, ids of 16 digits, twenty sources."""
    draw = np.random.default_rng(rows)
    frame = pl.DataFrame(
        {"id": pl.int_range(rows, eager=True).hash(7).cast(pl.String).str.zfill(20).str.slice(4)}
    )
    columns = [pl.Series(name, draw.normal(1.0 + i, 0.5, rows)) for i, name in enumerate(NAMES)]
    gaps = pl.Series(draw.random(rows) < 0.01)
    columns[2] = pl.select(pl.when(~gaps).then(columns[2]).alias(NAMES[2])).to_series()
    source = pl.Series("source", SOURCES)[draw.integers(0, len(SOURCES), rows)]
    return frame.with_columns(*columns, source)


def quota(rows: int) -> Quota:
    """A least, which all the sources together fill, and a most."""
    return Quota("source", {"*": (rows // 100, 0.08)})


def rule() -> Rule:
    """Four terms, with a covariance."""
    span = FittedRange(min=0.5, max=4.5, mean=2.0, sd=0.2)
    slopes = (-0.05, -0.15, 0.02, -0.9)
    terms = tuple(Term(name=n, coefficient=b, fitted=span) for n, b in zip(NAMES, slopes, strict=True))
    covariance = tuple(tuple(0.0004 if i == j else 0.0 for j in range(5)) for i in range(5))
    return Rule(
        name="synthetic",
        intercept=Estimate(coefficient=1.0),
        terms=terms,
        covariance=covariance,
        df_resid=100,
        sigma=0.1,
    )


def select_apart(rows: int) -> tuple[float, float, float, float]:
    """Seconds and processor seconds of the selection, bytes before it and the most, in a process of its own."""
    from pathlib import Path

    code = SELECT.format(folder=str(Path(__file__).parent))
    wall, cpu, before, peak, kept = json.loads(run_child([sys.executable, "-c", code, str(rows)]).output)
    assert kept == rows // 5, kept
    return wall, cpu, before, peak


def stability_seconds(rows: int, refits: int) -> tuple[float, float]:
    """Seconds and processor seconds of the stability of a choice of a tenth."""
    selection = select_scored(scores(rows), rule(), top=rows // 10)
    start, cpu = time.perf_counter(), time.process_time()
    stability = selection_stability(selection, refits=refits)
    assert len(stability.jaccard) == refits
    return time.perf_counter() - start, time.process_time() - cpu


def bench_selection_of_ten_million(benchmark: Any, figure: AddFigure, quick: bool) -> None:
    """Ten million rows, twenty sources with a least and a most each; a tenth of that when quick."""
    rows, found = ROWS // 10 if quick else ROWS, []
    benchmark.pedantic(lambda: found.append(select_apart(rows)), rounds=3)
    benchmark.extra_info |= {"rows": rows}
    walls, cpus, _, peaks = zip(*found, strict=True)
    figure(f"selection of {rows:,} rows with quotas", list(walls), "s", "< 5")
    figure(f"selection of {rows:,} rows with quotas, processor", list(cpus), "s")
    figure(f"highest memory, {rows:,} rows and all else", [p / 2**30 for p in peaks], "GiB", "< 2")


def bench_stability(benchmark: Any, figure: AddFigure, quick: bool) -> None:
    """A thousand refits over a hundred thousand rows."""
    refits, found = REFITS // 10 if quick else REFITS, []
    benchmark.pedantic(lambda: found.append(stability_seconds(STABILITY_ROWS, refits)), rounds=3)
    benchmark.extra_info |= {"rows": STABILITY_ROWS, "refits": refits}
    walls, cpus = zip(*found, strict=True)
    figure(f"stability, {refits:,} refits of {STABILITY_ROWS:,} rows", list(walls), "s", "< 30")
    figure(f"stability, {refits:,} refits, processor", list(cpus), "s")


def main() -> None:
    """Print what was measured."""
    wall, cpu, before, peak = select_apart(ROWS)
    print(f"selection of {ROWS:,} rows: {wall:.2f} s, {cpu:.2f} processor seconds")
    print(f"memory: {before / 2**30:.2f} GiB with the scores, at most {peak / 2**30:.2f} GiB")
    wall, cpu = stability_seconds(STABILITY_ROWS, REFITS)
    print(
        f"stability, {REFITS:,} refits of {STABILITY_ROWS:,} rows: {wall:.2f} s, {cpu:.2f} processor seconds"
    )


if __name__ == "__main__":
    main()
