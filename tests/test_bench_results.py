"""The files of a run, the machine that they name, and the table."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from imine.bench import BenchRun, Spread, Target, load_run, run_text
from imine.bench.locate import default_data, default_results, source_tree, suite_folder
from imine.bench.machine import commit, this_machine, versions
from imine.errors import BenchError
from tests.bench_runs import against, figure, measured, narrow, run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def full() -> BenchRun:
    return run(
        measured("lexical/core", narrow(0.5), against(narrow(1.5)), target=Target(">=", 1.0)),
        measured("lexical/alone", narrow(0.002), bytes=None),
        figure(narrow(0.2)),
    )


def test_a_run_is_read_back_as_it_was(full: BenchRun, tmp_path: Path) -> None:
    json_path, csv_path = full.write(tmp_path / "results")
    assert load_run(json_path) == full
    assert json_path.name == "20300102-030405-0123456789ab.json"
    assert csv_path.suffix == ".csv"


def test_names_tell_changed_and_quick_runs(full: BenchRun, tmp_path: Path) -> None:
    changed = run(commit="0123456789ab+", quick=True).write(tmp_path)[0]
    assert changed.name == "20300102-030405-0123456789ab-changed-quick.json"
    assert run(commit=None).write(tmp_path)[0].name == "20300102-030405-0.1.0.json"


def test_csv_has_one_row_a_quantity_with_machine_and_versions(full: BenchRun) -> None:
    rows = list(csv.DictReader(full.to_csv().splitlines()))
    core = {row["quantity"]: row for row in rows if row["name"] == "lexical/core"}
    assert set(core) == {"wall time", "CPU time", "wall time of the baseline", "ratio", "CPU ratio"}
    assert core["ratio"]["baseline"] == "wc -w"
    assert (core["ratio"]["target"], core["ratio"]["verdict"]) == (">= 1", "met")
    assert core["wall time"]["target"] == ""
    assert float(core["ratio"]["median"]) == 1.5
    assert all("Some CPU" in row["machine"] and "numba=0.68.1" in row["versions"] for row in rows)
    assert sum(row["name"] == "lexical/alone" for row in rows) == 2
    assert [row["unit"] for row in rows if row["quantity"] == "import"] == ["s"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("not json", "is no JSON file"),
        ("[1]", "its schema is None"),
        ('{"schema": "imine-bench/0"}', "its schema is 'imine-bench/0', not 'imine-bench/1'"),
        ('{"schema": "imine-bench/1"}', "is damaged: date"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BenchError, match=message):
        load_run(path)


def test_a_damaged_number_is_named(full: BenchRun, tmp_path: Path) -> None:
    content = json.loads(full.to_json())
    content["measured"][0]["seconds"]["median"] = "fast"
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BenchError, match=r"is damaged: measured\.0\.seconds\.median"):
        load_run(path)


def test_the_table_has_rates_ratio_target_and_context(full: BenchRun) -> None:
    text = run_text(full)
    core, alone = (" ".join(line.split()) for line in text.splitlines()[2:4])
    # 1,000 rows and 5 MB in half a second.
    assert core == "lexical/core 500 ms 2,000 10.0 1.50 1.47 to 1.53 1.50 wc -w >= 1 met"
    assert alone == "lexical/alone 2.00 ms 500,000 – – – – –"
    assert "skipped: peers/x: x is not installed" in text
    assert "corpus: made up" in text
    assert "machine: Some CPU, 2 of 4 cores, 16 GiB, avx2, Linux x86_64" in text
    assert "load before" not in text
    assert "load before the run: 3.0" in run_text(run(load=3.0))


def test_ratios_not_in_turn_are_marked() -> None:
    from dataclasses import replace

    base = replace(against(Spread(2.0, 1.0, 3.0, 6)), in_turn=False, cpu_ratio=None)
    assert " ~2.00 " in run_text(run(measured("a/x", narrow(1.0), base)))


def test_machine_is_described_without_its_name() -> None:
    import platform

    machine = this_machine()
    assert machine.cores >= machine.usable_cores >= 1
    assert machine.cpu
    assert platform.node() not in machine.describe().split()


def test_versions_leave_out_what_is_not_there() -> None:
    found = versions(("no-such-distribution-at-all", "pytest"))
    assert found["pytest"] == pytest.__version__
    assert "no-such-distribution-at-all" not in found
    assert {"python", "imine", "polars", "numba"} <= set(found)


def test_commit_tells_changes(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    clean = commit(tmp_path)
    assert clean is not None
    assert len(clean) == 12
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == f"{clean}+"


def test_a_checkout_runs_its_own_benchmarks() -> None:
    assert source_tree() == ROOT
    assert suite_folder() == ROOT / "benchmarks"
    assert default_results() == ROOT / "benchmarks" / "results"


def test_an_installed_package_runs_its_copy(tmp_path: Path) -> None:
    package = tmp_path / "site" / "imine"
    suite = package / "bench" / "suite"
    with pytest.raises(BenchError, match="no benchmarks"):
        suite_folder(package)
    suite.mkdir(parents=True)
    (suite / "conftest.py").touch()
    assert suite_folder(package) == suite
    assert default_results(package) == Path("imine-bench")
    assert default_data(package) is None
