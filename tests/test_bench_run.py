"""``imine bench`` over two tiny benchmark files: what it runs, prints, stores, and how it ends."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from imine.__main__ import main
from imine.bench import BenchSettings, load_run, run_benchmarks
from imine.bench.runner import check_installed
from imine.errors import BenchError, MissingExtraError
from tests.bench_runs import against, figure, measured, narrow, run

pytest.importorskip("pytest_benchmark")

FAST = """
import pytest

def bench_pair(paired, note, quick, data_folder):
    note(f"quick: {quick}, data: {data_folder.name if data_folder else None}")
    paired(lambda: sum(range(1000)), lambda: sum(range(4000)), name="four times", rows=1000, bytes=8000,
           target=">= 0.001")

@pytest.mark.peer("json")
def bench_installed_peer(paired):
    paired(lambda: None, lambda: None, name="json")

@pytest.mark.peer("no_such_package")
def bench_absent_peer(paired):
    paired(lambda: None, lambda: None, name="nobody")
"""
OTHER = """
def bench_plain(benchmark):
    benchmark.extra_info["baseline"] = "bench_base"
    benchmark.pedantic(lambda: sum(range(1000)), rounds=6)

def bench_base(benchmark):
    benchmark.pedantic(lambda: sum(range(1000)), rounds=6)

def bench_figure(benchmark, figure):
    benchmark.pedantic(lambda: None, rounds=1)
    figure("size", [3.0, 1.0, 2.0], "MB", "<= 1")
"""
BROKEN = """
def bench_broken(benchmark):
    raise ZeroDivisionError("on purpose")
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "bench_fast.py").write_text(FAST)
    (folder / "bench_other.py").write_text(OTHER)
    return folder


def end_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_a_run_has_pairs_figures_and_what_was_left_out(tiny: Path) -> None:
    found = run_benchmarks(BenchSettings(folder=tiny, quick=True, peers=True))
    pair, peer, *others = found.measured
    assert [one.name for one in others] == ["other/plain", "other/base"]
    assert (pair.name, pair.rows, pair.bytes) == ("fast/pair", 1000, 8000)
    assert pair.seconds.rounds == 15
    assert pair.cpu_seconds is not None
    assert pair.baseline is not None
    assert pair.baseline.name == "four times"
    assert pair.baseline.in_turn
    assert pair.baseline.ratio.rounds == 15
    assert pair.target is not None
    assert (peer.name, peer.peer) == ("fast/installed_peer", "json")
    assert others[0].baseline is not None
    assert not others[0].baseline.in_turn
    (size,) = found.figures
    assert (size.full_name, size.value.median) == ("other/figure: size", 2.0)
    assert [(one.name, one.outcome, one.reason) for one in found.outcomes] == [
        ("fast/absent_peer", "skipped", "no_such_package is not installed")
    ]
    assert any(note.startswith("quick: True") for note in found.notes)
    assert found.versions["pytest-benchmark"]


def test_the_command_prints_and_stores(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pool.parquet").touch()
    # What lies above the benchmarks is none of their business.
    (tmp_path / "conftest.py").write_text("raise RuntimeError")
    results = tmp_path / "results"
    arguments = "--benchmarks", tiny, "--quick", "-k", "pair or figure", "--data", tmp_path, "-o", results
    assert end_of(*arguments) == 0
    (stored,) = results.glob("*.json")
    assert len(list(results.glob("*.csv"))) == 1
    kept = load_run(stored)
    assert kept.selected == "pair or figure"
    assert f"quick: True, data: {tmp_path.name}" in kept.notes
    printed = capsys.readouterr().out
    assert "fast/pair" in printed
    assert "missed" in printed
    assert f"stored: {stored}" in printed


def test_a_benchmark_that_fails_is_named_and_the_others_are_kept(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny / "bench_broken.py").write_text(BROKEN)
    arguments = "--benchmarks", tiny, "-k", "broken or figure or installed", "-o", tmp_path / "results"
    assert end_of(*arguments) == 2
    printed = capsys.readouterr().out
    assert "failed: broken/broken: ZeroDivisionError: on purpose" in printed
    assert "skipped: fast/installed_peer: compares with json; --peers runs it" in printed
    (stored,) = (tmp_path / "results").glob("*.json")
    assert [one.name for one in load_run(stored).figures] == ["other/figure"]


def test_slower_ends_with_one_and_the_same_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = run(measured("a/x", narrow(1.0), against(narrow(1.0)))).write(tmp_path / "old")[0]
    new = run(measured("a/x", narrow(1.0), against(narrow(0.7)))).write(tmp_path / "new")[0]
    assert end_of("--show", new, "--compare", old) == 1
    assert "1 of 1 became slower beyond the noise." in capsys.readouterr().out
    assert end_of("--show", new, "--compare", old, "--tolerance", "0.5") == 0
    assert end_of("--show", old, "--compare", old) == 0
    assert end_of("--show", old, "--compare", new) == 0
    assert not list(tmp_path.glob("*.json"))


def test_show_prints_a_stored_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = run(figure(narrow(0.2))).write(tmp_path)[0]
    assert end_of("--show", stored) == 0
    out = capsys.readouterr().out
    assert "start/import: import" in out
    assert "stored:" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare", "nowhere.json"], "nowhere.json: no such file"),
        (["--show", "nowhere.json"], "nowhere.json: no such file"),
        (["-k", "nothing_like_it"], "matches -k 'nothing_like_it'"),
        (["-k", "("], "pytest ended with code 4"),
        (["--data", "."], "holds no parquet files"),
        (["--tolerance", "-1"], "--tolerance"),
    ],
)
def test_what_a_user_can_mend_ends_with_two(
    tiny: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert end_of("--benchmarks", tiny, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_benchmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"files named bench_\*\.py"):
        run_benchmarks(BenchSettings(folder=tmp_path))


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pytest_benchmark" else found(name)
    )
    with pytest.raises(MissingExtraError, match=r'pip install "imine\[bench\]"'):
        check_installed()
