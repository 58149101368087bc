"""What quotas let be kept: the most rows with which all limits hold, against every set and every number of rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import imine
from imine.errors import SelectionError
from imine.selection import Diversity, Quota, select_scored, selection_stability
from imine.selection.quotas import bounds_of
from imine.selection.row_limits import row_limits
from tests.naive_selection import best_subset, in_rows, largest_total
from tests.test_selection_requests import frame, make_rule

Amount = int | float | None
amounts = st.one_of(st.none(), st.integers(0, 4), st.sampled_from([0.1, 0.25, 0.3, 0.33, 0.5, 0.6]))
shares = st.one_of(
    st.none(), st.integers(0, 500), st.sampled_from([0.01, 0.07, 0.125, 0.3, 0.333, 0.334, 0.5])
)


def make_quota(limits: dict[str, tuple[Amount, Amount]]) -> Quota:
    """A quota; cases that it refuses by itself are no cases."""
    try:
        return Quota("source", limits)
    except SelectionError:
        assume(False)
        raise


def sources(chosen: imine.selection.Selection, groups: list[str]) -> Counter[str]:
    kept = chosen.decided.choice.kept
    return Counter(g for g, k in zip(groups, kept, strict=True) if k)


@settings(max_examples=50, deadline=None)
@given(groups=st.lists(st.sampled_from("abc"), min_size=1, max_size=8), data=st.data())
def test_the_largest_and_then_the_lowest_of_all_sets(groups: list[str], data: st.DataObject) -> None:
    x = data.draw(st.permutations([i / 10 for i in range(len(groups))]))
    values = data.draw(st.sets(st.sampled_from([*groups, "*"]), min_size=1))
    quota = make_quota({v: data.draw(st.tuples(amounts, amounts)) for v in sorted(values)})
    top = data.draw(st.integers(1, len(groups)))
    expected, scores = best_subset(x, groups, quota.limits, top), frame(x, source=groups)
    if not expected:
        try:
            assert select_scored(scores, make_rule(), top=top, quota=quota).kept_count == 0
        except SelectionError as error:
            assert str(quota) in str(error)  # noqa: PT017
        return
    chosen = select_scored(scores, make_rule(), top=top, quota=quota)
    assert set(np.flatnonzero(chosen.decided.choice.kept).tolist()) == expected
    assert any("The quota lets no more" in note for note in chosen.notes) == (len(expected) < top)
    assert (chosen.table["reason"].is_null() == chosen.table["kept"]).all()
    _check_diverse(scores, groups, quota, top, len(expected))


def _check_diverse(scores: pl.DataFrame, groups: list[str], quota: Quota, top: int, total: int) -> None:
    vectors = np.eye(scores.height, 8, dtype=np.float32)
    how: dict[str, Any] = {"diversity": Diversity(weight=0.9, shortlist=2), "embeddings": vectors}
    kept = sources(select_scored(scores, make_rule(), top=top, quota=quota, **how), groups)
    assert kept.total() == total
    there = Counter(groups)
    for g in there:
        least, most = in_rows(g, there, quota.limits, total)
        assert least <= kept[g] <= most


@settings(max_examples=80, deadline=None)
@given(there=st.lists(st.integers(0, 400), min_size=1, max_size=4), data=st.data())
def test_the_number_of_rows_as_by_trying_every_one(there: list[int], data: st.DataObject) -> None:
    rows = dict(zip("abcd", there, strict=False))
    values = data.draw(st.sets(st.sampled_from([*rows, "*"]), min_size=1))
    quota = make_quota({v: data.draw(st.tuples(shares, shares)) for v in sorted(values)})
    wanted = data.draw(st.integers(0, sum(there)))
    expected = largest_total(rows, quota.limits, wanted)
    bounds = bounds_of(quota, tuple(rows))
    if expected is None:
        with pytest.raises(SelectionError, match=f"no number of rows up to {wanted:,} meets the quota"):
            row_limits(bounds, np.array(there), wanted)
        return
    found = row_limits(bounds, np.array(there), wanted)
    assert found.total == expected
    assert bool(found.why) == (expected < wanted and any(there) and found.most.any())
    if expected:
        spans = [in_rows(g, rows, quota.limits, expected) for g in rows]
        assert list(zip(found.least.tolist(), found.most.tolist(), strict=True)) == spans


@pytest.mark.parametrize(
    ("limits", "wanted", "total"),
    [
        ({"*": (None, 0.3334)}, 10_000_000, 10_000_000),
        ({"a": (0.12345, None), "b": (0.87655, None)}, 9_999_999, 9_980_000),
        ({"a": (0.3, 0.3)}, 9_999_999, 9_999_990),
        ({"*": (None, 0.3333)}, 10_000_000, None),
        ({"a": (0.1234567, None), "b": (0.8765433, None)}, 9_999_999, None),
        ({"a": (1_000_001, 0.1)}, 10_000_000, None),
    ],
)
def test_millions_of_rows(limits: dict[str, tuple[Amount, Amount]], wanted: int, total: int | None) -> None:
    bounds, there = bounds_of(Quota("source", limits), ("a", "b", "c")), np.full(3, 10_000_000)
    if total is None:
        with pytest.raises(SelectionError, match=f"no number of rows up to {wanted:,} meets"):
            row_limits(bounds, there, wanted)
    else:
        assert row_limits(bounds, there, wanted).total == total


def pool() -> tuple[pl.DataFrame, list[str]]:
    groups = ["b"] * 60 + ["c"] * 60 + ["d"] * 70 + ["a"] * 10
    return frame([i / 1000 for i in range(200)], source=groups), groups


def test_fewer_rows_than_the_least_shares_round_up_to() -> None:
    scores, groups = pool()
    quota = Quota("source", dict.fromkeys("bcd", (0.33, None)))
    chosen = select_scored(scores, make_rule(), top=10, quota=quota)
    assert sources(chosen, groups) == {"b": 3, "c": 3, "d": 3}
    assert (
        "The quota lets no more than 9 rows be kept: of 10 rows, the values must have 12 by their least."
        in (chosen.notes)
    )


@pytest.mark.parametrize("how", [{"top": 100}, {"fraction": 0.5}], ids=str)
def test_fewer_rows_where_a_value_has_too_few_for_its_share(how: dict[str, Any]) -> None:
    scores, groups = pool()
    chosen = select_scored(scores, make_rule(), quota=Quota("source", {"a": (0.6, None)}), **how)
    assert sources(chosen, groups) == {"a": 10, "b": 6}
    assert "The quota lets no more than 16 rows be kept: of 100 rows, a must have 60 and can have 10." in (
        chosen.notes
    )
    assert not any("is not met" in note for note in chosen.notes)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (
            {"a": (10, 0.1)},
            "source: a at least 10 and at most 0.1: of 20 rows, a must have 10 and can have 2",
        ),
        ({"a": (11, None)}, "source: a at least 11: of 20 rows, a must have 11 and can have 10"),
        ({"*": (0.3, None)}, "source: * at least 0.3: of 20 rows, the values must have 24 by their least"),
        ({"*": (None, 0.2)}, "source: * at most 0.2: of 20 rows, the values can have 16 by their most"),
        (
            {"*": (99, None)},
            "of 20 rows, a must have 99 and can have 10, b must have 99 and can have 60, "
            "c must have 99 and can have 60, 1 more values too few",
        ),
    ],
)
def test_limits_that_no_rows_meet_are_named(limits: dict[str, tuple[Amount, Amount]], why: str) -> None:
    with pytest.raises(SelectionError, match="no number of rows up to 20 meets the quota of source") as error:
        select_scored(pool()[0], make_rule(), top=20, quota=Quota("source", limits))
    assert str(error.value).endswith(why)


def test_a_threshold_leaves_no_row_out_for_a_least() -> None:
    scores, groups = pool()
    quota = Quota("source", {"a": (0.6, None), "d": (75, None), "b": (None, 0.2)})
    chosen = select_scored(scores, make_rule(), threshold=0.195, quota=quota)
    assert sources(chosen, groups) == {"a": 6, "b": 34, "c": 60, "d": 70}
    assert [note for note in chosen.notes if "quota" in note] == [
        "The quota lets no more than 170 rows be kept: of 196 rows, the values can have 175 by their most.",
        "The quota of source a is not met: at least 0.6, kept 6 rows, 3.5%.",
        "The quota of source d is not met: at least 75, kept 70 rows, 41.2%.",
    ]


def test_what_is_none_at_most_is_none_and_no_error() -> None:
    scores, _ = pool()
    for how in ({"top": 5}, {"threshold": 0.05}, {"top": 5, "diversity": Diversity()}):
        vectors = np.ones((200, 1), dtype=np.float32)
        quota = Quota("source", {"*": (None, 0)})
        chosen = select_scored(scores, make_rule(), quota=quota, embeddings=vectors, **how)  # type: ignore[arg-type]
        assert chosen.kept_count == 0
        assert (
            chosen.table["reason"][0]
            == "the quota of source b is full: predicted log loss 0.0 (rank 1 of 200)"
        )


def test_a_value_without_a_most_is_never_full() -> None:
    for most in (None, 1.0):
        scores = frame([i / 100 for i in range(40)], source=["a"] * 40)
        chosen = select_scored(scores, make_rule(), top=10, quota=Quota("source", {"*": (0.13, most)}))
        assert chosen.rejected_by == {imine.selection.Code.ABOVE: 30}
        assert chosen.table["reason"][20] == "predicted log loss 0.2 above the cut 0.09 (rank 21 of 40)"


def test_where_the_least_fill_all_only_rows_before_the_last_had_no_room() -> None:
    scores = frame([i / 10 for i in range(8)], source=list("aabaabab"))
    chosen = select_scored(scores, make_rule(), top=4, quota=Quota("source", {"*": (0.5, None)}))
    assert chosen.kept_ids == ["r000", "r001", "r002", "r005"]
    reasons = chosen.table["reason"].drop_nulls().to_list()
    assert reasons == [
        "the least numbers of the quota of source leave no room: predicted log loss 0.3 (rank 4 of 8)",
        "the least numbers of the quota of source leave no room: predicted log loss 0.4 (rank 5 of 8)",
        "predicted log loss 0.6 above the cut 0.5 (rank 7 of 8)",
        "predicted log loss 0.7 above the cut 0.5 (rank 8 of 8)",
    ]


def test_least_shares_of_a_budget_are_told_of_the_budget() -> None:
    scores = frame([i / 10 for i in range(6)], source=list("aabbcc"), output_length=[10] * 6)
    quota = Quota("source", {"a": (0.3, 1), "b": (0.2, None)})
    chosen = select_scored(scores, make_rule(), tokens=50, quota=quota)
    assert chosen.kept_ids == ["r000", "r002", "r003", "r004", "r005"]
    short = select_scored(scores[:4], make_rule(), tokens=50, quota=quota)
    # A third of the 30 tokens that are kept.
    assert short.kept_ids == ["r000", "r002", "r003"]
    for found in (chosen, short):
        assert [note for note in found.notes if "quota" in note] == [
            "The quota of source a is not met: at least 0.3, kept 1 rows, 20.0% of the budget."
        ]


def test_a_least_share_of_a_budget_that_is_reached_to_the_token_takes_no_more() -> None:
    scores = frame([0.1, 0.2, 0.3, 0.4], source=list("aabb"), output_length=[50, 43, 7, 7])
    assert 0.07 * 100 > 7
    chosen = select_scored(scores, make_rule(), tokens=100, quota=Quota("source", {"b": (0.07, None)}))
    assert chosen.kept_ids == ["r000", "r001", "r002"]


def test_a_budget_is_no_most_of_a_value() -> None:
    scores = frame([0.1, 0.2, 0.3, 0.4], source=list("aabc"), output_length=[60, 60, 30, 10])
    chosen = select_scored(scores, make_rule(), tokens=100, quota=Quota("source", {"c": (1, None)}))
    # The second row does not fit, and what comes after it is not tried.
    assert chosen.kept_ids == ["r000", "r003"]
    assert "beyond the budget of 100 tokens" in chosen.table["reason"][1]


def test_a_refit_whose_near_duplicates_meet_no_quota_keeps_nothing() -> None:
    vectors = np.array([[1, 0], [1, 0.001], [0, 1]], dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    scores = frame([0.2, 0.3, 0.25], source=list("abb"))
    how: dict[str, Any] = {"top": 2, "duplicates": 0.99, "quota": Quota("source", {"a": (1, None)})}
    rule = make_rule(((0.0, 0.0), (0.0, 1.0)))
    stability = selection_stability(select_scored(scores, rule, embeddings=vectors, **how), refits=200)
    assert set(stability.sizes.tolist()) == {0, 2}


def test_a_quota_of_the_id_and_of_the_column_of_tokens() -> None:
    scores = frame([0.1, 0.2, 0.3, 0.4], output_length=[5, 5, 7, 7])
    records = scores.select("id", output=pl.lit("t"))
    by_id = imine.select(records, make_rule(), scores=scores, top=3, quota=Quota("id", {"*": (None, 1)}))
    assert by_id.kept_ids == ["r000", "r001", "r002"]
    quota = Quota("output_length", {"*": (None, 1)})
    for further in (scores, scores.drop("output_length")):
        own = records.with_columns(scores["output_length"])
        chosen = imine.select(own, make_rule(), scores=further, tokens=20, quota=quota)
        assert chosen.kept_ids == ["r000", "r002"]


def test_numbers_of_rows_beyond_any_integer_type() -> None:
    scores = frame([0.1, 0.2], source=["a", "a"])
    chosen = select_scored(scores, make_rule(), top=2, quota=Quota("source", {"*": (None, 10**20)}))
    assert chosen.kept_count == 2
    with pytest.raises(SelectionError, match="a at least 1000"):
        select_scored(scores, make_rule(), top=2, quota=Quota("source", {"a": (10**20, None)}))


def test_notes_where_both_predictions_and_the_quota_are_short() -> None:
    scores = frame([0.1, 0.2, 0.3, None], source=["a", "a", "b", "b"])
    chosen = select_scored(scores, make_rule(), top=9, quota=Quota("source", {"*": (None, 1)}))
    told = [note for note in chosen.notes if "asked" in note or "quota" in note]
    assert told == [
        "9 rows were asked for, but only 3 have a prediction.",
        "The quota lets no more than 2 rows be kept: of 3 rows, the values can have 2 by their most.",
    ]
    plain = select_scored(scores, make_rule(), top=9)
    assert any(note.endswith("only 3 have a prediction: all those are kept.") for note in plain.notes)
