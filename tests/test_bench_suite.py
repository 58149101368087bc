"""imine's own benchmarks: their corpora, and that each of them is found."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from imine.bench.children import child_environment, run_child
from imine.bench.runner import ENVIRONMENT, pytest_command
from imine.errors import BenchError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pools() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_pools", ROOT / "benchmarks" / "pools.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_pools"] = module
    spec.loader.exec_module(module)
    return module


def frame(*outputs: str | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"instruction": ["do"] * len(outputs), "input": [""] * len(outputs), "output": outputs}
    )


def test_a_corpus_holds_the_bytes_asked_for_and_its_file_the_same(pools: ModuleType, tmp_path: Path) -> None:
    texts = ["one", "zwölf\nBoxkämpfer", "", 'quoted "text", and a comma', "x" * 40]
    pool = pools.Pool(frame(*texts), "five rows")
    corpus = pools.make_corpus(pool, ("output",), 1_000, tmp_path / "text")
    longest = max(len(text.encode()) for text in texts)
    assert 1_000 <= corpus.bytes < 1_000 + longest
    assert set(corpus.frame["output"]) == set(texts)
    written = "".join(f"{text}\n" for text in corpus.frame["output"])
    assert corpus.path.read_text(encoding="utf-8") == written
    assert corpus.path.stat().st_size == corpus.bytes + corpus.rows
    again = pools.make_corpus(pool, ("output",), 1_000, tmp_path / "again")
    assert again.frame.equals(corpus.frame)


def test_a_corpus_of_examples_writes_all_texts(pools: ModuleType, tmp_path: Path) -> None:
    corpus = pools.make_corpus(pools.Pool(frame("a b", "c"), "two"), pools.TEXTS, 20, tmp_path / "text")
    assert set(corpus.path.read_text().split()) == {"do", "a", "b", "c"}
    assert corpus.bytes == sum(len("".join(row)) for row in corpus.frame.iter_rows())


def test_repetitions_have_memory_of_their_own(pools: ModuleType) -> None:
    text = "longer than the twelve bytes that a view holds itself"
    repeated = pools.repeat(pl.DataFrame({"output": [text] * 100}), 3)
    assert repeated.height == 300
    assert repeated["output"].n_chunks() == 1
    (array,) = repeated.to_arrow(compat_level=pl.CompatLevel.newest())["output"].chunks
    assert sum(buffer.size for buffer in array.buffers()[2:]) >= 300 * len(text)


def test_pools_of_a_folder_without_its_evaluation_sets(pools: ModuleType, tmp_path: Path) -> None:
    frame("a", None).write_parquet(tmp_path / "one.parquet")
    frame("b").write_parquet(tmp_path / "two.parquet")
    frame("secret").write_parquet(tmp_path / "eval_x.parquet")
    pl.DataFrame({"other": [1]}).write_parquet(tmp_path / "three.parquet")
    pool = pools.load_pool(tmp_path)
    assert sorted(pool.rows["output"]) == ["", "a", "b"]
    assert pool.source == "3 rows of 2 pools (one, two)"


def test_no_pool_is_an_error_and_no_folder_the_sample(pools: ModuleType, tmp_path: Path) -> None:
    pl.DataFrame({"other": [1]}).write_parquet(tmp_path / "three.parquet")
    with pytest.raises(ValueError, match="no parquet file"):
        pools.load_pool(tmp_path)
    sample = pools.load_pool(None)
    assert sample.rows.height == 300
    assert "bundled sample" in sample.source


def test_every_benchmark_is_collected() -> None:
    pytest.importorskip("pytest_benchmark")
    done = subprocess.run(
        [*pytest_command(ROOT / "benchmarks"), "--collect-only", "-q"],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(ENVIRONMENT),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "core_panel[1-thread]",
        "full_group[1-thread]",
        "bench_memory",
        "mtld_ready_words",
        "bench_help",
    ):
        assert name in done.stdout


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(BenchError, match="ended with code 3: last words"):
        run_child([sys.executable, "-c", "import sys; print('last words', file=sys.stderr); sys.exit(3)"])


def test_time_of_a_child_counts_its_work_and_not_its_sleep() -> None:
    busy = run_child([sys.executable, "-c", "sum(range(3_000_000))"])
    idle = run_child([sys.executable, "-c", "import time; time.sleep(0.3)"])
    assert busy.cpu > 0.02
    assert idle.wall > 0.3 > idle.cpu
