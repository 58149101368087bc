import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imine.regression.after_choosing.regions import WHOLE_LINE, cells, joined, where_all
from imine.regression.after_choosing.tails import log_mass, log_survival

STORED = json.loads((Path(__file__).parent / "oracles" / "truncated_tails.json").read_text())


@pytest.mark.parametrize("row", STORED, ids=lambda row: f"df{row['df']}-{row['low']:.3g}-{row['high']}")
def test_sixty_digit_values(row: dict) -> None:
    df = math.inf if row["df"] is None else row["df"]
    found = log_survival(row["low"], df) if row["high"] is None else log_mass(row["low"], row["high"], df)
    # Relative in the logarithm; near log 1 relative in the probability of the rest.
    assert float(found) == pytest.approx(float(row["log"]), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("df", [math.inf, 119.0, 3.0])
def test_parts_add_up(df: float) -> None:
    ends = np.array([-np.inf, -8.0, -1.0, 0.0, 1e-9, 2.5, 40.0, np.inf])
    whole = np.exp(log_mass(ends[:-1], ends[1:], df)).sum()
    assert whole == pytest.approx(1.0, rel=1e-14)
    assert log_mass(-np.inf, np.inf, df) == 0.0
    assert log_mass(3.0, 3.0, df) == -np.inf


@pytest.mark.parametrize("df", [math.inf, 119.0])
def test_mirror(df: float) -> None:
    low = np.array([-3.0, 0.5, 20.0, -np.inf])
    high = np.array([1.0, 0.7, 30.0, -12.0])
    np.testing.assert_allclose(log_mass(low, high, df), log_mass(-high, -low, df), rtol=1e-15)


def coefficient() -> st.SearchStrategy[float]:
    return st.integers(-6, 6).map(float)


@given(
    st.lists(st.tuples(coefficient(), coefficient(), coefficient()), max_size=5),
    st.lists(st.floats(-20, 20), min_size=1, max_size=30),
)
def test_where_all_against_evaluation(
    quadratics: list[tuple[float, float, float]], points: list[float]
) -> None:
    rows = np.array(quadratics).reshape(-1, 3)
    region = where_all(WHOLE_LINE, rows)
    for x in points:
        values = rows @ np.array([x * x, x, 1.0])
        inside = bool(((region[:, 0] <= x) & (x <= region[:, 1])).any())
        if (values > 1e-6).all():
            assert inside, (x, region)
        if (values < -1e-6).any():
            assert not inside, (x, region)


def test_regions_stay_within_and_join() -> None:
    start = np.array([[-5.0, -1.0], [0.0, 10.0]])
    assert where_all(start, np.array([[0.0, 1.0, 3.0]])).tolist() == [[-3.0, -1.0], [0.0, 10.0]]
    assert where_all(start, np.array([[-1.0, 0.0, -1.0]])).shape == (0, 2)
    assert joined(cells(start, np.array([1.0, 2.0, -3.0, np.inf, np.nan]))).tolist() == start.tolist()


def test_far_roots_keep_their_sign() -> None:
    region = where_all(WHOLE_LINE, np.array([[1.0, 0.0, -1e300]]))
    np.testing.assert_allclose(region, [[-np.inf, -1e150], [1e150, np.inf]])
