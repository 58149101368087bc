import json
import math
import sys
import types
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.errors import (
    FingerprintMismatchError,
    FingerprintMismatchWarning,
    IndicatorUnavailableError,
    ModelNotFoundError,
    RuleError,
    SelectionError,
)
from imine.indicators.score import Scores
from imine.rules import Estimate, FittedRange, HeldOut, Rule, Term
from imine.selection import select_scored


@dataclass(frozen=True)
class FakeScores:
    frame: pl.DataFrame
    fingerprints: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.fixture
def rule() -> Rule:
    return Rule(
        name="made-up",
        intercept=Estimate(coefficient=0.5),
        terms=(
            Term(
                name="mtld",
                coefficient=-0.01,
                fitted=FittedRange(min=40, max=60, mean=50, sd=5, example_sd=20, spread_ratio=4.0),
            ),
            Term(name="knn_6", coefficient=1.0, fitted=FittedRange(min=0.4, max=0.8, mean=0.6, sd=0.1)),
        ),
        covariance=((0.04, 0.0, 0.0), (0.0, 1e-6, 0.0), (0.0, 0.0, 1e-4)),
        df_resid=20,
        sigma=0.03,
        fingerprints={"mtld": {"threshold": 0.72}},
    )


@pytest.fixture
def scores() -> pl.DataFrame:
    # Predicted: d 0.5, b 0.6, a 0.6, e 1.3; c has none.
    return pl.DataFrame(
        {
            "id": ["b", "a", "c", "d", "e"],
            "mtld": [50.0, 60.0, None, 50.0, 10.0],
            "mtld__why": [None, None, "fewer than 10 words", None, None],
            "knn_6": [0.6, 0.7, 0.5, 0.5, 0.9],
            "knn_6__why": [None, None, None, None, None],
        }
    )


def test_lowest_first_and_ties_by_id(rule, scores):
    selection = select_scored(scores, rule, top=2)
    assert selection.table["id"].to_list() == ["d", "a", "b", "e", "c"]
    assert selection.kept_ids == ["d", "a"]
    assert selection.rejected_ids == ["b", "e", "c"]
    assert selection.table["rank"].to_list() == [1, 2, 3, 4, None]
    assert selection.cut == pytest.approx(0.6)
    assert selection.table["reason"].to_list() == [
        None,
        None,
        "predicted log loss 0.6 equals the cut, later by id (rank 3 of 4)",
        "predicted log loss 1.3 above the cut 0.6 (rank 4 of 4)",
        "no mtld: fewer than 10 words",
    ]


def test_table_columns_and_contributions(rule, scores):
    table = select_scored(scores, rule, top=1).table
    assert table.columns == [
        "id", "kept", "rank", "predicted_log_loss", "extrapolated_low", "extrapolated_high",
        "contrib_mtld", "contrib_knn_6", "out_of_range", "reason",
    ]  # fmt: skip
    row = table.row(0, named=True)
    assert row["contrib_mtld"] + row["contrib_knn_6"] + 0.5 == pytest.approx(row["predicted_log_loss"])
    assert table["out_of_range"].to_list() == [None, None, None, "mtld,knn_6", None]


def test_threshold_is_inclusive_and_may_keep_nothing(rule, scores):
    exact = select_scored(scores, rule, top=4).table["predicted_log_loss"][0]
    assert select_scored(scores, rule, threshold=exact).kept_ids == ["d"]
    nothing = select_scored(scores, rule, threshold=0.1)
    assert nothing.kept_ids == []
    assert nothing.kept_mean is None
    assert "No row is kept." in nothing.notes
    assert nothing.table["reason"][0] == "predicted log loss 0.5 above the threshold 0.1 (rank 1 of 4)"


@pytest.mark.parametrize(("fraction", "kept"), [(0.01, 1), (0.5, 2), (0.74, 3), (1.0, 4)])
def test_fraction_is_of_the_rows_with_a_prediction(rule, scores, fraction, kept):
    assert len(select_scored(scores, rule, fraction=fraction).kept_ids) == kept


def test_top_beyond_the_rows_keeps_all_with_a_note(rule, scores):
    selection = select_scored(scores, rule, top=9)
    assert len(selection.kept_ids) == 4
    assert "9 rows were asked for, but only 4 have a prediction: all those are kept." in selection.notes
    assert "1 of 5 rows have no prediction, for a missing indicator." in selection.notes


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({}, "exactly one of top, fraction, threshold, tokens; got none"),
        ({"top": 1, "threshold": 0.5}, "got top, threshold"),
        ({"top": 0}, "top must be at least 1; got 0"),
        ({"fraction": 0.0}, r"fraction must lie in \(0, 1\]; got 0"),
        ({"fraction": 1.5}, "got 1.5"),
        ({"fraction": math.nan}, "got nan"),
        ({"threshold": math.inf}, "threshold must be a finite log loss"),
    ],
)
def test_requests_that_make_no_sense(rule, scores, request_, match):
    with pytest.raises(SelectionError, match=match):
        select_scored(scores, rule, **request_)


def test_means_intervals_and_extrapolation(rule, scores):
    selection = select_scored(scores, rule, top=3)
    assert selection.kept_mean.value == pytest.approx((0.5 + 0.6 + 0.6) / 3)
    assert selection.all_mean.value == pytest.approx((0.5 + 0.6 + 0.6 + 1.3) / 4)
    mtld, knn = (50 + 60 + 50) / 3, (0.6 + 0.7 + 0.5) / 3
    error = math.sqrt(0.04 + 1e-6 * mtld**2 + 1e-4 * knn**2)
    assert selection.kept_mean.high - selection.kept_mean.value == pytest.approx(2.085963447 * error)
    assert selection.out_of_range == {"mtld": 1, "knn_6": 1}
    assert selection.spread_ratio == {"mtld": 4.0}
    far = select_scored(scores.with_columns(mtld=pl.col("mtld") + 30), rule, top=3)
    assert any(
        "mean mtld is 83.33, outside the range that the rule was fitted on (40 to 60)" in n for n in far.notes
    )


def test_rule_that_predicts_nothing_is_called_so(rule, scores):
    useless = HeldOut(method="leave-one-out", n_runs=23, press_r2=-0.12, press_rmse=0.1)
    selection = select_scored(scores, rule.model_copy(update={"held_out": useless}), top=2)
    assert any("predicts nothing out of sample (PRESS R2 = -0.12)" in note for note in selection.notes)


def test_values_that_are_not_numbers_are_rejected(rule, scores):
    spoilt = scores.with_columns(knn_6=pl.Series([math.nan, 0.7, None, 0.5, math.inf]))
    table = select_scored(spoilt, rule, top=5).table
    reasons = dict(table.select("id", "reason").rows())
    assert reasons["b"] == "no knn_6: its value is not a finite number"
    assert reasons["c"] == "no mtld: fewer than 10 words; no knn_6: the scores give no reason"
    assert table["kept"].sum() == 2


def test_scores_that_do_not_fit(rule, scores):
    with pytest.raises(SelectionError, match="no column id"):
        select_scored(scores.drop("id"), rule, top=1)
    with pytest.raises(SelectionError, match="1 ids stand for more than one row of the scores: b"):
        select_scored(pl.concat([scores, scores.head(1)]), rule, top=1)
    with pytest.raises(RuleError, match="missing: knn_6"):
        select_scored(scores.drop("knn_6"), rule, top=1)


@pytest.mark.parametrize(("n", "text"), [(900, "rank 900 of 900"), (1_204, "rank 1,204 of 1,204")])
def test_ranks_read_like_numbers(rule, n, text):
    frame = pl.DataFrame(
        {"id": [f"{i:05d}" for i in range(n)], "mtld": 50.0, "knn_6": np.linspace(0.4, 0.8, n)}
    )
    assert text in select_scored(frame, rule, top=1).table["reason"][-1]


def test_thousands():
    from imine.selection.reasons import thousands

    numbers = [0, 7, 999, 1_000, 1_001, 15_012, 999_999, 1_000_000, 10_023_045]
    text = pl.DataFrame({"n": numbers}).select(thousands(pl.col("n"))).to_series().to_list()
    assert text == [f"{n:,}" for n in numbers]


def test_same_choice_for_any_order_of_rows(rule):
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"id": [f"{i:03d}" for i in range(200)], "mtld": rng.integers(40, 60, 200), "knn_6": 0.5}
    )
    first = select_scored(frame, rule, top=50).table
    shuffled = select_scored(frame.sample(fraction=1.0, shuffle=True, seed=1), rule, top=50).table
    assert first.equals(shuffled)


def test_written_table_carries_rule_and_notes(rule, scores, tmp_path):
    selection = select_scored(scores, rule, top=9)
    selection.write_table(tmp_path / "out" / "selection.parquet")
    path = tmp_path / "out" / "selection.parquet"
    assert pl.read_parquet(path).equals(selection.table)
    facts = json.loads(pl.read_parquet_metadata(path)["imine"])
    assert facts["rule"] == {"name": "made-up", "sha256": rule.sha256}
    assert facts["notes"] == list(selection.notes)
    assert facts["request"] == "top 9"


@pytest.fixture
def data() -> pl.DataFrame:
    ids = ["a", "b", "c", "d", "e"]
    return pl.DataFrame(
        {"id": ids, "output": [f"text {i}" for i in ids], "kept": [1, 2, 3, 4, 5], "rank": list("vwxyz")}
    )


GOOD = {"mtld": {"threshold": 0.72}, "knn_6": {"i": 6}}


def test_records_come_back_in_rank_order_with_their_columns(rule, scores, data):
    selection = imine.select(data, rule, top=2, scores=FakeScores(scores, GOOD))
    assert selection.kept.columns == data.columns
    assert selection.kept["id"].to_list() == ["d", "a"]
    assert selection.kept["kept"].to_list() == [4, 1]
    assert selection.rejected.columns == [*data.columns, "imine_reason"]
    assert selection.rejected["id"].to_list() == ["b", "e", "c"]
    assert selection.rejected["imine_reason"][2] == "no mtld: fewer than 10 words"
    assert selection.fingerprints == GOOD
    assert any("holds no fingerprint of knn_6" in note for note in selection.notes)


def test_records_and_scores_need_not_match(rule, scores, data):
    extra = data.vstack(pl.DataFrame({"id": ["z"], "output": ["new"], "kept": [9], "rank": ["q"]}))
    selection = imine.select(extra.filter(pl.col("id") != "e"), rule, top=9, scores=FakeScores(scores, GOOD))
    reasons = dict(selection.table.select("id", "reason").rows())
    row = "the scores have no row for this id"
    assert reasons["z"] == f"no mtld: {row}; no knn_6: {row}"
    assert "1 rows of the scores are not among the records." in selection.notes
    assert selection.kept.height + selection.rejected.height == 5


def test_mismatch_is_an_error_or_a_stored_warning(rule, scores, data):
    other = FakeScores(scores, {"mtld": {"threshold": 0.8}})
    with pytest.raises(FingerprintMismatchError, match=r"mtld: threshold is 0\.8, the rule expects 0\.72"):
        imine.select(data, rule, top=2, scores=other)
    with pytest.warns(FingerprintMismatchWarning, match="threshold is 0"):
        selection = imine.select(data, rule, top=2, scores=other, allow_mismatch=True)
    assert "threshold is 0.8, the rule expects 0.72" in selection.notes[0]


def test_missing_models_of_a_published_rule_fail_before_any_work(data, own_cache):
    with pytest.raises(ModelNotFoundError, match="nothing was done") as caught:
        imine.select(data, "instructmining-v2", top=1)
    message = str(caught.value)
    for part in (
        "reward: the model oasst-rm-pythia-1.4b (OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5",
        "understandability, naturalness, coherence: the model unieval-dialog (MingZhong/unieval-dialog",
        "imine models convert unieval-dialog",
    ):
        assert part in message


def test_unknown_indicators_fail_before_any_work(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "imine.indicators.score", None)
    terms = (Term(name="charm", coefficient=1.0), Term(name="reward", coefficient=1.0))
    rule = Rule(name="charming", intercept=Estimate(coefficient=0.0), terms=terms)
    with pytest.raises(
        IndicatorUnavailableError, match=r"cannot compute: charm\. Nothing was done.*--scores"
    ):
        imine.select(data, rule, top=1)


def test_side_car_may_hold_what_has_no_model_here(data, own_cache):
    columns = {"reward": 1.0, "understandability": 0.5, "naturalness": 0.5, "coherence": 0.1}
    frame = data.select("id").with_columns(**{name: pl.lit(value) for name, value in columns.items()})
    assert imine.select(data, "instructmining-v2", top=1, scores=FakeScores(frame)).kept_ids == ["a"]
    with pytest.raises(SelectionError, match="the scores have no column coherence"):
        imine.select(data, "instructmining-v2", top=1, scores=FakeScores(frame.drop("coherence")))


def test_scores_without_a_computable_column(rule, scores, data):
    with pytest.raises(SelectionError, match="the scores have no column knn_6"):
        imine.select(data, rule, top=1, scores=FakeScores(scores.drop("knn_6"), GOOD))


def test_a_level_without_intervals_is_noted(rule, scores, data):
    plain = rule.model_copy(update={"covariance": None})
    note = f"Rule {rule.name!r} has no covariance, so there are no intervals of 80%."
    for given, level, noted in ((plain, 0.8, True), (plain, None, False), (rule, 0.8, False)):
        selection = imine.select(data, given, top=2, level=level, scores=FakeScores(scores, GOOD))
        assert (note in selection.notes) == noted


@pytest.mark.parametrize("threshold", [0.72, 0.8])
def test_a_measure_of_the_response_has_two_names(rule, scores, data, threshold):
    expected = imine.select(data, rule, top=2, scores=FakeScores(scores, GOOD))
    frame = scores.rename({"mtld": "output_mtld", "mtld__why": "output_mtld__why"})
    given = Scores(frame, {"output_mtld": {"threshold": threshold}, "knn_6": {"i": 6}})
    if threshold != 0.72:
        with pytest.raises(
            FingerprintMismatchError, match=r"mtld: threshold is 0\.8, the rule expects 0\.72"
        ):
            imine.select(data, rule, top=2, scores=given)
        return
    selection = imine.select(data, rule, top=2, scores=given)
    assert selection.table.equals(expected.table)
    assert selection.fingerprints == GOOD


def test_faulty_requests_and_records_fail_before_scoring(rule, data):
    with pytest.raises(SelectionError, match="exactly one of"):
        imine.select(data, rule)
    with pytest.raises(SelectionError, match="the records have no column id"):
        imine.select(data.drop("id"), rule, top=1)
    with pytest.raises(SelectionError, match="1 ids stand for more than one record: a"):
        imine.select(data.vstack(data.head(1)), rule, top=1)


def fake_scoring(monkeypatch, score, planned_fingerprints) -> None:
    module = types.SimpleNamespace(
        score=score,
        planned_fingerprints=planned_fingerprints,
        settings_for_rule=lambda rule: f"settings of {rule.name}",
    )
    monkeypatch.setitem(sys.modules, "imine.indicators.score", module)


def counted_in(**reference) -> dict[str, dict[str, Any]]:
    return {"mtld": {"threshold": 0.72}, "knn_6": {"encoder": "e", "reference": reference}}


def test_mismatch_is_known_before_scoring(rule, scores, data, monkeypatch):
    calls = []

    def planned(names, settings):
        calls.append((list(names), settings))
        return {"mtld": {"threshold": 0.8}, "knn_6": {"i": 6}}

    def score(*_, **__):
        calls.append("scored")
        return FakeScores(scores, {"mtld": {"threshold": 0.8}, "knn_6": {"i": 6}})

    fake_scoring(monkeypatch, score, planned)
    with pytest.raises(FingerprintMismatchError, match=r"would not be made as .*\n.*threshold is 0\.8"):
        imine.select(data, rule, top=2, settings="mine")
    assert calls == [(["mtld", "knn_6"], "mine")]
    with pytest.warns(FingerprintMismatchWarning, match="threshold is 0") as caught:
        selection = imine.select(data, rule, top=2, settings="mine", allow_mismatch=True)
    assert [w.filename for w in caught] == [__file__], "once, and told of the caller"
    assert sum("Mismatch allowed" in note for note in selection.notes) == 1


@pytest.mark.filterwarnings("error")
def test_the_pool_itself_is_only_known_once_it_is_scored(rule, scores, data, monkeypatch):
    rule = rule.model_copy(update={"fingerprints": counted_in(kind="self", n=5, sha256="11")})
    same, other = counted_in(kind="self", n=5, sha256="11"), counted_in(kind="self", n=5, sha256="22")
    fake_scoring(monkeypatch, lambda *_, **__: FakeScores(scores, same), lambda *_: counted_in(kind="self"))
    assert imine.select(data, rule, top=2).kept_ids == ["d", "a"]
    fake_scoring(monkeypatch, lambda *_, **__: FakeScores(scores, other), lambda *_: counted_in(kind="self"))
    with pytest.raises(FingerprintMismatchError, match=r"were not made as .*\n.*reference\.sha256 is '22'"):
        imine.select(data, rule, top=2)


def test_another_kind_of_reference_is_told_once_and_before_scoring(rule, scores, data, monkeypatch):
    rule = rule.model_copy(update={"fingerprints": counted_in(kind="set", name="s", n=9, sha256="11")})
    made = counted_in(kind="self", n=5, sha256="22")
    fake_scoring(monkeypatch, None, lambda *_: counted_in(kind="self"))
    with pytest.raises(FingerprintMismatchError) as error:
        imine.select(data, rule, top=2)
    assert "knn_6: reference.kind is 'self', the rule expects 'set'\n" in str(error.value)
    assert "reference.n" not in str(error.value)
    fake_scoring(monkeypatch, lambda *_, **__: FakeScores(scores, made), lambda *_: counted_in(kind="self"))
    with pytest.warns(FingerprintMismatchWarning) as caught:
        imine.select(data, rule, top=2, allow_mismatch=True)
    assert len(caught) == 1


def test_scores_may_be_a_plain_frame(rule, scores, data):
    unbound = rule.model_copy(update={"fingerprints": {}})
    assert imine.select(data, unbound, top=2, scores=scores).kept_ids == ["d", "a"]
    with pytest.raises(FingerprintMismatchError, match="mtld: the scores have no fingerprint for it"):
        imine.select(data, rule, top=2, scores=scores)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt8, pl.Categorical, pl.String])
def test_ids_keep_their_type(rule, scores, data, dtype):
    numbers = pl.Series("id", ["20", "10", "30", "40", "50"])
    data = data.with_columns(pl.Series("id", ["10", "20", "30", "40", "50"]).cast(dtype), kept=None)
    selection = imine.select(
        data, rule, top=2, scores=FakeScores(scores.with_columns(numbers.cast(pl.Int64)), GOOD)
    )
    assert selection.kept_ids == ["40", "10"]
    assert selection.kept.schema == data.schema
    assert selection.rejected.schema == {**data.schema, "imine_reason": pl.String}
    assert selection.kept["rank"].to_list() == ["y", "v"]
    assert selection.rejected["id"].cast(pl.String).to_list() == selection.rejected_ids == ["20", "50", "30"]
    assert selection.rejected["output"].to_list() == ["text b", "text e", "text c"]


def test_scores_of_other_records(rule, scores, data):
    other = data.with_columns(id=pl.lit("new-") + pl.col("id"))
    with pytest.raises(
        SelectionError, match=r"no id matches\. One of the records is 'new-a', one of the scores is 'b'"
    ):
        imine.select(other, rule, top=2, scores=FakeScores(scores, GOOD))
    with pytest.raises(SelectionError, match="'new-a', the scores have no rows"):
        imine.select(other, rule, top=2, scores=FakeScores(scores.clear(), GOOD))


def test_no_records(rule, scores, data):
    with pytest.raises(SelectionError, match="there are no records to choose from"):
        imine.select(data.clear(), rule, top=2)
    with pytest.raises(SelectionError, match="the scores have no rows"):
        select_scored(scores.clear(), rule, top=2)
    with pytest.raises(SelectionError, match=r"1 records have no id \(null\)"):
        imine.select(data.with_columns(id=pl.Series(["a", None, "c", "d", "e"])), rule, top=2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("request_", [{"top": 2}, {"fraction": 0.5}, {"threshold": 9.0}])
@pytest.mark.parametrize("dtype", [pl.Float64, pl.Null])
def test_no_row_with_a_prediction(rule, data, request_, dtype):
    frame = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e"],
            "mtld": pl.Series([None] * 5, dtype=dtype),
            "mtld__why": ["too short"] * 2 + ["empty", None, "binary"],
            "knn_6": [0.5] * 5,
        }
    )
    selection = imine.select(data, rule, scores=FakeScores(frame, GOOD), **request_)
    assert selection.kept_ids == []
    assert selection.kept.columns == data.columns
    assert selection.kept.height == 0
    assert selection.rejected["imine_reason"][0] == "no mtld: too short"
    assert (selection.cut, selection.kept_mean, selection.all_mean) == (request_.get("threshold"), None, None)
    assert selection.notes[1] == (
        "No row is kept: none of the 5 rows has a prediction. Most frequent reasons: no mtld: too short (2 rows); "
        "no mtld: binary (1 rows); no mtld: empty (1 rows); and 1 other reasons."
    )
    assert not any("all those are kept" in note for note in selection.notes)


def test_records_are_scored_as_the_rule_expects(rule, scores, data, monkeypatch):
    asked: dict[str, Any] = {}

    def score(frame, indicators, *, settings=None, progress=None):
        asked.update(rows=frame.height, indicators=indicators, settings=settings)
        return FakeScores(scores, GOOD)

    fake_scoring(monkeypatch, score, lambda names, settings: GOOD)
    assert imine.select(data, rule, top=2).kept_ids == ["d", "a"]
    assert asked == {"rows": 5, "indicators": ["mtld", "knn_6"], "settings": "settings of made-up"}
    imine.select(data, rule, top=2, settings="mine")
    assert asked["settings"] == "mine"
    made: list[Any] = []
    imine.select(data, rule, top=2, after_scoring=made.append)
    assert [scores.fingerprints for scores in made] == [GOOD]


def test_given_scores_are_not_told_as_made(rule, scores, data):
    made: list[Any] = []
    imine.select(data, rule, top=2, scores=FakeScores(scores, GOOD), after_scoring=made.append)
    assert made == []
