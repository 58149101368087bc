"""The specs of the columns: complete, found by name, and what the docs say."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import imine
from imine.columns import COLUMNS, DEFAULT_INDICATORS, find_column, require_column
from imine.columns.catalogue import page
from imine.columns.lexical import MEASURES, SIDES, SLOW
from imine.errors import UnknownIndicatorError
from imine.indicators.lexical import lexical_fingerprint, score_lexical
from imine.indicators.lexical.formulas import FORMULAS
from imine.indicators.score import expand_indicators
from imine.indicators.stages import STAGES
from imine.sample import load_sample

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_of_indicators_is_made_of_the_specs() -> None:
    assert (ROOT / "docs" / "indicators.md").read_text() == page(), "run tools/generate_indicator_docs.py"


@pytest.mark.parametrize("name", list(COLUMNS))
def test_every_spec_is_complete_and_has_a_stage(name: str) -> None:
    spec = COLUMNS[name]
    assert spec.name == name
    assert spec.group in STAGES
    assert spec.definition
    for cell in (spec.doc, spec.unit, spec.direction, spec.null_when):
        assert cell
        assert "|" not in cell
    assert "the text" not in spec.doc
    if spec.low is not None and spec.high is not None:
        assert spec.low < spec.high


def test_every_measure_has_a_formula() -> None:
    assert list(MEASURES) == [name for name in FORMULAS if name in MEASURES]
    assert set(MEASURES) == set(FORMULAS)


def test_values_lie_in_the_range_of_the_spec() -> None:
    sample = load_sample()
    names = [f"{side}_{m}" for side in SIDES for m in MEASURES if find_column(f"{side}_{m}")]
    scores = score_lexical(sample, names)
    for name in names:
        spec, values = require_column(name), scores[name].drop_nulls()
        assert scores[name].dtype == getattr(pl, spec.dtype)
        assert ((scores[name].is_null()) == scores[f"{name}__why"].is_not_null()).all(), name
        assert values.len() > 0, name
        assert values.cast(pl.Float64).is_finite().all(), name
        assert spec.low is None or values.min() >= spec.low, name
        assert spec.high is None or values.max() <= spec.high, name


def test_a_plain_name_is_that_of_the_response() -> None:
    sample = load_sample()[:40]
    scores = imine.score(sample, ["mtld", "output_mtld", "input_mtld", "both_mtld"])
    assert scores.frame["mtld"].equals(scores.frame["output_mtld"].alias("mtld"))
    assert scores.fingerprints["mtld"] == scores.fingerprints["output_mtld"]
    assert scores.fingerprints["input_mtld"]["indicator"] == "input_mtld"
    whole = sample.select(
        pl.concat_str(
            pl.when(pl.col("input") == "")
            .then("instruction")
            .otherwise(pl.concat_str("instruction", "input", separator="\n")),
            "output",
            separator="\n",
        ).alias("output"),
        pl.lit("").alias("instruction"),
    )
    both = imine.score(whole, ["mtld"]).frame["mtld"]
    assert scores.frame["both_mtld"].equals(both.alias("both_mtld"))


def test_groups_and_sides() -> None:
    assert expand_indicators(None) == list(DEFAULT_INDICATORS)
    assert expand_indicators("lexical") == [
        n for n, spec in COLUMNS.items() if spec.group == "lexical" and n not in SLOW
    ]
    assert set(expand_indicators("input_lexical")) == {
        f"input_{m}" for m in MEASURES if m not in ("copied_share", *SLOW)
    }
    assert "output_copied_share" in expand_indicators("output_lexical")
    assert find_column("input_copied_share") is None
    with pytest.raises(UnknownIndicatorError, match="no indicator 'input_copied_share'"):
        imine.score(load_sample(), ["input_copied_share"])


def test_fingerprints_hold_what_matters_and_no_more() -> None:
    assert "window" in lexical_fingerprint("mattr")
    assert "window" not in lexical_fingerprint("hdd")
    assert lexical_fingerprint("output_words")["indicator"] == "output_words"
    assert lexical_fingerprint("words")["indicator"] == "output_words"
