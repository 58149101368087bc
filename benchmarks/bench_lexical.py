"""The lexical engine against plain word counting: ``wc -w`` on a file of the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import polars as pl
import pytest
from pools import Corpus

from imine.bench.machine import this_machine
from imine.bench.plugin import Paired
from imine.columns.lexical import MEASURES
from imine.indicators.lexical import LEXICAL, score_lexical

CORE = (
    "words", "types", "ttr", "root_ttr", "corrected_ttr", "herdan_c", "maas", "mtld", "hdd", "mattr",
)  # fmt: skip
# Targets are of the whole panel: without these measures there is none.
ABSENT = [measure for measure in CORE if measure not in MEASURES]
THREADS = [
    pytest.param(1, id="1-thread"),
    pytest.param(
        2,
        id="2-threads",
        marks=pytest.mark.skipif(this_machine().usable_cores < 2, reason="only one core to use"),
    ),
]
TARGETS = {1: ">= 1.0", 2: ">= 1.8"}


def column(measure: str) -> str:
    """The response's column of a measure."""
    return measure if measure in LEXICAL else f"output_{measure}"


@pytest.fixture(scope="session")
def wc(note: Callable[[str], None]) -> str:
    """The program, with its version and locale noted."""
    program = shutil.which("wc")
    if program is None:
        pytest.skip("this machine has no program wc")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else program
    note(
        f"wc -w: {version}, in the locale of the environment ({locale_of_environment()}); the file is in memory"
    )
    return program


def locale_of_environment() -> str:
    for variable in ("LC_ALL", "LC_CTYPE", "LANG"):
        if os.environ.get(variable):
            return f"{variable}={os.environ[variable]}"
    return "none set: C"


def count_words(wc: str, corpus: Corpus, env: dict[str, str] | None = None) -> Callable[[], object]:
    return lambda: subprocess.run(
        [wc, "-w", str(corpus.path)], stdout=subprocess.DEVNULL, check=True, env=env
    )


@pytest.mark.parametrize("threads", THREADS)
def bench_core_panel(
    paired: Paired, responses: Corpus, wc: str, threads: int, note: Callable[[str], None]
) -> None:
    """Words, types, the family of type-token ratios, MTLD, HD-D and MATTR of the responses, in one pass."""
    names = [column(measure) for measure in CORE if measure in MEASURES]
    note(f"core_panel: {', '.join(names)}" + (f"; not in this imine: {', '.join(ABSENT)}" if ABSENT else ""))
    paired(
        lambda: score_lexical(responses.frame, names, threads=threads),
        count_words(wc, responses),
        name="wc -w",
        rows=responses.rows,
        bytes=responses.bytes,
        target=None if ABSENT else TARGETS[threads],
    )


@pytest.mark.parametrize("threads", THREADS)
def bench_full_group(
    paired: Paired, examples: Corpus, wc: str, threads: int, note: Callable[[str], None]
) -> None:
    """Every column of the group ``lexical``, of prompt and response."""
    note(f"full_group: all {len(LEXICAL)} columns of the group lexical")
    paired(
        lambda: score_lexical(examples.frame, LEXICAL, threads=threads),
        count_words(wc, examples),
        name="wc -w",
        rows=examples.rows,
        bytes=examples.bytes,
        target=">= 0.5" if threads == 1 and not ABSENT else None,
    )


@pytest.mark.parametrize("threads", THREADS[:1])
@pytest.mark.parametrize("measure", [m for m in ("words", "mtld") if m in MEASURES])
def bench_single(paired: Paired, responses: Corpus, wc: str, measure: str, threads: int) -> None:
    """One measure alone: what splitting costs, and what MTLD adds."""
    paired(
        lambda: score_lexical(responses.frame, [column(measure)], threads=threads),
        count_words(wc, responses),
        name="wc -w",
        rows=responses.rows,
        bytes=responses.bytes,
    )


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def bench_wc(paired: Paired, responses: Corpus, wc: str, locale: str) -> None:
    """``wc -w`` in a named locale against itself in that of the environment: what the baseline owes to it."""
    paired(
        count_words(wc, responses, {**os.environ, "LC_ALL": locale}),
        count_words(wc, responses),
        name="wc -w",
        rows=responses.rows,
        bytes=responses.bytes,
    )


def bench_polars_split(paired: Paired, responses: Corpus) -> None:
    """Words and MTLD in one thread against polars' own splitting at spaces: how far a frame alone gets."""
    split = pl.col("output").str.split(" ").list.len()
    paired(
        lambda: score_lexical(responses.frame, [column("words"), column("mtld")], threads=1),
        lambda: responses.frame.select(split),
        name="polars split",
        rows=responses.rows,
        bytes=responses.bytes,
    )
