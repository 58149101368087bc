"""Drawing subsets, and what may be drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from imine.errors import BadRowError, FormatError, StudyConfigError, StudyError
from imine.progress import SilentProgress
from imine.study.config import Study, check_config
from imine.study.design import design_frame, draw_subset
from imine.study.pools import load_data

POOLS = {"a": [f"a{i}" for i in range(50)], "b": [f"b{i}" for i in range(30)], "c": ["c0", "c1", "c2"]}
ALPHAS = {"a": 0.5, "b": 0.5, "c": 0.5}


@pytest.mark.parametrize("run", range(25))
def test_a_subset_has_its_size_no_row_twice_and_no_more_than_a_pool_has(run: int) -> None:
    subset = draw_subset(POOLS, ALPHAS, 40, seed=3, run=run)
    assert len(subset.ids) == len(set(subset.ids)) == 40
    assert all(count <= len(POOLS[pool]) for pool, count in subset.counts.items())
    assert subset.counts == {pool: subset.pools.count(pool) for pool in POOLS}
    assert all(id in POOLS[pool] for pool, id in zip(subset.pools, subset.ids, strict=True))
    assert sum(subset.weights.values()) == pytest.approx(1)


def test_a_run_depends_on_the_seed_and_its_number_alone() -> None:
    first = [draw_subset(POOLS, ALPHAS, 20, seed=3, run=run) for run in range(4)]
    again = [draw_subset(POOLS, ALPHAS, 20, seed=3, run=run) for run in (3, 1)]
    assert again == [first[3], first[1]]
    assert draw_subset(POOLS, ALPHAS, 20, seed=4, run=0).ids != first[0].ids
    assert len({subset.seed for subset in first}) == len({subset.sha256 for subset in first}) == 4


def test_all_rows_when_the_subset_is_as_large_as_the_pools() -> None:
    subset = draw_subset(POOLS, {"a": 0.01, "b": 0.01, "c": 0.01}, 83, seed=0, run=0)
    assert subset.counts == {"a": 50, "b": 30, "c": 3}
    with pytest.raises(StudyConfigError, match=r"design.examples: 84 examples a subset.* 83 candidates"):
        draw_subset(POOLS, ALPHAS, 84, seed=0, run=0)


def test_weights_are_dirichlet_and_counts_follow_them() -> None:
    large = {name: [f"{name}{i}" for i in range(500)] for name in "abc"}
    alphas = {"a": 4.0, "b": 2.0, "c": 2.0}
    subsets = [draw_subset(large, alphas, 100, seed=1, run=run) for run in range(400)]
    weights = np.array([[s.weights[name] for name in "abc"] for s in subsets])
    counts = np.array([[s.counts[name] for name in "abc"] for s in subsets])
    np.testing.assert_allclose(weights.mean(axis=0), [0.5, 0.25, 0.25], atol=0.03)
    # Variance of a Dirichlet weight: m (1 - m) / (alpha sum + 1).
    np.testing.assert_allclose(weights.var(axis=0), [0.25 / 9, 0.1875 / 9, 0.1875 / 9], rtol=0.25)
    np.testing.assert_allclose((counts / 100 - weights).mean(axis=0), 0, atol=0.01)


def test_every_row_of_a_pool_is_as_likely() -> None:
    drawn = [id for run in range(600) for id in draw_subset(POOLS, ALPHAS, 10, seed=9, run=run).ids]
    times = np.array([drawn.count(id) for id in POOLS["a"]])
    expected = times.mean()
    assert ((times - expected) ** 2 / expected).sum() < 90  # chi-squared, 49 degrees of freedom: p = 3e-4


def test_the_table_of_the_design() -> None:
    subsets = [draw_subset(POOLS, ALPHAS, 5, seed=0, run=run) for run in range(3)]
    frame = design_frame(subsets)
    assert frame.columns == ["run", "pool", "id", "order"]
    assert frame.filter(pl.col("run") == 2)["id"].to_list() == list(subsets[2].ids)
    assert frame["order"].to_list() == [0, 1, 2, 3, 4] * 3


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def study(folder: Path, pools: dict[str, list[tuple[str, str, str]]], **first: object) -> Study:
    for name, rows in pools.items():
        columns = {
            "instruction": [r[0] for r in rows],
            "input": [r[1] for r in rows],
            "output": [r[2] for r in rows],
        }
        ids = {"id": [f"{i}" for i in range(len(rows))]}
        pl.DataFrame(ids | columns).write_parquet(folder / f"{name}.parquet")
    raw = {
        "name": "s",
        "out": "out",
        "pools": [{"name": n, "path": f"{n}.parquet"} for n in pools if n != "evaluation"],
        "evaluation": [{"name": "e", "path": "evaluation.parquet", "rows": 2}],
        "design": {"subsets": 2, "examples": 2},
    }
    raw["pools"][0] |= first
    return Study(check_config(raw), folder / "study.toml")


EVALUATION = [("Name a fruit.", "", "Fig"), ("Add", "1 2", "3"), ("Sing.", "", "La"), ("Nothing", "", " ")]


def test_the_guard_leaves_out_prompts_of_evaluation_sets_and_empty_responses(tmp_path: Path) -> None:
    rows = [
        ("name  a\nFRUIT.", "", "Apple"),  # the first evaluation prompt but for case and white space
        ("add 1", "2", "3"),  # the second, split elsewhere
        ("Nothing", "", "x"),  # of an evaluation row that is itself left out
        ("Name a fruit", "", "Apple"),  # without the full stop: another prompt
        ("Hum.", "", "  \n"),
        ("Hum.", "", "Hm"),
    ]
    notes = Notes()
    data = load_data(study(tmp_path, {"a": rows, "evaluation": EVALUATION}), progress=notes)
    assert sorted(data.pools["a"]["output"]) == ["Apple", "Hm"]
    said = "\n".join(notes.lines)
    assert "pool a: 2 candidates of 6 rows; 1 with an empty response left out; 3 with a prompt of an" in said
    assert "2 of 4 rows; 1 with an empty response left out" in said
    assert f"{tmp_path / 'a.parquet'}: parquet, layout alpaca" in said


def test_the_cap_and_the_evaluation_part_are_seeded_and_fixed(tmp_path: Path) -> None:
    rows = [(f"Say {i}.", "", f"{i}") for i in range(40)]
    capped = load_data(study(tmp_path, {"a": rows, "evaluation": EVALUATION}, rows=10))
    larger = load_data(study(tmp_path, {"a": rows, "evaluation": EVALUATION}, rows=20))
    assert capped.pools["a"].height == 10
    assert larger.pools["a"]["id"][:10].to_list() == capped.pools["a"]["id"].to_list()
    assert capped.pools["a"]["id"].to_list() != [f"{i}" for i in range(10)]
    assert capped.evaluation["e"].equals(larger.evaluation["e"])
    assert capped.evaluation["e"].height == 2


def test_ids_that_stand_in_two_pools_are_told_apart(tmp_path: Path) -> None:
    rows = [(f"Say {i}.", "", f"{i}") for i in range(3)]
    notes = Notes()
    data = load_data(study(tmp_path, {"a": rows, "b": rows, "evaluation": EVALUATION}), progress=notes)
    assert sorted(data.candidates["id"]) == ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2"]
    assert "written as <pool>/<id>" in notes.lines[-1]


def test_a_pool_of_which_nothing_is_left(tmp_path: Path) -> None:
    broken = study(tmp_path, {"a": [("Sing.", "", "La")], "evaluation": EVALUATION})
    with pytest.raises(
        StudyError, match="pool a: no candidate is left of 1 rows; 1 with a prompt of an evaluation"
    ):
        load_data(broken)


def test_a_pool_that_is_not_there(tmp_path: Path) -> None:
    there = study(tmp_path, {"a": [("Hum.", "", "Hm")], "evaluation": EVALUATION})
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(StudyConfigError, match=r"pools\.a\.path: there is no file .*a\.parquet"):
        load_data(there)


def lines(path: Path, *rows: str) -> None:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def test_bad_rows_are_counted_and_written_aside_where_they_are_skipped(tmp_path: Path) -> None:
    skip = study(tmp_path, {"a": [], "evaluation": EVALUATION}, path="a.jsonl", on_bad_row="skip")
    lines(tmp_path / "a.jsonl", '{"instruction": "Hum.", "output": "Hm"}', '{"instruction": "Go.", "outp')
    notes = Notes()
    data = load_data(skip, out=tmp_path, progress=notes)
    assert data.pools["a"]["output"].to_list() == ["Hm"]
    assert any("pools.a: 1 bad rows were skipped and written to" in line for line in notes.lines)
    aside = pl.read_ndjson(tmp_path / "bad-a.jsonl")
    assert aside["line"].to_list() == [2]
    assert not (tmp_path / "bad-evaluation-e.jsonl").exists()
    fail = study(tmp_path, {"a": [], "evaluation": EVALUATION}, path="a.jsonl")
    with pytest.raises(
        BadRowError, match=r"pools\.a: .*a\.jsonl, line 2: .*the keys format, map and on_bad_row"
    ):
        load_data(fail)


def test_columns_and_turns_are_read_as_the_study_says(tmp_path: Path) -> None:
    turns = ("Hum.", "Hm", "Again.", "Hmm")
    roles = ("user", "assistant") * 2
    messages = [{"role": r, "content": c} for r, c in zip(roles, turns, strict=True)]
    said = study(tmp_path, {"a": [], "evaluation": EVALUATION}, path="a.jsonl", turns="joined")
    lines(tmp_path / "a.jsonl", json.dumps({"messages": messages}))
    assert "Hmm" in load_data(said).candidates["output"].item()
    assert (
        "Again."
        not in load_data(study(tmp_path, {"a": [], "evaluation": EVALUATION}, path="a.jsonl"))
        .candidates["instruction"]
        .item()
    )
    lines(tmp_path / "a.jsonl", '{"ask": "Hum.", "say": "Hm"}')
    columns = {"instruction": "ask", "output": "say"}
    mapped = study(tmp_path, {"a": [], "evaluation": EVALUATION}, path="a.jsonl", map=columns)
    assert load_data(mapped).candidates.select("instruction", "output").rows() == [("Hum.", "Hm")]
    with pytest.raises(FormatError, match=r"pools\.a: .*the keys format, map and on_bad_row"):
        load_data(study(tmp_path, {"a": [], "evaluation": EVALUATION}, path="a.jsonl"))
