"""Budgets, quotas, thresholds and what they say, against plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import imine
from imine.errors import SelectionError
from imine.rules import Estimate, FittedRange, Rule, Term
from imine.selection import Code, Diversity, Quota, parse_quota, select_scored, threshold_table
from tests.naive_selection import choose_rows

SPAN = FittedRange(min=0.2, max=0.8, mean=0.5, sd=0.1)
COVARIANCE = ((0.0001, 0.0), (0.0, 0.0016))


def make_rule(covariance: Any = COVARIANCE) -> Rule:
    """Predicted log loss = the score itself."""
    terms = (Term(name="x", coefficient=1.0, fitted=SPAN),)
    beside = {"covariance": covariance, "df_resid": 50, "sigma": 0.1} if covariance else {}
    return Rule(name="plain", intercept=Estimate(coefficient=0.0), terms=terms, **beside)


def frame(x: list[float | None], **columns: Any) -> pl.DataFrame:
    ids = [f"r{i:03d}" for i in range(len(x))]
    return pl.DataFrame({"id": ids, "x": pl.Series(x, dtype=pl.Float64), **columns})


def test_upper_end_keeps_only_what_is_surely_below() -> None:
    scores = frame([0.1, 0.4, 0.47, 0.5, 0.53, 0.9])
    plain = select_scored(scores, make_rule(), threshold=0.5)
    surely = select_scored(scores, make_rule(), threshold=0.5, by="upper")
    half = surely.table["extrapolated_high"] - surely.table["predicted_log_loss"]
    below = (surely.table["predicted_log_loss"] + half <= 0.5).to_list()
    assert surely.table["kept"].to_list() == below
    assert plain.kept_ids == ["r000", "r001", "r002", "r003"]
    assert surely.kept_ids == ["r000", "r001"]
    assert surely.table["reason"][2] == (
        f"upper end of the interval {surely.table['extrapolated_high'][2]:.6f} above the threshold 0.5 (rank 3 of 6)"
    )
    dropped = select_scored(scores, make_rule(), threshold=0.5, cannot_tell="drop")
    assert dropped.kept_ids == surely.kept_ids
    with pytest.raises(SelectionError, match="rule 'plain' has no covariance"):
        select_scored(scores, make_rule(None), threshold=0.5, by="upper")


def test_intervals_of_rows_are_those_of_the_rule() -> None:
    scores = frame([0.1, 0.5, 2.0, None])
    table = select_scored(scores, make_rule(), top=2, level=0.8).table
    expected = make_rule().predict(scores, level=0.8)
    assert table["extrapolated_low"].to_list()[:3] == pytest.approx(
        expected["mean_low"].to_list()[:3], rel=1e-14
    )
    assert table["extrapolated_high"][3] is None


def test_band_is_reported_and_kept_or_dropped() -> None:
    scores = frame([0.3, 0.45, 0.49, 0.51, 0.56, 0.9])
    told = select_scored(scores, make_rule(), threshold=0.5, band=0.05)
    assert told.in_band == 3
    assert told.kept_ids == ["r000", "r001", "r002"]
    assert any("3 rows it cannot be told" in note and "the prediction decided" in note for note in told.notes)
    kept = select_scored(scores, make_rule(), threshold=0.5, band=0.05, cannot_tell="keep")
    assert kept.kept_ids == ["r000", "r001", "r002", "r003"]
    dropped = select_scored(scores, make_rule(), threshold=0.5, band=0.05, cannot_tell="drop")
    assert dropped.kept_ids == ["r000"]
    assert dropped.table["reason"][1] == (
        "cannot tell: predicted log loss 0.45 within 0.05 of the threshold 0.5 (rank 2 of 6)"
    )
    assert dropped.rejected_by == {Code.ABOVE: 2, Code.CANNOT_TELL: 3}


def test_token_budget_ends_at_the_first_row_that_does_not_fit() -> None:
    scores = frame([0.1, 0.2, 0.3, 0.4, None], output_length=[50, None, 40, 20, 5])
    chosen = select_scored(scores, make_rule(), tokens=100)
    assert chosen.kept_ids == ["r000", "r002"]
    assert select_scored(scores, make_rule(), tokens=89).kept_ids == ["r000"]
    assert select_scored(scores, make_rule(), tokens=9).kept_ids == []
    reasons = chosen.table["reason"].to_list()
    assert reasons[1] == "no output_length, by which the tokens are counted: the scores give no reason"
    assert reasons[3] == "beyond the budget of 100 tokens: predicted log loss 0.4, 20 tokens (rank 4 of 4)"
    with pytest.raises(SelectionError, match="the token budget needs the column words"):
        select_scored(scores, make_rule(), tokens=10, token_column="words")


def test_budget_with_quota_of_tokens() -> None:
    scores = frame([i / 10 for i in range(10)], output_length=[10] * 10, source=["a"] * 6 + ["b"] * 4)
    quota = Quota("source", {"a": (None, 0.5), "b": (0.25, None)})
    chosen = select_scored(scores, make_rule(), tokens=80, quota=quota)
    assert sorted(chosen.kept_ids) == [f"r00{i}" for i in (0, 1, 2, 3, 6, 7, 8, 9)]
    assert chosen.table.filter(pl.col("id") == "r004")["reason"][0] == (
        "the quota of source a is full: predicted log loss 0.4 (rank 5 of 10)"
    )
    short = select_scored(scores, make_rule(), tokens=40, quota=Quota("source", {"b": (0.25, None)}))
    assert sorted(short.kept_ids) == ["r000", "r001", "r002", "r006"]


limits = st.one_of(st.none(), st.integers(0, 12), st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.8]))


@settings(max_examples=60, deadline=None)
@given(
    x=st.lists(
        st.one_of(st.just(math.nan), st.sampled_from([0.1, 0.2, 0.3]), st.floats(0, 1)),
        min_size=1,
        max_size=40,
    ),
    data=st.data(),
)
def test_quotas_as_by_plain_loops(x: list[float], data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.sampled_from("abc"), min_size=len(x), max_size=len(x)))
    top = data.draw(st.integers(1, 40))
    given_limits = {value: data.draw(st.tuples(limits, limits)) for value in sorted({*groups[:1], "*"})}
    scores = frame([None if math.isnan(v) else v for v in x], source=groups)
    assume(
        all(
            None in pair or type(pair[0]) is not type(pair[1]) or pair[0] <= pair[1]
            for pair in given_limits.values()
        )
    )
    quota = Quota("source", given_limits)
    expected = choose_rows(scores["id"].to_list(), x, top, groups=groups, limits=given_limits)
    if expected is None:
        with pytest.raises(SelectionError, match="meets the quota of source: "):
            select_scored(scores, make_rule(), top=top, quota=quota)
        return
    chosen = select_scored(scores, make_rule(), top=top, quota=quota)
    assert set(chosen.kept_ids) == expected
    table = chosen.table
    assert (table["reason"].is_null() == table["kept"]).all()
    for loss, cut in (
        table["reason"].str.extract_groups(r"log loss (\S+) above the cut (\S+)").struct.unnest().rows()
    ):
        assert loss is None or float(loss) > float(cut)
    assert sum(chosen.rejected_by.values()) + chosen.kept_count == len(x)


def test_shares_hold_of_what_is_kept() -> None:
    scores = frame([i / 100 for i in range(100)], source=["a"] * 70 + ["b"] * 25 + [None] * 5)
    quota = Quota("source", {"a": (None, 0.5), "(none)": (0.05, None)})
    chosen = select_scored(scores, make_rule(), top=80, quota=quota)
    kept = scores.filter(pl.col("id").is_in(chosen.kept_ids))["source"]
    assert kept.len() == 60
    assert (kept == "a").sum() == 30
    assert kept.null_count() == 5
    assert (
        "The quota lets no more than 60 rows be kept: of 80 rows, the values can have 70 by their most."
        in (chosen.notes)
    )
    below = select_scored(scores, make_rule(), threshold=0.745, quota=quota)
    assert below.kept_count == 10
    assert any(
        "quota of source (none) is not met: at least 0.05, kept 0 rows" in note for note in below.notes
    )


def test_nulls_and_the_text_that_stands_for_them_are_not_mixed_up() -> None:
    scores = frame([0.1, 0.2, 0.3], source=["a", None, "(none)"])
    with pytest.raises(
        SelectionError, match=r"the column source has both empty values and the text \(none\)"
    ):
        select_scored(scores, make_rule(), top=2, quota=Quota("source", {"a": (None, 1)}))


def test_many_groups_take_the_other_way() -> None:
    rng = np.random.default_rng(3)
    x, groups = rng.random(600), [f"g{i % 100:02d}" for i in range(600)]
    scores = frame(x.tolist(), source=groups)
    chosen = select_scored(scores, make_rule(), top=250, quota=Quota("source", {"*": (2, 3)}))
    expected = choose_rows(scores["id"].to_list(), x, 250, groups=groups, limits={"*": (2, 3)})
    assert set(chosen.kept_ids) == expected


@pytest.mark.parametrize(
    ("items", "match"),
    [
        (["alpaca=3"], "a quota is COLUMN:VALUE=MIN..MAX"),
        (["source:a=..x"], "'x' in the quota"),
        (["source:a=..1", "task:b=..1"], "quotas must be of one column; got source, task"),
        (["source:a=..1", "source:a=2.."], "quota of source a is given twice"),
        (["source:a=..150%"], "must lie in 0 to 1"),
        (["source:a=5..2"], "5 at least and 2 at most"),
        (["source:a=60%..", "source:b=50%.."], "add up to more than 1"),
    ],
)
def test_quotas_that_make_no_sense(items: list[str], match: str) -> None:
    with pytest.raises(SelectionError, match=match):
        parse_quota(items)


def test_quotas_that_cannot_be_met() -> None:
    scores = frame([0.1, 0.2, 0.3], source=["a", "a", "a"])
    with pytest.raises(SelectionError, match="quota of source: no row has b; there are: a"):
        select_scored(scores, make_rule(), top=1, quota=Quota("source", {"b": (1, None)}))
    with pytest.raises(
        SelectionError, match=r"meets the quota of source: a at most 0\.5: of 3 rows, the values can"
    ):
        select_scored(scores, make_rule(), top=3, quota=Quota("source", {"a": (None, 0.5)}))
    with pytest.raises(SelectionError, match="of 1 rows, the values must have 2 by their least"):
        select_scored(scores, make_rule(), top=1, quota=Quota("source", {"a": (2, None)}))
    with pytest.raises(SelectionError, match="the quota needs the column task"):
        select_scored(scores, make_rule(), top=1, quota=Quota("task", {"a": (2, None)}))


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({"tokens": 0}, "tokens must be at least 1"),
        ({"top": 1, "by": "lower"}, "by must be prediction or upper"),
        ({"top": 1, "cannot_tell": "keep"}, "need a threshold"),
        ({"threshold": 1.0, "band": -1.0}, "band must be positive"),
        ({"threshold": 1.0, "cannot_tell": "drop", "by": "upper"}, "leave cannot_tell out"),
        ({"threshold": 1.0, "band": 0.1, "by": "upper"}, "leave band out"),
        ({"top": 1, "duplicates": 1.5}, "duplicates must be a cosine"),
        ({"threshold": 1.0, "diversity": Diversity()}, "diversity needs top, fraction or tokens"),
        ({"top": 1, "duplicates": 0.9}, "need the embeddings of the rows"),
    ],
)
def test_requests_that_make_no_sense(request_: Any, match: str) -> None:
    with pytest.raises(SelectionError, match=match):
        select_scored(frame([0.1, 0.2]), make_rule(), **request_)


def test_threshold_table_against_selections() -> None:
    rng = np.random.default_rng(1)
    scores = frame([*rng.random(300).tolist(), None, None])
    table = threshold_table(scores, make_rule())
    assert table["kept"].to_list() == [3, 6, 15, 30, 60, 90, 150, 225, 300]
    for row in table.iter_rows(named=True):
        chosen = select_scored(scores, make_rule(), threshold=row["threshold"])
        assert chosen.kept_mean is not None
        assert (row["kept"], row["share"]) == (chosen.kept_count, chosen.kept_count / 300)
        assert row["mean_prediction"] == pytest.approx(chosen.kept_mean.value, rel=1e-13)
        assert row["low"] == pytest.approx(chosen.kept_mean.any_low, rel=1e-12)
        assert row["outside_share"] == pytest.approx(chosen.kept_outside_share)
    own = select_scored(scores, make_rule(), top=3, by="upper").threshold_table([0.5, -1.0])
    assert own["kept"].to_list() == [0, sum(v is not None and v <= 0.5 for v in scores["x"])]
    assert own["mean_prediction"][0] is None


def test_threshold_table_where_nothing_is_predicted() -> None:
    table = select_scored(frame([None, None]), make_rule(), top=1).threshold_table()
    assert (table.height, table.columns[:2]) == (0, ["threshold", "kept"])
    assert threshold_table(frame([None]), make_rule(), [0.5])["kept"].to_list() == [0]


def test_the_level_holds_for_every_interval() -> None:
    scores = frame(np.random.default_rng(2).random(50).tolist())
    chosen = select_scored(scores, make_rule(), top=50, level=0.5)
    assert chosen.kept_mean is not None
    assert chosen.kept_mean.level == 0.5
    last = chosen.threshold_table().row(-1, named=True)
    assert (last["low"], last["high"]) == pytest.approx((chosen.kept_mean.any_low, chosen.kept_mean.any_high))
    wide = select_scored(scores, make_rule(), top=50).threshold_table().row(-1, named=True)
    assert wide["high"] - wide["low"] > 2 * (last["high"] - last["low"])


@pytest.mark.parametrize("values", [[["a"], ["b"]], [{"a": 1}, {"a": 2}], [b"a", b"b"]])
def test_a_quota_needs_single_values(values: list[Any]) -> None:
    scores = frame([0.1, 0.2], tags=values)
    with pytest.raises(SelectionError, match="needs one value a row in the column tags, which holds"):
        select_scored(scores, make_rule(), top=1, quota=Quota("tags", {"*": (None, 1)}))


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"top": 1, "by": "upper"}, "has no covariance"),
        ({"threshold": 1.0, "cannot_tell": "drop"}, "has no covariance"),
        ({"top": 1, "quota": Quota("task", {"*": (None, 1)})}, "the quota needs the column task"),
        ({"top": 1, "quota": Quota("kind", {"b": (None, 1)})}, "no row has b; there are: a"),
        ({"tokens": 5, "token_column": "words"}, "the token budget needs the column words"),
    ],
)
def test_what_cannot_be_done_is_told_before_scoring(
    how: Any, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(*args: Any, **options: Any) -> None:
        raise AssertionError("scored")

    monkeypatch.setattr("imine.indicators.score.score", score)
    rule = Rule(
        name="r", intercept=Estimate(coefficient=0.0), terms=(Term(name="output_length", coefficient=1.0),)
    )
    data = pl.DataFrame({"id": ["a"], "instruction": ["Do."], "output": ["Done."], "kind": ["a"]})
    with pytest.raises(SelectionError, match=match):
        imine.select(data, rule, **how)


def test_share_outside_the_fitted_ranges() -> None:
    chosen = select_scored(frame([0.1, 0.5, 0.7, 0.9, None]), make_rule(), top=2)
    assert (chosen.outside_share, chosen.kept_outside_share) == (0.5, 0.5)
    assert chosen.out_of_range == {"x": 2}


def test_quota_by_a_column_of_the_records() -> None:
    scores = frame([0.1, 0.2, 0.3, 0.4])
    records = pl.DataFrame({"id": scores["id"], "output": ["t"] * 4, "source": ["a", "a", "b", "b"]})
    quota = Quota("source", {"*": (None, 1)})
    chosen = imine.select(records, make_rule(), scores=scores, top=4, quota=quota)
    assert chosen.kept_ids == ["r000", "r002"]
    assert chosen.rejected is not None
    assert chosen.rejected["imine_reason"][0] == (
        "the quota of source a is full: predicted log loss 0.2 (rank 2 of 4)"
    )
