"""Studies of tiny runs with designs other than the plain one: what is recorded, how they resume and grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from imine.errors import StudyChangedError
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.progress import SilentProgress
from imine.regression import diagnose, fit_ols
from imine.study import load_study, run_study, study_status
from imine.study.ledger import read_ledger
from tests.test_study_run import TIMES, count_characters, make_folder

pytest.importorskip("deepspeed")


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> LoadedModel:
    return load_causal_lm(str(tiny_llama))


def change(file: Path, old: str, new: str) -> Path:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


def study(folder: Path, design: str) -> Path:
    return change(make_folder(folder), "subsets = 4\nexamples = 8", design)


def go(file: Path, lm: LoadedModel, scorer: Any = count_characters, **more: Any) -> pl.DataFrame:
    run_study(load_study(file), lm=lm, scorer=scorer, **more)
    return pl.read_parquet(file.parent / "out" / "runs.parquet")


def test_repeats_are_added_to_a_finished_study(tmp_path: Path, lm: LoadedModel) -> None:
    file = study(tmp_path, "subsets = 2\nexamples = 8")
    first = go(file, lm)
    assert not {"subset", "repeat"} & set(first.columns)
    change(file, "examples = 8", "examples = 8\nrepeats = { runs = 2, seeds = 1 }")
    runs = go(file, lm)
    assert runs["run_id"].to_list() == [0, 1, 1_000_000, 1_000_001]
    assert runs[:2].drop("subset", "repeat").equals(first)
    assert runs.select("subset", "repeat").rows() == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert runs["output_length"][0] == runs["output_length"][2]
    assert runs["loss"].n_unique() == runs["seed"].n_unique() == 4
    records = read_ledger(file.parent / "out" / "ledger.jsonl").runs
    assert records[0]["rows_sha256"] == records[1_000_000]["rows_sha256"]
    # More subsets take numbers of their own.
    change(file, "subsets = 2", "subsets = 5")
    grown = go(file, lm)
    assert grown["run_id"].to_list() == [0, 1, 2, 3, 4, 1_000_000, 1_000_001]
    assert grown.filter(pl.col("run_id").is_in(runs["run_id"].to_list())).drop(TIMES).equals(runs.drop(TIMES))
    assert study_status(load_study(file)).total == 7
    # Pure error: the diagnostics take the column as it is.
    X, y = grown.select("output_length").to_numpy(), np.log(grown["loss"].to_numpy())
    checks = diagnose(fit_ols(X, y, ["output_length"]), X, y, replicates=grown["subset"].to_list())
    assert "repeated runs" in checks.summary()
    assert "no subset was run more than once" not in checks.summary()
    change(file, "runs = 2, seeds = 1", "runs = 1, seeds = 1")
    with pytest.raises(StudyChangedError, match=r"design\.repeats\.runs: 2 when it was started, now 1"):
        go(file, lm)


class Counted:
    """Scores that differ a little from call to call, as those of a model on an accelerator do."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, frame: pl.DataFrame) -> Any:
        scores = count_characters(frame)
        self.rows.append(frame.height)
        shift = pl.lit(0.5 * len(self.rows) * pl.Series(range(frame.height)).reverse())
        scores.frame = scores.frame.with_columns(pl.col("output_length") + shift)
        return scores


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_an_optimal_design_scores_all_candidates_and_keeps_its_rows(tmp_path: Path, lm: LoadedModel) -> None:
    design = 'kind = "optimal"\nsubsets = 2\nexamples = 6\nbreadth = 2.0'
    file, scorer, notes = study(tmp_path, design), Counted(), Notes()
    first = go(file, lm, scorer, progress=notes)
    assert scorer.rows == [22]  # all candidates of both pools, not the drawn ones alone
    assert any("optimal design: fewer subsets than the 4" in line for line in notes.lines)
    drawn = pl.read_parquet(tmp_path / "out" / "design.parquet")
    change(file, "subsets = 2", "subsets = 5")
    grown = go(file, lm, scorer, progress=notes)
    assert (
        grown[:2]
        .drop(*TIMES, "output_length", "output_length__sd")
        .equals(first.drop(*TIMES, "output_length", "output_length__sd"))
    )
    assert pl.read_parquet(tmp_path / "out" / "design.parquet")[:12].equals(drawn)
    assert any("one run tells as much of the coefficients as" in line for line in notes.lines)
    change(file, 'names = ["output_length", "mtld"]', 'names = ["output_length"]')
    with pytest.raises(StudyChangedError, match=r"design\.indicators"):
        go(file, lm, scorer)


def test_a_univariate_design_says_what_it_is_about(tmp_path: Path, lm: LoadedModel) -> None:
    design = 'kind = "univariate"\nsubsets = 4\nexamples = 5\nbands = 2\nindicators = ["output_length"]'
    runs = go(study(tmp_path, design), lm)
    assert runs["design_indicator"].unique().to_list() == ["output_length"]
    assert runs["design_band"].to_list() == [0, 1, 0, 1]
    assert runs["design_draw"].to_list() == [0, 0, 1, 1]
    assert runs["output_length"][0] < runs["output_length"][1]
    balance = pl.read_parquet(tmp_path / "out" / "balance.parquet")
    assert balance.columns == ["run", "indicator", "banded", "mean", "overall", "difference", "before"]
    means = balance.filter(pl.col("indicator") == "output_length")["mean"].to_list()
    assert means == pytest.approx(runs["output_length"].to_list())


def test_subsets_of_equally_many_response_tokens(tmp_path: Path, lm: LoadedModel) -> None:
    runs = go(study(tmp_path, "subsets = 3\nresponse_tokens = 120"), lm)
    # Two epochs.
    assert all(abs(tokens - 240) <= 4 for tokens in runs["response_tokens"])
    assert runs["n_examples"].n_unique() > 1
