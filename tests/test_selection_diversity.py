"""Diversity and near-duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from imine.errors import SelectionError
from imine.selection import Diversity, Quota, select_scored
from imine.selection.codes import Code
from imine.selection.diversity import choose_diverse
from tests.naive_selection import greedy
from tests.test_selection_requests import frame, make_rule


def unit(rng: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    vectors = rng.normal(size=(rows, dimensions))
    vectors[: rows // 3] += 2 * rng.normal(size=dimensions)
    return (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("kind", ["facility-location", "k-center"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9, 1.0])
def test_lazy_choice_is_the_plain_greedy_one(kind: str, weight: float) -> None:
    rng = np.random.default_rng(5)
    vectors, predicted = unit(rng, 90, 6), np.sort(rng.random(90))
    predicted[10:14] = predicted[10]
    quality = (predicted[-1] - predicted) / (predicted[-1] - predicted[0])
    picks = choose_diverse(vectors, predicted, Diversity(kind, weight), 15)  # type: ignore[arg-type]
    assert picks.chosen.tolist() == greedy(vectors, quality, kind, weight, 15)


def test_no_weight_is_the_selection_without() -> None:
    rng = np.random.default_rng(6)
    scores, vectors = frame(rng.random(200).tolist()), unit(rng, 200, 8)
    plain = select_scored(scores, make_rule(), top=40)
    for kind in ("facility-location", "k-center"):
        diverse = select_scored(
            scores, make_rule(), top=40, diversity=Diversity(kind, 0.0), embeddings=vectors
        )  # type: ignore[arg-type]
        assert diverse.kept_ids == plain.kept_ids


def test_more_weight_covers_more_and_costs_prediction() -> None:
    rng = np.random.default_rng(7)
    scores, vectors = frame(rng.random(300).tolist()), unit(rng, 300, 8)
    found = []
    for weight in (0.0, 0.5, 1.0):
        chosen = select_scored(
            scores, make_rule(), top=20, diversity=Diversity(weight=weight, shortlist=300), embeddings=vectors
        )
        assert chosen.kept_count == 20
        assert chosen.kept_mean is not None
        assert chosen.decided.choice.picks is not None
        found.append((chosen.kept_mean.value, chosen.decided.choice.picks.nearest.mean()))
        assert any(note.startswith("Diversity chose among 300 rows") for note in chosen.notes)
    losses, covered = zip(*found, strict=True)
    assert losses == tuple(sorted(losses))
    assert losses[0] < losses[2]
    assert covered[0] < covered[1] <= covered[2] + 0.01


def test_reasons_and_turns() -> None:
    rng = np.random.default_rng(8)
    scores, vectors = frame(rng.random(60).tolist()), unit(rng, 60, 8)
    chosen = select_scored(
        scores, make_rule(), top=5, diversity=Diversity("k-center", 0.7), embeddings=vectors
    )
    table = chosen.table
    assert sorted(table["picked"].drop_nulls()) == [1, 2, 3, 4, 5]
    assert table.filter(pl.col("picked").is_not_null())["kept"].all()
    listed = table.filter(~pl.col("kept")).head(15)["reason"]
    assert listed.str.contains(r"^passed over for diversity: cosine -?0\.\d+ to the nearest kept row").all()
    assert table["reason"][-1].startswith(
        "not among the 20 rows that diversity chose from: predicted log loss"
    )


def test_quota_holds_with_diversity() -> None:
    rng = np.random.default_rng(9)
    groups = ["a"] * 150 + ["b"] * 45 + ["c"] * 5
    x = np.concatenate([rng.random(150), 2 + rng.random(50)])
    scores = frame(x.tolist(), source=groups)
    quota = Quota("source", {"a": (None, 10), "c": (3, None)})
    chosen = select_scored(
        scores,
        make_rule(),
        top=20,
        quota=quota,
        diversity=Diversity(weight=0.8),
        embeddings=unit(rng, 200, 8),
    )
    counts = scores.filter(pl.col("id").is_in(chosen.kept_ids))["source"].value_counts()
    found = dict(counts.rows())
    assert sum(found.values()) == 20
    assert found["a"] <= 10
    assert found["c"] >= 3


def test_budget_with_diversity_is_kept() -> None:
    rng = np.random.default_rng(10)
    tokens = rng.integers(1, 50, 100)
    scores = frame(rng.random(100).tolist(), output_length=tokens)
    chosen = select_scored(
        scores, make_rule(), tokens=300, diversity=Diversity(), embeddings=unit(rng, 100, 8)
    )
    spent = scores.filter(pl.col("id").is_in(chosen.kept_ids))["output_length"].sum()
    assert 200 < spent <= 300
    ended = chosen.table.filter(pl.col("reason").str.contains("beyond the budget"))
    # The row at which the choice ended is told apart from those that diversity left aside.
    assert ended["reason"].item().startswith("beyond the budget of 300 tokens: predicted log loss")
    assert spent + scores.filter(id=ended["id"].item())["output_length"].item() > 300
    assert chosen.rejected_by[Code.BUDGET] == 1


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_budget_with_diversity_is_spent_where_the_best_rows_are_short(weight: float) -> None:
    rng = np.random.default_rng(3)
    tokens = rng.integers(10, 300, 200)
    scores = frame((tokens / 300).tolist(), output_length=tokens)
    how = {"diversity": Diversity(weight=weight), "embeddings": unit(rng, 200, 8)}
    chosen = select_scored(scores, make_rule(), tokens=5000, **how)  # type: ignore[arg-type]
    plain = select_scored(scores, make_rule(), tokens=5000)
    spent = scores.filter(pl.col("id").is_in(chosen.kept_ids))["output_length"].sum()
    assert 5000 - tokens.max() < spent <= 5000
    if not weight:
        assert chosen.kept_ids == plain.kept_ids


def test_the_cost_of_diversity_is_in_predictions_whatever_rows_are_ranked_by() -> None:
    rng = np.random.default_rng(11)
    scores, vectors = frame(rng.random(100).tolist()), unit(rng, 100, 8)
    chosen = select_scored(scores, make_rule(), top=10, by="upper", diversity=Diversity(), embeddings=vectors)
    mean = chosen.table.filter("kept")["predicted_log_loss"].mean()
    assert any(f"Their mean prediction is {mean:.4f} instead of" in note for note in chosen.notes)


def test_a_row_without_tokens_stands_for_no_near_duplicate() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0]], dtype=np.float32)
    scores = frame([0.1, 0.2, 0.3], output_length=pl.Series([None, 5, 5]))
    chosen = select_scored(scores, make_rule(), tokens=20, duplicates=0.9, embeddings=vectors)
    assert chosen.kept_ids == ["r001"]
    assert chosen.table["reason"].to_list() == [
        "no output_length, by which the tokens are counted: the scores give no reason",
        None,
        "near-duplicate of r001, which ranks higher (rank 3 of 3)",
    ]


def test_only_the_best_of_near_duplicates() -> None:
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [1, 0.02], [0, 1]], dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    scores = frame([0.5, 0.2, 0.4, None, 0.3])
    chosen = select_scored(scores, make_rule(), top=3, duplicates=0.99, embeddings=vectors)
    assert chosen.kept_ids == ["r001", "r004"]
    reasons = dict(chosen.table.select("id", "reason").rows())
    assert reasons["r000"] == "near-duplicate of r001, which ranks higher (rank 4 of 4)"
    assert reasons["r002"] == "near-duplicate of r004, which ranks higher (rank 3 of 4)"
    assert reasons["r003"] == "no x: the scores give no reason"
    assert any("only 2 have a prediction and are no near-duplicate" in note for note in chosen.notes)


def test_embeddings_of_another_number_of_rows() -> None:
    with pytest.raises(SelectionError, match=r"one row a row of the scores, 2; got \(3, 2\)"):
        select_scored(
            frame([0.1, 0.2]), make_rule(), top=1, duplicates=0.9, embeddings=np.eye(3, 2, dtype=np.float32)
        )


@pytest.mark.parametrize("kind", ["facility-location", "k-center"])
def test_where_nothing_can_be_chosen_no_row_was_passed_over(kind: str) -> None:
    scores = frame([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], output_length=[9] * 6, source=list("aaabbb"))
    vectors, diversity = unit(np.random.default_rng(9), 6, 4), Diversity(kind)  # type: ignore[arg-type]
    small = select_scored(scores, make_rule(), tokens=8, diversity=diversity, embeddings=vectors)
    assert small.kept_count == 0
    assert small.table["reason"].to_list() == [
        f"beyond the budget of 8 tokens: predicted log loss 0.{i}, 9 tokens (rank {i} of 6)"
        for i in range(1, 7)
    ]
    shut = Quota("source", {"*": (None, 0)})
    none = select_scored(scores, make_rule(), top=2, diversity=diversity, embeddings=vectors, quota=shut)
    assert none.kept_count == 0
    assert all(reason.startswith("the quota of source ") for reason in none.table["reason"])


@pytest.mark.parametrize("how", [{"duplicates": 0.9}, {"diversity": Diversity()}], ids=str)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 3.0, 0.5])
def test_embeddings_that_are_no_unit_vectors_are_refused(wrong: float, how: dict[str, Any]) -> None:
    scores, vectors = frame([0.1, 0.2, 0.3, 0.4]), np.eye(4, dtype=np.float32)
    vectors[1] = 0
    assert select_scored(scores, make_rule(), top=2, embeddings=vectors, **how).kept_count == 2
    vectors[2, 2] = wrong
    with pytest.raises(SelectionError, match=r"length 1, or 0 .*: 1 are not; that of r002 has length"):
        select_scored(scores, make_rule(), top=2, embeddings=vectors, **how)
