"""``imine duplicates``: the groups, the rows that stay, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from imine.__main__ import main
from imine._cli.duplicates import group_table
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.neighbors import near_duplicates
from imine.records import read

ROWS = [
    {"question": "Name a fruit.", "answer": "An apple.", "note": 1},
    {
        "question": "Explain at length how bread is made, step by step.",
        "answer": "Flour, water, salt, yeast.",
        "note": 2,
    },
    {"question": "Name a fruit.", "answer": "An apple.", "note": 3},
    {"question": "1 22 333", "answer": "a b c", "note": 4},
    {"question": "Name a fruit.", "answer": "An apple.", "note": 5},
]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["duplicates", *arguments])
    return ended.value.code


def test_copies_are_one_group_and_the_first_stays(
    pool: Path, tiny_encoder: Path, own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, unique = tmp_path / "groups.parquet", tmp_path / "unique.jsonl"
    more = ["--cosine", "1", "-o", str(out), "--unique", str(unique), "--encoder", str(tiny_encoder)]
    assert not run(str(pool), *more)
    ids = read(pool)["id"].to_list()
    groups = pl.read_parquet(out)
    assert groups["id"].to_list() == ids
    assert groups["group"].to_list() == [ids[0], ids[1], ids[0], ids[3], ids[0]]
    assert groups["size"].to_list() == [3, 1, 3, 1, 3]
    assert [json.loads(line)["note"] for line in unique.read_text().splitlines()] == [1, 2, 4]
    said = capsys.readouterr()
    assert "5 rows, 3 without near-duplicates at cosine 1" in said.out
    assert "1 groups of two rows or more, the largest of 3" in said.out


def test_the_threshold_is_that_of_the_library(
    pool: Path, tiny_encoder: Path, own_cache: Path, tmp_path: Path
) -> None:
    records, out = read(pool), tmp_path / "groups.parquet"
    for cosine in (0.3, 0.9, 0.999):
        assert not run(str(pool), "--cosine", str(cosine), "-o", str(out), "--encoder", str(tiny_encoder))
        groups = near_duplicates(records, cosine, ScoreSettings(encoder=str(tiny_encoder)))
        assert pl.read_parquet(out).equals(group_table(records, groups))


def test_the_table_of_no_rows() -> None:
    made = group_table(pl.DataFrame({"id": []}, schema={"id": pl.String}), np.zeros(0, dtype=np.int64))
    assert made.schema == {"id": pl.String, "group": pl.String, "size": pl.Int64}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cosine", "0"], "--cosine must be above 0"),
        (["--cosine", "1.1"], "--cosine must be above 0"),
        (["-o", "groups.csv"], "are a parquet file"),
        (["--encoder", "no-such"], "no model 'no-such'"),
        (["--unique", "{pool}"], "would overwrite the input"),
        (["--unique", "groups.parquet"], "is another output as well"),
    ],
)
def test_what_is_refused_before_any_work(
    arguments: list[str], said: str, pool: Path, tiny_encoder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = [argument.format(pool=pool) for argument in arguments]
    encoder = [] if "--encoder" in given else ["--encoder", str(tiny_encoder)]
    assert run(str(pool), *given, *encoder) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "groups.parquet").exists()
