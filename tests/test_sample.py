from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import imine
from imine.sample import load_sample, sample_path

KEYS = ["id", "instruction", "input", "output", "quality", "topic"]
Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [json.loads(line) for line in sample_path().read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def stated() -> dict[str, int]:
    """Counts of the README's tables by the name in the first cell, what follows a parenthesis cut off."""
    text = (sample_path().parent / "README.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|(]+?)(?: \([^|]*)? \| (\d+) \|", text, flags=re.MULTILINE)
    return {name: int(count) for name, count in cells}


def words(row: Row) -> int:
    return len(f"{row['instruction']} {row['input']} {row['output']}".split())


def is_placeholder(row: Row) -> bool:
    return row["input"].strip("<>").lower() == "noinput"


def has_html(row: Row) -> bool:
    return re.search(r"</|<br|&[a-z]+;", row["output"]) is not None


def is_copy_of_instruction(row: Row) -> bool:
    return row["output"].startswith(row["instruction"])


def is_refusal(row: Row) -> bool:
    return re.search(r"\bas an? (ai|large language)", row["output"].lower()) is not None


def test_file_is_inside_the_package_so_that_the_wheel_has_it() -> None:
    package = Path(imine.__file__).resolve().parent
    assert sample_path().resolve().parent == package / "sample"


def test_three_hundred_rows_with_running_ids(rows: list[Row]) -> None:
    assert [row["id"] for row in rows] == [f"sample-{n:03d}" for n in range(1, 301)]


def test_every_row_has_the_keys_and_strings_only(rows: list[Row]) -> None:
    assert all(list(row) == KEYS for row in rows)
    assert all(isinstance(value, str) for row in rows for value in row.values())
    assert all(row["instruction"] and re.fullmatch(r"[a-z]+", row["topic"]) for row in rows)


def test_texts_have_no_stray_white_space(rows: list[Row]) -> None:
    assert [row["id"] for row in rows if any(value != value.strip() for value in row.values())] == []


def test_rows_are_short(rows: list[Row]) -> None:
    counts = [words(row) for row in rows]
    assert max(counts) <= 160
    assert 60 <= sum(counts) / len(counts) <= 75
    assert sum(counts) <= 20_000


def test_quality_counts_are_those_of_the_readme(rows: list[Row], stated: dict[str, int]) -> None:
    counts = Counter(row["quality"] for row in rows)
    assert counts == {label: stated[label] for label in ("good", "fair", "poor", "broken")}


def test_stated_defects_add_up_to_the_broken_rows(stated: dict[str, int]) -> None:
    defects = {name: n for name, n in stated.items() if name not in ("good", "fair", "poor", "broken")}
    assert len(defects) == 12
    assert sum(defects.values()) == stated["broken"]


@pytest.mark.parametrize(
    ("defect", "shows"),
    [
        ("empty output", lambda row: row["output"] == ""),
        ("placeholder", is_placeholder),
        ("instruction copied into the output", is_copy_of_instruction),
        ("HTML debris", has_html),
        ("needless refusal", is_refusal),
        ("wrongly decoded characters", lambda row: "â€" in row["output"]),
    ],
)
def test_defect_is_as_frequent_as_stated_and_only_in_broken_rows(
    rows: list[Row], stated: dict[str, int], defect: str, shows: Callable[[Row], bool]
) -> None:
    found = [row for row in rows if shows(row)]
    assert len(found) == stated[defect]
    assert {row["quality"] for row in found} == {"broken"}


def test_exact_copies_are_pairs_and_the_later_one_is_broken(rows: list[Row], stated: dict[str, int]) -> None:
    first: dict[tuple[str, str, str], Row] = {}
    copies: list[tuple[Row, Row]] = []
    for row in rows:
        earlier = first.setdefault((row["instruction"], row["input"], row["output"]), row)
        if earlier is not row:
            copies.append((earlier, row))
    assert (
        len(copies) == len({earlier["id"] for earlier, _ in copies}) == stated["exact copy of an earlier row"]
    )
    assert all(late["quality"] == "broken" for _, late in copies)
    assert all(early["quality"] in ("good", "fair") for early, _ in copies)


def test_only_the_copies_share_an_instruction(rows: list[Row], stated: dict[str, int]) -> None:
    distinct = len({row["instruction"] for row in rows})
    assert len(rows) - distinct == stated["exact copy of an earlier row"]


def test_load_sample_is_a_records_frame(rows: list[Row]) -> None:
    frame = load_sample()
    assert frame.schema == pl.Schema(
        dict.fromkeys(["id", "source", "instruction", "input", "output", "quality", "topic"], pl.String)
    )
    assert frame["source"].unique().to_list() == ["sample"]
    assert frame.null_count().sum_horizontal().item() == 0
    assert frame.select(KEYS).to_dicts() == rows


def test_many_scripts_survive_the_reading() -> None:
    text = "".join(load_sample()["output"].to_list())
    assert all(
        sign in text for sign in ("通货膨胀", "ありがとう", "경복궁", "صديقي", "масса", "ü", "é", "🐺", "∎")
    )
