import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imine.errors import RegressionError
from imine.regression import fit_ols
from imine.regression.bootstrap import bootstrap_choice
from imine.regression.bootstrap.draws import draw_block
from imine.regression.bootstrap.engine import has_kernel, refit
from imine.regression.choosing import ChoiceSettings, choose_terms
from imine.regression.choosing.problem import make_problem

_spec = importlib.util.spec_from_file_location(
    "naive_choosing", Path(__file__).resolve().parent / "naive_choosing.py"
)
assert _spec is not None
assert _spec.loader is not None
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)


def _data(seed: int = 0, n: int = 60, k: int = 7) -> tuple[np.ndarray, np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    X = 0.7 * draw.normal(size=(n, 1)) + 0.7 * draw.normal(size=(n, k))
    X = X * np.resize([1.0, 100.0, 0.01], k) + np.resize([0.0, 400.0, 5.0], k)
    y = 3.0 + X @ np.resize([0.5, 0.0, 20.0, 0.0, 0.002], k) + draw.normal(size=n)
    return X, y, [f"c{j}" for j in range(k)]


KERNEL = [
    ChoiceSettings(method, criterion, start=start)
    for method, criterion, start in itertools.product(
        ("forward", "backward", "both"), ("p", "aic", "aicc", "bic", "adjusted_r2"), ("null", "full")
    )
    if method == "both" or start == "null"
]
KERNEL += [
    ChoiceSettings("paper"),
    ChoiceSettings("paper", forced_in=("c3",), forced_out=("c2",)),
    ChoiceSettings("both", "aic", forced_in=("c5", "c3"), forced_out=("c0",)),
    ChoiceSettings("forward", "adjusted_r2", max_terms=2),
    ChoiceSettings("backward", "bic", max_terms=2, forced_in=("c6",)),
    ChoiceSettings("both", "p", max_terms=3, start="full", p_enter=0.3, p_remove=0.4),
]


def _compare(
    X: np.ndarray, y: np.ndarray, names: list[str], settings: ChoiceSettings, repeats: int = 25
) -> Any:
    """The kernel's refits, after comparing them to choosing in each resample by itself."""
    problem = make_problem(X, y, names)
    rows = draw_block(1, 0, len(y))[:repeats]
    assert has_kernel(settings)
    fast = refit(problem, settings, rows, problem.y[rows], kernel=True)
    slow = refit(problem, settings, rows, problem.y[rows], kernel=False)
    np.testing.assert_array_equal(fast.chosen, slow.chosen)
    np.testing.assert_array_equal(fast.dependent, slow.dependent)
    np.testing.assert_array_equal(fast.exact, slow.exact)
    return fast, slow


@pytest.mark.parametrize("settings", KERNEL, ids=lambda s: f"{s.method}-{s.criterion}-{s.start}")
def test_the_kernel_chooses_and_fits_what_the_plain_engine_does(settings: ChoiceSettings) -> None:
    X, y, names = _data()
    fast, slow = _compare(X, y, names, settings)
    np.testing.assert_allclose(fast.coefficients, slow.coefficients, rtol=1e-9, atol=1e-12)
    assert len({tuple(row) for row in fast.chosen}) > 1, "the resamples should differ in what they choose"


@pytest.mark.parametrize("method", ["forward", "backward", "both", "paper"])
def test_the_kernel_agrees_where_columns_nearly_depend_on_each_other(method: Any) -> None:
    X, y, names = _data()
    draw = np.random.default_rng(5)
    X[:, 4] = X[:, 0] + 1e-5 * draw.normal(size=len(y))
    X[:, 6] = 1e6 + X[:, 3]
    fast, slow = _compare(X, y, names, ChoiceSettings(method))
    # Nearly dependent columns magnify rounding by their condition number, here about 1e5.
    np.testing.assert_allclose(fast.coefficients, slow.coefficients, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["forward", "backward", "both", "paper"])
def test_the_kernel_agrees_where_resamples_lose_rank(method: Any) -> None:
    X, y, names = _data(n=12)
    X[:, 5] = X[:, 0]
    X[:, 6] = [1.0, 2.0] + [0.0] * 10
    fast, slow = _compare(X, y, names, ChoiceSettings(method), repeats=50)
    assert fast.dependent[:, 5].all()
    assert 0 < fast.dependent[:, 6].sum() < 50
    np.testing.assert_allclose(fast.coefficients, slow.coefficients, rtol=1e-7, atol=1e-9)


def test_a_repeat_is_the_choice_on_its_resample() -> None:
    X, y, names = _data()
    settings = ChoiceSettings("both", "aic")
    bootstrap = bootstrap_choice(X, y, names, settings, repeats=60, seed=7, threads=1)
    order = make_problem(X, y, names).order
    for b in (0, 1, 49, 50, 59):
        rows = order[draw_block(7, b // 50, len(y))[b % 50]]
        choice = choose_terms(X[rows], y[rows], names, settings)
        expected = np.zeros(8)
        expected[[0, *(c + 1 for c in choice.columns)]] = choice.results.params
        np.testing.assert_allclose(bootstrap.coefficients[b], expected, rtol=1e-9, atol=1e-12)
        assert tuple(np.flatnonzero(bootstrap.chosen[b])) == choice.columns
    run = order[4]
    without = choose_terms(np.delete(X, run, axis=0), np.delete(y, run), names, settings)
    expected = np.zeros(8)
    expected[[0, *(c + 1 for c in without.columns)]] = without.results.params
    np.testing.assert_allclose(bootstrap.jackknife[4], expected, rtol=1e-9, atol=1e-12)


def test_residuals_are_added_to_the_fit_of_all_candidates() -> None:
    X, y, names = _data()
    settings = ChoiceSettings("forward", "bic")
    bootstrap = bootstrap_choice(X, y, names, settings, kind="residuals", repeats=10, seed=3, threads=1)
    order = make_problem(X, y, names).order
    whole = fit_ols(X, y, names)
    scaled = whole.residuals / np.sqrt(1.0 - whole.leverage)
    scaled = (scaled - scaled.mean())[order]
    for b in range(10):
        response = whole.fitted[order] + scaled[draw_block(3, 0, len(y))[b]]
        choice = choose_terms(X[order], response, names, settings)
        expected = np.zeros(8)
        expected[[0, *(c + 1 for c in choice.columns)]] = choice.results.params
        np.testing.assert_allclose(bootstrap.coefficients[b], expected, rtol=1e-8, atol=1e-10)


def test_threads_and_the_order_of_the_runs_change_no_bit_and_more_repeats_only_add() -> None:
    X, y, names = _data()
    one = bootstrap_choice(X, y, names, repeats=330, seed=5, threads=1)
    for threads in (2, 5):
        other = bootstrap_choice(X, y, names, repeats=330, seed=5, threads=threads)
        np.testing.assert_array_equal(one.coefficients, other.coefficients)
    turned = bootstrap_choice(X[::-1], y[::-1], names, repeats=330, seed=5, threads=2)
    np.testing.assert_array_equal(one.coefficients, turned.coefficients)
    assert one.summary() == turned.summary()
    fewer = bootstrap_choice(X, y, names, repeats=77, seed=5, threads=2)
    np.testing.assert_array_equal(one.coefficients[:77], fewer.coefficients)
    another = bootstrap_choice(X, y, names, repeats=77, seed=6)
    assert not np.array_equal(fewer.coefficients, another.coefficients)


def test_intervals_are_those_of_their_formulas() -> None:
    X, y, names = _data()
    bootstrap = bootstrap_choice(X, y, names, repeats=999, seed=2)
    for level in (0.9, 0.95):
        bca, percentile = bootstrap.bca(level), bootstrap.percentile(level)
        conditional = bootstrap.conditional_percentile(level)
        for j in range(8):
            draws, estimate = bootstrap.coefficients[:, j], bootstrap.estimates[j]
            np.testing.assert_allclose(
                bca[j], naive.bca(draws, estimate, bootstrap.jackknife[:, j], level), rtol=1e-9, atol=1e-12
            )
            tail = round(1000 * (1 - level) / 2)
            ordered = np.sort(draws)
            np.testing.assert_allclose(
                percentile[j], [ordered[tail - 1], ordered[1000 - tail - 1]], rtol=1e-12
            )
            there = draws if j == 0 else draws[bootstrap.chosen[:, j - 1]]
            ends = np.quantile(there, [(1 - level) / 2, (1 + level) / 2], method="weibull")
            np.testing.assert_allclose(conditional[j], ends, rtol=1e-12)


def test_without_a_choice_the_percentile_interval_is_near_the_normal_one() -> None:
    X, y, names = _data(n=200, k=3)
    settings = ChoiceSettings(forced_in=tuple(names))
    bootstrap = bootstrap_choice(X, y, names, settings, repeats=2000, kind="residuals")
    whole = fit_ols(X, y, names)
    assert len(bootstrap.models) == 1
    for got in (bootstrap.percentile(), bootstrap.bca()):
        # Two thousand repeats know an end of the interval to about a tenth of a standard error.
        away = (got - whole.conf_int()) / whole.std_errors[:, None]
        assert np.abs(away).max() < 0.3


def test_frequencies_signs_and_models_are_counts_of_the_repeats() -> None:
    X, y, names = _data()
    bootstrap = bootstrap_choice(X, y, names, repeats=400, seed=1)
    np.testing.assert_array_equal(bootstrap.chosen, bootstrap.coefficients[:, 1:] != 0)
    np.testing.assert_allclose(bootstrap.frequency, (bootstrap.coefficients[:, 1:] != 0).mean(axis=0))
    for j, share in enumerate(bootstrap.sign_stability):
        there = bootstrap.coefficients[bootstrap.chosen[:, j], j + 1]
        assert share == pytest.approx(max((there > 0).mean(), (there < 0).mean()))
    assert sum(model.count for model in bootstrap.models) == 400
    counts = [model.count for model in bootstrap.models]
    assert counts == sorted(counts, reverse=True)
    first = bootstrap.models[0]
    rows = [
        tuple(name for name, chosen in zip(names, row, strict=True) if chosen) for row in bootstrap.chosen
    ]
    assert rows.count(first.terms) == first.count


def test_methods_without_a_kernel_are_repeated_one_by_one() -> None:
    X, y, names = _data(n=30, k=4)
    for settings in (
        ChoiceSettings("best", "bic"),
        ChoiceSettings("forward", "cv"),
        ChoiceSettings("paper", max_terms=2),
    ):
        bootstrap = bootstrap_choice(X, y, names, settings, repeats=20, seed=4, threads=2)
        assert not bootstrap.compiled
        order = make_problem(X, y, names).order
        rows = order[draw_block(4, 0, len(y))[11]]
        choice = choose_terms(X[rows], y[rows], names, settings)
        assert tuple(np.flatnonzero(bootstrap.chosen[11])) == choice.columns
        assert bootstrap.coefficients[11][1:][list(choice.columns)] == pytest.approx(
            choice.results.params[1:]
        )


def test_lost_rank_and_failures_are_counted_and_told() -> None:
    X, y, names = _data(n=12, k=4)
    X[:, 3] = [1.0, 2.0] + [0.0] * 10
    bootstrap = bootstrap_choice(X, y, names, repeats=300, seed=0)
    constant = [int((X[rows, 3] == X[rows[0], 3]).all()) for rows in _rows(X, y, names, 300)]
    assert bootstrap.dependent[3] >= sum(constant) > 0
    assert f"c3 in {bootstrap.dependent[3]} repeats" in bootstrap.summary()
    assert bootstrap.failed == 0
    settings = ChoiceSettings("forward", "cv", forced_in=("c3",))
    bootstrap = bootstrap_choice(X, y, names, settings, repeats=100, seed=0)
    values = [X[rows, 3] for rows in _rows(X, y, names, 100)]
    # Forced in, the term needs two runs of values that no single run alone brings.
    hopeless = [min(np.sum(v != other) for other in v) < 2 for v in values]
    assert 0 < sum(hopeless) < 100
    np.testing.assert_array_equal(~bootstrap.usable, hopeless)
    assert bootstrap.failed == sum(hopeless)
    assert f"no model could be chosen: {sum(hopeless)} repeats" in bootstrap.summary()
    with pytest.raises(RegressionError, match="leaves some of the 12 runs no residual"):
        bootstrap_choice(np.eye(12)[:, :11], y, [f"c{j}" for j in range(11)], repeats=5, kind="residuals")


def _rows(X: np.ndarray, y: np.ndarray, names: list[str], repeats: int) -> list[np.ndarray]:
    order = make_problem(X, y, names).order
    return [order[row] for block in range(-(-repeats // 50)) for row in draw_block(0, block, len(y))][
        :repeats
    ]


def test_the_summary_shows_every_coefficient_and_the_commonest_models() -> None:
    X, y, names = _data()
    bootstrap = bootstrap_choice(X, y, names, repeats=200, seed=1, level=0.9)
    lines = bootstrap.summary().splitlines()
    assert lines[0].startswith(
        "200 repeats of the choice on resampled cases, seed 1; a coefficient is 0 where"
    )
    assert "90 % percentile" in lines[1]
    assert [line.split()[0] for line in lines[2:10]] == ["intercept", *names]
    assert lines[10] == f"{len(bootstrap.models)} different models; the commonest:"
    assert f"{bootstrap.models[0].count / 2:.1f} %" in lines[11]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"kind": "pairs"}, "kind must be 'cases' or 'residuals'; got 'pairs'"),
        ({"seed": -1}, "seed must not be negative"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
    ],
)
def test_arguments_out_of_their_range(arguments: dict[str, Any], message: str) -> None:
    X, y, names = _data(n=20, k=2)
    with pytest.raises(ValueError, match=message):
        bootstrap_choice(X, y, names, **arguments)


def test_levels_out_of_their_range() -> None:
    X, y, names = _data(n=20, k=2)
    bootstrap = bootstrap_choice(X, y, names, repeats=20)
    for interval in (bootstrap.percentile, bootstrap.bca, bootstrap.conditional_percentile):
        with pytest.raises(ValueError, match="level must lie between 0 and 1; got 0"):
            interval(0.0)
