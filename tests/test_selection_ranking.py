"""Order, ids and means of rows."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.errors import SelectionError
from imine.selection.ranking import check_ids, mean_of, rank

close = st.floats(0.5, 0.5000001)
anything = st.floats(allow_infinity=False, width=64)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(anything, close, st.sampled_from([0.0, -0.0, 1.0, -1.0])), min_size=1, max_size=60))
def test_rank_is_by_key_then_by_id(keys: list[float]) -> None:
    ids = [f"r{(7 * i) % len(keys):02d}-{i}" for i in range(len(keys))]
    array = np.array(keys)
    ranking = rank(pl.Series(ids), array, array)
    expected = sorted(
        range(len(keys)), key=lambda i: (math.isnan(keys[i]), 0 if math.isnan(keys[i]) else keys[i], ids[i])
    )
    assert ranking.order.tolist() == expected
    assert ranking.ranked == sum(not math.isnan(k) for k in keys)


def test_keys_that_differ_in_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    keys = np.nextafter(0.3, 1, dtype=np.float64) + np.spacing(0.3) * rng.integers(0, 40, 5000)
    ids = pl.Series([f"r{i:04d}" for i in rng.permutation(5000)])
    order = rank(ids, keys, keys).order
    names = ids.to_list()
    assert order.tolist() == sorted(range(5000), key=lambda i: (keys[i], names[i]))


def test_negative_nan_comes_last() -> None:
    keys = np.array([1.0, -np.nan, -2.0, np.copysign(np.nan, -1.0)])
    assert rank(pl.Series(["b", "d", "a", "c"]), keys, keys).order.tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1.0, 1e300])
def test_mean_does_not_depend_on_the_order(scale: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(3, 1, 200_000) * scale
    rows = rng.random(200_000) < 0.4
    mean = mean_of(values, rows)
    exact = sum(map(Fraction, values[rows].tolist())) / int(rows.sum())
    assert mean == pytest.approx(float(exact), rel=1e-13)
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(len(values))
        assert mean_of(values[order], rows[order]) == mean
    assert mean_of(np.zeros(3), np.ones(3, dtype=bool)) == 0.0


def test_ids_that_occur_twice() -> None:
    check_ids(pl.Series(["a", "b"]))
    with pytest.raises(SelectionError, match="2 ids stand for more than one row of the scores: a, b"):
        check_ids(pl.Series(["b", "a", "c", "b", "a"]))
