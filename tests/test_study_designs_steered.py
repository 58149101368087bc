"""Univariate and optimal designs: what they draw, and that they are better than random draws."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.errors import StudyConfigError, StudyError
from imine.regression import fit_ols
from imine.study.designs.budget import TOLERANCE
from imine.study.designs.candidates import Candidates
from imine.study.designs.criterion import interval_widths, log_determinant
from imine.study.designs.draw import draw_design
from imine.study.designs.optimal import draw_optimal, tilted
from imine.study.designs.steering import Steering
from imine.study.designs.univariate import draw_banded, quantile_bands
from tests.study_candidates import NAMES, candidates, config, pools, scores

OWN = candidates(300, 400, 200)
SCORES = scores(OWN)
STEERING = Steering.from_scores(SCORES, OWN.ids, NAMES)
POOLS = pools(300, 400, 200)


def naive_means(ids: tuple[str, ...]) -> list[float]:
    rows = SCORES.filter(pl.col("id").is_in(ids))
    return [float(rows[name].mean()) for name in NAMES]  # type: ignore[arg-type]


def test_standardised_indicators() -> None:
    for j, name in enumerate(NAMES):
        known = np.isfinite(STEERING.values[:, j])
        assert STEERING.z[known, j].mean() == pytest.approx(0, abs=1e-12)
        assert STEERING.z[known, j].std() == pytest.approx(1)
        assert (STEERING.z[~known, j] == 0).all()
        assert known.sum() == SCORES[name].count()
    rows = np.array([[3, 1, 4], [5, 9, 2]])
    for own, mean in zip(rows, STEERING.means(rows), strict=True):
        known = np.isfinite(STEERING.values[own])
        plain = [STEERING.z[own[known[:, j]], j].mean() if known[:, j].any() else 0.0 for j in range(3)]
        assert mean.tolist() == pytest.approx(plain)


def test_indicators_that_cannot_steer_are_named() -> None:
    flat = SCORES.with_columns(mtld=pl.lit(3.0))
    with pytest.raises(StudyConfigError, match=r"design\.indicators: mtld is the same in nearly all"):
        Steering.from_scores(flat, OWN.ids, NAMES)
    none = SCORES.with_columns(mtld=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(StudyConfigError, match=r"mtld is the same in nearly all candidates, or missing"):
        Steering.from_scores(none, OWN.ids, NAMES)
    with pytest.raises(StudyError, match="1 candidates have no scores; the first: a0"):
        Steering.from_scores(SCORES[1:], OWN.ids, NAMES)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 1.0, 2.5, float("nan"), 7.0]), min_size=6, max_size=40),
    bands=st.integers(2, 6),
)
def test_bands_are_consecutive_and_as_large_as_each_other(values: list[float], bands: int) -> None:
    ids = tuple(f"r{(7 * i) % 41}" for i in range(len(values)))
    found = quantile_bands(np.array(values), ids, bands)
    sizes = [len(band) for band in found]
    assert max(sizes) - min(sizes) <= 1
    order = [row for band in found for row in band.tolist()]
    keys = [(values[row], ids[row]) for row in order]
    assert keys == sorted(keys)
    assert sorted(order) == [row for row in range(len(values)) if values[row] == values[row]]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**9), run=st.integers(0, 60))
def test_a_banded_subset_stays_in_its_band_and_is_balanced(seed: int, run: int) -> None:
    asked = ("output_words", "log_perplexity")
    drawn = draw_banded(OWN, STEERING, asked, 5, 30, seed, run)
    name, band = drawn.subset.labels["design_indicator"], drawn.subset.labels["design_band"]
    assert (name, band) == (asked[run % 2], (run // 2) % 5)
    assert drawn.subset.labels["design_draw"] == run // 10
    column = NAMES.index(str(name))
    band_ids = {OWN.ids[r] for r in quantile_bands(STEERING.values[:, column], OWN.ids, 5)[int(band)]}
    assert len(set(drawn.subset.ids)) == 30
    assert set(drawn.subset.ids) <= band_ids
    others = drawn.balance.filter(~pl.col("banded"))
    assert float((others["difference"] ** 2).sum()) <= float((others["before"] ** 2).sum()) + 1e-12
    assert drawn.balance["mean"].to_list() == pytest.approx(naive_means(drawn.subset.ids))
    assert draw_banded(OWN, STEERING, asked, 5, 30, seed, run).subset == drawn.subset


def test_exchanges_balance_the_other_means_where_the_band_allows_it() -> None:
    drawn = draw_design(
        config({"kind": "univariate", "subsets": 24, "examples": 30, "bands": 4}), POOLS, scores=SCORES
    )
    assert drawn.balance is not None
    others = drawn.balance.filter(~pl.col("banded"))
    assert others["before"].abs().mean() > 5 * others["difference"].abs().mean()  # type: ignore[operator]
    banded = drawn.balance.filter("banded", pl.col("indicator") == "mtld").sort("run")
    assert banded["mean"][:4].is_sorted()
    assert "univariate design: the other means are 0.0" in drawn.notes[0]


def test_a_band_that_is_too_small() -> None:
    few = config({"kind": "univariate", "subsets": 2, "examples": 100, "bands": 10})
    with pytest.raises(
        StudyConfigError, match=r"design\.bands: band 0 of 10 of output_words has 90 .* at most 9"
    ):
        draw_design(few, POOLS, scores=SCORES)


def test_a_tilt_is_as_strong_as_its_breadth_allows() -> None:
    for breadth in (1.0, 2.0, 10.0):
        tilt = tilted(OWN, STEERING, np.array([1.0, -0.5, 0.2]), examples=40, breadth=breadth)
        assert 1 / (tilt.shares**2).sum() == pytest.approx(breadth * 40, rel=0.01)
        # Exponential tilting, and the mean that its shares give.
        log_odds = np.log(tilt.shares) - np.log(tilt.shares[0])
        np.testing.assert_allclose(log_odds, (STEERING.z - STEERING.z[0]) @ tilt.theta, atol=1e-9)
        plain = (tilt.shares @ STEERING.z[:, 0]) / tilt.shares.sum()
        assert tilt.mean[0] == pytest.approx(plain)


def random_rows(own: Candidates, runs: int, examples: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([rng.choice(len(own.ids), examples, replace=False) for _ in range(runs)])


@pytest.mark.parametrize("seed", [0, 1])
def test_an_optimal_design_beats_random_mixes_and_random_draws(seed: int) -> None:
    design = {"subsets": 30, "examples": 25}
    drawn = draw_design(config({"kind": "optimal", **design}, seed=seed), POOLS, scores=SCORES)
    row = {id: i for i, id in enumerate(OWN.ids)}
    mixes = draw_design(config({"alpha": 0.3, **design}, seed=seed), POOLS).subsets
    means = {
        "optimal": STEERING.means(np.array([[row[id] for id in s.ids] for s in drawn.subsets])),
        "mixed": STEERING.means(np.array([[row[id] for id in s.ids] for s in mixes])),
        "random": STEERING.means(random_rows(OWN, 30, 25)),
    }
    d = {name: log_determinant(x) for name, x in means.items()}
    assert d["optimal"] > d["mixed"] + 1 > d["random"] + 1
    widths = {name: interval_widths(x, sigma=0.01) for name, x in means.items()}
    assert (widths["optimal"] < widths["mixed"]).all()
    assert all(len(set(s.ids)) == 25 for s in drawn.subsets)
    assert len({s.sha256 for s in drawn.subsets}) == 30


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**9), runs=st.integers(2, 8), more=st.integers(0, 4))
def test_a_longer_optimal_design_begins_with_the_shorter_one(seed: int, runs: int, more: int) -> None:
    few = draw_optimal(OWN, STEERING, seed, runs, examples=10)
    many = draw_optimal(OWN, STEERING, seed, runs + more, examples=10)
    stored = draw_optimal(OWN, STEERING, seed, runs + more, examples=10, before=few.rows)
    for a, b, c in zip(few.rows, many.rows, stored.rows, strict=False):
        assert a.tolist() == b.tolist() == c.tolist()
    assert [r.tolist() for r in many.rows] == [r.tolist() for r in stored.rows]


def test_optimal_subsets_of_a_budget_of_tokens() -> None:
    assert OWN.lengths is not None
    drawn = draw_optimal(OWN, STEERING, 3, 12, response_tokens=800)
    for rows in drawn.rows:
        assert len(set(rows.tolist())) == len(rows)
        assert abs(OWN.lengths[rows].sum() - 800) <= TOLERANCE * 800
    assert len({len(rows) for rows in drawn.rows}) > 1


def test_a_breadth_that_the_candidates_cannot_give() -> None:
    wide = config({"kind": "optimal", "subsets": 4, "examples": 300, "breadth": 4.0})
    with pytest.raises(
        StudyConfigError, match=r"design\.breadth: 4 times 300 .* 900 candidates; allowed: 1 to 3"
    ):
        draw_design(wide, POOLS, scores=SCORES)


@pytest.mark.parametrize("kind", ["optimal", "univariate"])
def test_rows_that_were_drawn_are_kept_whatever_the_scores_are_now(kind: str) -> None:
    design = {"kind": kind, "subsets": 4, "examples": 12, "repeats": {"runs": 1}}
    drawn = draw_design(config(design), POOLS, scores=SCORES)
    before = {s.run: s.ids for s in drawn.subsets if not s.labels["repeat"]}
    other = scores(OWN, seed=9)
    again = draw_design(config(design | {"subsets": 6}), POOLS, scores=other, before=before)
    assert {s.run: s for s in drawn.subsets}.items() <= {s.run: s for s in again.subsets}.items()
    with pytest.raises(StudyError, match="hold gone, which is no candidate now"):
        draw_design(config(design), POOLS, scores=SCORES, before={0: ["gone"]})
    with pytest.raises(StudyError, match="needs the scores of all candidates"):
        draw_design(config(design), POOLS)


def test_expected_widths_are_those_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((25, 3)) * [1.0, 1e6, 1e-4]
    fit = fit_ols(X, rng.standard_normal(25), list("abc"))
    found = fit.conf_int()[1:]
    np.testing.assert_allclose(interval_widths(X, fit.sigma), found[:, 1] - found[:, 0], rtol=1e-9)
    # Twice the spread of three terms: eight times the root of the determinant.
    assert log_determinant(2 * X) - log_determinant(X) == pytest.approx(np.log(4))
    with pytest.raises(ValueError, match="at least 5 for 3 indicators"):
        interval_widths(X[:4], 1.0)
