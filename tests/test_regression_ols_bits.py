"""The same rows give the same bits: in any order, on one or two threads, however they lie in memory."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imine.regression import OlsResults, fit_ols
from imine.regression.doubled import Doubled, SlicedMatrix, certainly_rounded, total
from imine.regression.exact import doubled, rounded_sqrt
from tests import naive_least_squares, nist_data

PER_RUN = {
    "residuals", "fitted", "leverage", "loo_residuals", "studentised_internal", "studentised_external",
    "cooks_distance", "dffits", "weights",
}  # fmt: skip


def same(one: OlsResults, other: OlsResults, order: np.ndarray | None = None) -> None:
    """Every field of ``other`` is that of ``one``, bit by bit, runs in ``order``."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if order is not None and field.name in PER_RUN:
            a = a[order]
        if isinstance(a, np.ndarray | float):
            np.testing.assert_array_equal(
                np.asarray(a).view(np.int64), np.asarray(b).view(np.int64), field.name
            )
        else:
            assert a == b, field.name


def problem(seed: int, n: int = 24, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) * 10.0 ** rng.integers(-4, 5, size=k)
    # Repeated rows and whole numbers: results that lie halfway between two float64.
    X[: n // 2] = np.round(X[: n // 2])
    X[1] = X[0]
    return X, np.round(X @ rng.normal(size=k) + rng.normal(size=n), 1), rng.uniform(0.1, 3.0, size=n)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    weighted=st.booleans(),
    intercept=st.booleans(),
    covariance=st.sampled_from(["classical", "HC3", "cluster"]),
    order=st.permutations(range(24)),
)
def test_any_order_of_the_rows(seed, weighted, intercept, covariance, order):
    X, y, w = problem(seed)
    groups = np.arange(24) % 5

    def fitted(rows: np.ndarray) -> OlsResults:
        return fit_ols(
            X[rows],
            y[rows],
            ["a", "b", "c"],
            intercept=intercept,
            weights=w[rows] if weighted else None,
            covariance=covariance,
            groups=groups[rows] if covariance == "cluster" else None,
        )

    same(fitted(np.arange(24)), fitted(np.array(order)), np.array(order))


@pytest.mark.parametrize("name", ["filip", "wampler2", "wampler5", "longley"])
def test_any_order_of_the_rows_of_hard_problems(name):
    nist = nist_data.load(name)
    order = np.random.default_rng(0).permutation(len(nist.y))
    names = [f"x{i}" for i in range(nist.X.shape[1])]
    same(fit_ols(nist.X, nist.y, names), fit_ols(nist.X[order], nist.y[order], names), order)


SCRIPT = """
import hashlib, dataclasses, numpy as np
from imine.regression import fit_ols
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 12)) + rng.normal(size=(600, 1)) + 20.0
y = X[:, 3] - 0.1 * X[:, 7] + rng.normal(size=600)
names = [f"x{i}" for i in range(12)]
hashed = hashlib.sha256()
for kind in ("classical", "HC2"):
    found = fit_ols(X, y, names, covariance=kind)
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        hashed.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    hashed.update(found.predict(X[:50]).std_error.tobytes())
print(hashed.hexdigest())
"""


def test_one_or_two_threads_and_other_processors():
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), str(root / "kernels")])
    older = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F", "threads": "1"}
    command, running = [sys.executable, "-W", "ignore", "-c", SCRIPT], []
    for settings_of_run in ({"threads": "1"}, {"threads": "2"}, older):
        limits = {
            f"{library}_NUM_THREADS": settings_of_run["threads"] for library in ("OPENBLAS", "OMP", "MKL")
        }
        environment = {**os.environ, **limits, **settings_of_run, "PYTHONPATH": path}
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    said = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


def test_memory_layout_and_chunks():
    X, y, w = problem(3)
    names = ["a", "b", "c"]
    one = fit_ols(X, y, names, weights=w)
    wide = np.empty((48, 6))
    wide[::2, ::2] = X
    chunks = pl.concat(
        [pl.DataFrame(X[a:b], schema=names) for a, b in ((0, 5), (5, 6), (6, 24))], rechunk=False
    )
    target = pl.concat([pl.Series("y", y[:9]), pl.Series("y", y[9:])], rechunk=False)
    assert (chunks.n_chunks(), target.n_chunks()) == (3, 2)
    for X_given, y_given in (
        (np.asfortranarray(X), y[::-1].copy()[::-1]),
        (wide[::2, ::2], y.tolist()),
        (chunks, target),
        (X.tolist(), target.to_list()),
    ):
        same(one, fit_ols(X_given, y_given, names, weights=w))


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), intercept=st.booleans(), weighted=st.booleans())
@example(seed=0, intercept=True, weighted=False)
def test_estimates_are_the_nearest_float64(seed, intercept, weighted):
    X, y, w = problem(seed, n=12)
    weights = w if weighted else None
    results = fit_ols(X, y, ["a", "b", "c"], intercept=intercept, weights=weights)
    exact = naive_least_squares.solve(X, y, intercept, weights)
    np.testing.assert_array_equal(results.params, naive_least_squares.nearest(exact.params))
    np.testing.assert_array_equal(results.std_errors, naive_least_squares.nearest(exact.std_errors))
    assert results.sigma == float(naive_least_squares.root(exact.variance))


def test_results_halfway_between_two_float64_round_to_even():
    # Means of two numbers one unit in the last place apart: their exact middle is no float64.
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 2)
    for _ in range(50):
        low = rng.uniform(1, 2, size=3)
        y = np.stack([low, np.nextafter(low, 3)], axis=1).ravel()
        found = fit_ols(np.eye(3)[group], y, list("abc"), intercept=False).params
        expected = [float((Fraction(a) + Fraction(b)) / 2) for a, b in y.reshape(3, 2).tolist()]
        assert found.tolist() == expected


def test_an_effect_of_exactly_zero_is_zero():
    X = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    y = np.array([0.1, 0.3, 0.1, 0.3, 0.7])
    results = fit_ols(X, y, ["none", "some"])
    assert results.params[1] == 0.0
    assert (results.t[1], results.p[1]) == (0.0, 1.0)


@pytest.mark.parametrize("centre", [1e6, 1e9, 1e12])
def test_columns_far_from_zero(centre):
    rng = np.random.default_rng(3)
    X = centre + rng.normal(size=(30, 2)).round(2)
    y = rng.normal(size=30)
    results, exact = fit_ols(X, y, ["a", "b"]), naive_least_squares.solve(X, y)
    np.testing.assert_array_equal(results.params, naive_least_squares.nearest(exact.params))
    np.testing.assert_array_equal(results.std_errors, naive_least_squares.nearest(exact.std_errors))


def test_nearly_dependent_columns():
    rng = np.random.default_rng(3)
    a = rng.normal(size=30)
    for distance in (1e-6, 1e-9, 1e-12):
        X = np.column_stack([a, a + distance * rng.normal(size=30), rng.normal(size=30)])
        y = rng.normal(size=30)
        results, exact = fit_ols(X, y, ["a", "b", "c"]), naive_least_squares.solve(X, y)
        np.testing.assert_array_equal(results.params, naive_least_squares.nearest(exact.params))
        np.testing.assert_array_equal(results.std_errors, naive_least_squares.nearest(exact.std_errors))
        assert results.leverage.sum() == pytest.approx(4, rel=1e-9)


numbers = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_doubled_arithmetic_against_fractions(pairs):
    left, right = (Doubled.of(np.array(v)) for v in zip(*pairs, strict=True))
    third = Doubled.of(np.full(len(pairs), 3.0))
    x, y = left / third, right / third
    for ours, rule in ((x + y, lambda a, b: a + b), (x - y, lambda a, b: a - b), (x * y, lambda a, b: a * b)):
        for i in range(len(pairs)):
            parts = [Fraction(float(v.hi[i])) + Fraction(float(v.lo[i])) for v in (x, y, ours)]
            size = abs(parts[0]) + abs(parts[1]) if rule(2, 3) != 6 else abs(parts[0] * parts[1])
            assert abs(parts[2] - rule(parts[0], parts[1])) <= size * Fraction(2) ** -102
    squares = x * x
    roots = squares.sqrt()
    for i in range(len(pairs)):
        found = Fraction(float(roots.hi[i])) + Fraction(float(roots.lo[i]))
        wanted = abs(Fraction(float(x.hi[i])) + Fraction(float(x.lo[i])))
        assert abs(found - wanted) <= wanted * Fraction(2) ** -98


@pytest.mark.parametrize(("n", "p", "q"), [(1, 1, 1), (7, 3, 4), (5, 300, 2), (300, 11, 12)])
def test_sliced_products_against_fractions(n, p, q):
    rng = np.random.default_rng(n)

    def random(*shape: int) -> Doubled:
        hi = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, size=shape)
        return Doubled(hi, hi * rng.uniform(-1, 1, size=shape) * 2.0**-54)

    left, right = random(n, p), random(p, q)
    found = SlicedMatrix.of(left) @ right
    for i, j in {(0, 0), (n - 1, q - 1), (n // 2, q // 2)}:
        whole = sum(
            (Fraction(float(left.hi[i, k])) + Fraction(float(left.lo[i, k])))
            * (Fraction(float(right.hi[k, j])) + Fraction(float(right.lo[k, j])))
            for k in range(p)
        )
        size = np.abs(left.hi[i]).max() * np.abs(right.hi[:, j]).max() * p
        error = abs(Fraction(float(found.hi[i, j])) + Fraction(float(found.lo[i, j])) - whole)
        assert error <= Fraction(float(size)) * Fraction(2) ** -102


@given(st.integers(1, 2**80), st.integers(1, 2**80))
def test_roots_of_fractions_are_correctly_rounded(numerator, denominator):
    value = Fraction(numerator, denominator)
    assert rounded_sqrt(value) == float(naive_least_squares.root(value))
    assert rounded_sqrt(value * value) == float(value)


def test_sums_do_not_depend_on_their_order():
    values = np.array([1e16, 1.0, -1e16, 2.0**-60, 3e-5])
    one, other = total(Doubled.of(values)), total(Doubled.of(values[::-1]))
    assert (one.hi, one.lo) == (other.hi, other.lo)
    assert Fraction(float(one.hi)) + Fraction(float(one.lo)) == sum(map(Fraction, values.tolist()))


def test_doubt_is_seen():
    halfway = doubled([1 + Fraction(1, 2**53), Fraction(0), 1 + Fraction(1, 2**54)])
    assert certainly_rounded(halfway, 1e-30).tolist() == [False, False, True]
