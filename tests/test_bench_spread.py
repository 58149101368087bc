"""Intervals for medians, targets, and the reading of pytest-benchmark's JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imine.bench.reading import read_measured
from imine.bench.spread import Spread, Target, quotient, spread
from imine.errors import BenchError


# Ranks of the classical table of the sign test's interval at 95 %, e.g. Conover (1999), table A3 by addition.
@pytest.mark.parametrize(
    ("n", "k"), [(6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (17, 5), (20, 6), (25, 8)]
)
def test_interval_is_that_of_the_sign_test(n: int, k: int) -> None:
    found = spread([float(i) for i in range(1, n + 1)])
    assert (found.low, found.high) == (k, n + 1 - k)
    assert found.rounds == n


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_rounds_give_their_whole_range(n: int) -> None:
    values = [3.0, 1.0, 2.0, 5.0, 4.0][:n]
    found = spread(values)
    assert (found.low, found.high) == (min(values), max(values))
    assert found.coverage == 1 - 2.0 ** (1 - n)


def test_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2_000):
        found = spread(rng.exponential(size=11).tolist())
        hits += found.low <= math.log(2) <= found.high
    # 98.8 % by the binomial distribution; four standard errors of 2,000 draws are 1.0 %.
    assert abs(hits / 2_000 - 0.98828) < 0.010


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.randoms())
def test_order_of_rounds_does_not_matter(values: list[float], random: Any) -> None:
    shuffled = random.sample(values, len(values))
    assert spread(shuffled) == spread(values)
    assert spread(values).low <= spread(values).median <= spread(values).high


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_median_of_nothing(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value, all finite"):
        spread(values)


def test_quotient_is_as_wide_as_both_allow() -> None:
    found = quotient(Spread(6.0, 5.0, 8.0, 9), Spread(3.0, 2.0, 4.0, 7))
    assert found == Spread(2.0, 5 / 4, 8 / 2, 7)


@pytest.mark.parametrize(
    ("text", "low", "high", "verdict"),
    [
        (">= 1.0", 1.0, 1.2, "met"),
        (">= 1.0", 0.9, 1.2, "unsure"),
        (">= 1.0", 0.8, 0.99, "missed"),
        ("<= 0.3", 0.1, 0.3, "met"),
        ("<= 0.3", 0.2, 0.4, "unsure"),
        ("<=0.3", 0.31, 0.4, "missed"),
    ],
)
def test_a_target_is_met_where_the_whole_interval_is(
    text: str, low: float, high: float, verdict: str
) -> None:
    assert Target.parse(text).verdict(Spread((low + high) / 2, low, high, 7)) == verdict


@pytest.mark.parametrize("text", ["1.0", "> 1", ">= fast"])
def test_a_target_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"target is|could not convert"):
        Target.parse(text)


def one(name: str, data: list[float], **extra: Any) -> dict[str, Any]:
    return {"fullname": f"bench_a.py::bench_{name}", "stats": {"data": data}, "extra_info": extra}


def test_ratio_is_of_rounds_not_of_medians() -> None:
    # The machine gets slower three times over: medians alone could not tell the ratio, rounds can.
    ours, theirs = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0], [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    content = {
        "benchmarks": [
            one(
                "x", ours, baseline="wc -w", baseline_seconds=theirs, cpu_seconds=ours,
                baseline_cpu_seconds=[3 * value for value in ours], rows=10, bytes=70, target=">= 1.5",
            )
        ]
    }  # fmt: skip
    (found,), figures = read_measured(content)
    assert found.baseline is not None
    assert found.baseline.ratio == Spread(2.0, 2.0, 2.0, 6)
    assert found.baseline.cpu_ratio == Spread(3.0, 3.0, 3.0, 6)
    assert found.baseline.in_turn
    assert (found.name, found.rows, found.bytes, found.target) == ("a/x", 10, 70, Target(">=", 1.5))
    assert figures == ()


def test_a_baseline_may_be_another_benchmark_of_the_file() -> None:
    content = {"benchmarks": [one("fast", [1.0, 1.5], baseline="bench_slow"), one("slow", [4.0, 6.0])]}
    fast, slow = read_measured(content)[0]
    assert slow.baseline is None
    assert fast.baseline is not None
    assert fast.baseline.ratio == Spread(4.0, 4.0 / 1.5, 6.0, 2)
    assert not fast.baseline.in_turn


def test_a_baseline_that_did_not_run_is_named() -> None:
    content = {"benchmarks": [one("fast", [1.0], baseline="slow")]}
    with pytest.raises(BenchError, match="a/fast: its baseline slow did not run"):
        read_measured(content)


def test_work_below_the_clock_has_no_cpu_ratio() -> None:
    content = {
        "benchmarks": [
            one(
                "x",
                [1.0],
                baseline="y",
                baseline_seconds=[1.0],
                cpu_seconds=[0.0],
                baseline_cpu_seconds=[1.0],
            )
        ]
    }
    (found,), _ = read_measured(content)
    assert found.baseline is not None
    assert found.baseline.cpu_ratio is None


def test_a_benchmark_of_figures_is_not_timed_itself() -> None:
    figures = [{"what": "peak", "values": [3.0, 1.0, 2.0], "unit": "MB", "target": "<= 2"}]
    measured, found = read_measured({"benchmarks": [one("memory", [9.0], figures=figures, rows=5)]})
    assert measured == ()
    (figure,) = found
    assert (figure.full_name, figure.unit, figure.rows) == ("a/memory: peak", "MB", 5)
    assert figure.value == Spread(2.0, 1.0, 3.0, 3)
    assert figure.target == Target("<=", 2.0)


def test_thousands_of_rounds_have_an_interval() -> None:
    found = spread([float(k) for k in range(5001)])
    assert found.median == 2500.0
    assert 2400 < found.low < 2500 < found.high < 2600
