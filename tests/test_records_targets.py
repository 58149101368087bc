"""Outputs that are refused before the work, and the names of outputs beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imine.errors import FormatError
from imine.records.storage import check_target, resolve_paths, side_path


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    return path


def test_a_target_that_can_be_written(pool):
    check_target(pool.with_name("mined.csv.gz"), [pool])
    pool.with_name("old.parquet").write_text("old")
    check_target(pool.with_name("old.parquet"), [pool, pool.with_name("gone.jsonl")])
    assert pool.with_name("old.parquet").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder.jsonl", r"folder\.jsonl: is a folder; name a file in it"),
        ("none/mined.jsonl", r"the folder .*none does not exist; make it"),
        ("pool.jsonl/mined.jsonl", r"the folder .*pool\.jsonl is no folder"),
        ("mined.xml", "the suffix says no format to write"),
        ("mined", "the suffix says no format to write"),
        ("mined.parquet.gz", r"leave \.gz away"),
        ("pool.jsonl", r"pool\.jsonl: would overwrite the input .*pool\.jsonl; name another output"),
        ("folder.jsonl/../pool.jsonl", "would overwrite the input"),
        ("link.jsonl", "would overwrite the input"),
        ("hard.jsonl", "would overwrite the input"),
    ],
)
def test_targets_that_are_refused(pool, name, message):
    pool.with_name("folder.jsonl").mkdir()
    pool.with_name("link.jsonl").symlink_to(pool)
    pool.with_name("hard.jsonl").hardlink_to(pool)
    before = sorted(os.listdir(pool.parent))
    with pytest.raises(FormatError, match=message):
        check_target(pool.parent / name, resolve_paths(str(pool.parent / "p*.jsonl")))
    assert sorted(os.listdir(pool.parent)) == before


def test_a_relative_target_in_the_folder_of_work(pool, monkeypatch):
    monkeypatch.chdir(pool.parent)
    check_target(Path("mined.jsonl"), [pool])
    with pytest.raises(FormatError, match=r"pool\.jsonl: would overwrite the input"):
        check_target(Path("pool.jsonl"), [pool])


def test_a_folder_that_cannot_be_written_to(pool, monkeypatch):
    # Root may write everywhere, so the answer of the system is given here.
    monkeypatch.setattr(os, "access", lambda folder, mode: Path(folder) != pool.parent)
    with pytest.raises(FormatError, match=r"the folder .* cannot be written to"):
        check_target(pool.with_name("mined.jsonl"), [pool])


@pytest.mark.parametrize(
    ("name", "suffix", "expected"),
    [
        ("mined.jsonl", None, "mined.rejected.jsonl"),
        ("mined.v1.jsonl.gz", None, "mined.v1.rejected.jsonl.gz"),
        ("mined.v1.JSONL.GZ", None, "mined.v1.rejected.JSONL.GZ"),
        ("mined.v1.jsonl.gz", ".parquet", "mined.v1.rejected.parquet"),
        ("scores.parquet", ".jsonl", "scores.rejected.jsonl"),
        ("mined.v1", None, "mined.v1.rejected"),
        ("mined.v1", ".parquet", "mined.v1.rejected.parquet"),
        ("mined.v1.gz", None, "mined.v1.rejected.gz"),
        ("mined", None, "mined.rejected"),
    ],
)
def test_names_beside_an_output(name, suffix, expected):
    assert side_path(Path("out") / name, "rejected", suffix) == Path("out") / expected
