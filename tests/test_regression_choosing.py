import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.errors import RegressionError
from imine.regression import fit_ols
from imine.regression.choosing import ChoiceSettings, choose_terms, choosing_procedure, univariate
from imine.regression.choosing.linear import fold_splits
from imine.regression.choosing.problem import make_problem

_spec = importlib.util.spec_from_file_location(
    "naive_choosing", Path(__file__).resolve().parent / "naive_choosing.py"
)
assert _spec is not None
assert _spec.loader is not None
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)


def _data(seed: int, n: int = 40, k: int = 6) -> tuple[np.ndarray, np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    X = 0.6 * draw.normal(size=(n, 1)) + draw.normal(size=(n, k))
    X = X * np.resize([1.0, 100.0, 0.01], k) + np.resize([0.0, 400.0, 5.0], k)
    y = X @ np.resize([0.5, 0.0, 20.0, 0.0, 0.006], k) + draw.normal(size=n)
    return X, y, [f"c{j}" for j in range(k)]


METHODS: list[tuple[dict[str, Any], bool, bool]] = [
    ({"method": "forward"}, True, False),
    ({"method": "backward"}, False, True),
    ({"method": "both", "start": "null"}, True, True),
    ({"method": "both", "start": "full"}, True, True),
]


@pytest.mark.parametrize("name", ["aic", "aicc", "bic", "adjusted_r2", "cv"])
@pytest.mark.parametrize(("method", "adds", "removes"), METHODS)
def test_paths_are_those_of_a_plain_loop(
    name: Any, method: dict[str, Any], adds: bool, removes: bool
) -> None:
    X, y, names = _data(3)
    choice = choose_terms(X, y, names, ChoiceSettings(criterion=name, **method))
    start = range(6) if choice.settings.starts_full else ()
    path, columns = naive.stepwise(naive.criterion(X, y, name), range(6), start, adds, removes)
    assert choice.trace.path == path
    assert choice.columns == columns
    assert choice.terms == tuple(names[c] for c in columns)
    assert path, "the example should need at least one step"


@pytest.mark.parametrize(("method", "adds", "removes"), METHODS)
@pytest.mark.parametrize("seed", [3, 4, 5])
def test_paths_by_p_are_those_of_a_plain_loop(
    seed: int, method: dict[str, Any], adds: bool, removes: bool
) -> None:
    X, y, names = _data(seed)
    choice = choose_terms(X, y, names, ChoiceSettings(criterion="p", p_enter=0.2, p_remove=0.25, **method))
    start = range(6) if choice.settings.starts_full else ()
    path, columns = naive.stepwise_by_p(X, y, start, 0.2, 0.25, adds, removes)
    assert (choice.trace.path, choice.columns) == (path, columns)


@pytest.mark.parametrize("name", ["aic", "aicc", "bic", "adjusted_r2", "p"])
def test_every_candidate_of_the_trace_has_the_numbers_of_its_fit(name: Any) -> None:
    X, y, names = _data(6)
    choice = choose_terms(X, y, names, ChoiceSettings("both", name))
    seen = 0
    for step in choice.trace.steps:
        for row in step.candidates:
            terms = {*step.terms, row.term} - {""} if row.action != "remove" else {*step.terms} - {row.term}
            columns = sorted(names.index(term) for term in terms)
            fit = fit_ols(X[:, columns], y, [names[c] for c in columns])
            assert row.rss == pytest.approx(float(fit.residuals @ fit.residuals), rel=1e-9)
            if name != "p":
                assert row.value == pytest.approx(getattr(fit, name), rel=1e-9)
            if row.action == "add":
                assert row.p == pytest.approx(
                    float(fit.p[1 + columns.index(names.index(row.term))]), rel=1e-7
                )
                seen += 1
    assert seen >= 6


@pytest.mark.parametrize("name", ["aic", "aicc", "bic", "adjusted_r2", "cv"])
def test_best_subset_is_the_best_of_all(name: Any) -> None:
    X, y, names = _data(7)
    value = naive.criterion(X, y, name)
    choice = choose_terms(X, y, names, ChoiceSettings("best", name))
    assert choice.columns == naive.best_subset(value, range(6))
    table = choice.trace.subsets
    assert table is not None
    assert table.evaluated == 64
    sign = -1.0 if name == "adjusted_r2" else 1.0
    per = len(y) if name == "cv" else 1
    for columns in ((), (0,), (1, 4), (0, 2, 3, 5), tuple(range(6))):
        shown = table.value([names[c] for c in columns])
        assert shown == pytest.approx(sign * value(columns) / per, rel=1e-9)


def test_best_subset_by_folds_is_the_best_of_all_and_forward_agrees_on_the_error() -> None:
    X, y, names = _data(8)
    settings = ChoiceSettings("best", "cv", folds=5, fold_seed=2)
    problem = make_problem(X, y, names)
    tests = [problem.order[test] for _, test in fold_splits(len(y), settings)]
    choice = choose_terms(X, y, names, settings)
    value = lambda columns: naive.fold_errors(X, y, columns, tests)  # noqa: E731
    assert choice.columns == naive.best_subset(value, range(6))
    assert choice.trace.subsets is not None
    assert choice.trace.subsets.value(["c1", "c4"]) == pytest.approx(value((1, 4)), rel=1e-9)
    forward = choose_terms(X, y, names, ChoiceSettings("forward", "cv", folds=5, fold_seed=2))
    row = next(row for row in forward.trace.steps[0].candidates if row.term == "c2")
    assert row.value == pytest.approx(value((2,)), rel=1e-9)


def test_best_subset_with_forced_terms_and_a_largest_number() -> None:
    X, y, names = _data(9)
    settings = ChoiceSettings("best", "aic", forced_in=("c3",), forced_out=("c0",), max_terms=3)
    choice = choose_terms(X, y, names, settings)
    value = naive.criterion(X, y, "aic")
    subsets = [(3,), *((3, a) for a in (1, 2, 4, 5))]
    subsets += [(3, a, b) for a in (1, 2, 4, 5) for b in (1, 2, 4, 5) if a < b]
    assert choice.columns == tuple(sorted(min(subsets, key=value)))
    table = choice.trace.subsets
    assert table is not None
    assert table.evaluated == len(subsets)
    assert math.isnan(table.value(["c1", "c2", "c4"]))
    with pytest.raises(ValueError, match="must be among c1, c2, c4, c5; got c0"):
        table.value(["c0"])
    rows = table.table().splitlines()
    assert rows[0] == "11 subsets; the best of each size:"
    assert [row.split()[0] for row in rows[2:]] == ["1", "2", "3"]


def test_best_subset_of_fifteen_agrees_with_single_fits_on_ill_conditioned_columns() -> None:
    draw = np.random.default_rng(1)
    X = draw.normal(size=(60, 15))
    X[:, 14] = X[:, 0] + 1e-5 * draw.normal(size=60)
    y = X[:, :3].sum(axis=1) + draw.normal(size=60)
    names = [f"c{j}" for j in range(15)]
    table = choose_terms(X, y, names, ChoiceSettings("best", "bic")).trace.subsets
    assert table is not None
    assert table.evaluated == 2**15
    for index in [*draw.integers(0, 2**15, size=20).tolist(), 2**15 - 1, 1 + (1 << 14)]:
        terms = table.terms(index)
        columns = [names.index(term) for term in terms]
        fit = fit_ols(X[:, columns], y, terms)
        assert table.value(terms) == pytest.approx(fit.bic, rel=1e-8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(["forward", "backward", "both", "best", "paper"]))
def test_the_order_of_the_runs_changes_nothing(seed: int, method: Any) -> None:
    X, y, names = _data(seed % 7, n=25, k=5)
    X[:, 4] = X[:, 0]
    order = np.random.default_rng(seed).permutation(len(y))
    one = choose_terms(X, y, names, ChoiceSettings(method))
    other = choose_terms(X[order], y[order], names, ChoiceSettings(method))
    assert one.table() == other.table()
    assert one.columns == other.columns


def test_of_equal_candidates_the_first_is_taken_and_the_other_named() -> None:
    X, y, names = _data(2)
    X[:, 4] = 3.0 * X[:, 2] + 1.0
    for order, taken, left in (([0, 1, 2, 3, 4, 5], "c2", "c4"), ([0, 1, 4, 3, 2, 5], "c4", "c2")):
        choice = choose_terms(X[:, order], y, [names[c] for c in order], ChoiceSettings(p_enter=0.5))
        assert taken in choice.terms
        skipped = {row.term: row.skipped for row in choice.trace.steps[-1].candidates if row.skipped}
        assert skipped == {left: f"{left} is determined by {taken}"}
        assert f"skipped: {left} is determined by {taken}" in choice.table()


def test_backward_takes_out_dependent_terms_first_the_last_one_of_each_set() -> None:
    X, y, names = _data(2)
    X[:, 3] = X[:, 0] - 2 * X[:, 1]
    X[:, 5] = 7.0
    choice = choose_terms(X, y, names, ChoiceSettings("backward"))
    first, second = choice.trace.steps[:2]
    assert (first.action, first.term, first.why) == ("remove", "c5", "c5 is constant")
    assert (second.action, second.term, second.why) == ("remove", "c3", "c3 is determined by c0, c1")
    assert set(choice.terms) <= {"c0", "c1", "c2", "c4"}
    table = choose_terms(X, y, names, ChoiceSettings("best")).trace.subsets
    assert table is not None
    assert math.isnan(table.value(["c5"]))
    assert math.isnan(table.value(["c0", "c1", "c3"]))
    assert math.isfinite(table.value(["c0", "c3"]))


def test_forced_terms_stay_and_forced_out_terms_never_come() -> None:
    X, y, names = _data(3)
    for method in ("forward", "backward", "both", "paper"):
        settings = ChoiceSettings(method, forced_in=("c3",), forced_out=("c0",))  # type: ignore[arg-type]
        choice = choose_terms(X, y, names, settings)
        assert "c3" in choice.terms
        assert all(row.term != "c0" for step in choice.trace.steps for row in step.candidates)
        assert all(
            row.term != "c3" or row.action == "keep" for s in choice.trace.steps for row in s.candidates
        )


def test_the_largest_number_of_terms_holds() -> None:
    X, y, names = _data(3)
    assert len(choose_terms(X, y, names, ChoiceSettings(criterion="adjusted_r2")).terms) > 2
    for method in ("forward", "backward", "both", "best", "paper"):
        criterion = "p" if method == "paper" else "adjusted_r2"
        choice = choose_terms(X, y, names, ChoiceSettings(method, criterion, max_terms=2, p_enter=0.9))  # type: ignore[arg-type]
        assert len(choice.terms) <= 2
    forward = choose_terms(X, y, names, ChoiceSettings(max_terms=2))
    assert forward.trace.why == "max_terms 2 is reached"
    backward = choose_terms(X, y, names, ChoiceSettings("backward", max_terms=2))
    assert "more than 2 terms" in " ".join(step.why for step in backward.trace.steps)


def test_an_exact_fit_ends_the_choice() -> None:
    X, _, names = _data(3)
    y = 2.0 + 3.0 * X[:, 0] - X[:, 3]
    choice = choose_terms(X, y, names, ChoiceSettings("forward"))
    assert set(choice.terms) == {"c0", "c3"}
    assert choice.trace.why == "the model fits without any residual: nothing is left to explain"
    best = choose_terms(X, y, names, ChoiceSettings("best"))
    assert best.terms == ("c0", "c3")


def test_the_paper_keeps_the_significant_terms_of_the_whole_model() -> None:
    X, y, names = _data(5)
    whole = fit_ols(X, y, names)
    kept = tuple(name for name, p in zip(names, whole.p[1:], strict=True) if p < 0.05)
    assert 0 < len(kept) < 6
    choice = choose_terms(X, y, names, ChoiceSettings("paper"))
    assert choice.terms == kept
    listed, refit = choice.trace.steps
    np.testing.assert_allclose([row.p for row in listed.candidates], whole.p[1:], rtol=1e-8)
    np.testing.assert_allclose([row.p for row in refit.candidates], choice.results.p[1:], rtol=1e-8)


def test_the_paper_with_a_largest_number_takes_the_highest_r2_of_that_size() -> None:
    X, y, names = _data(5)
    choice = choose_terms(X, y, names, ChoiceSettings("paper", max_terms=3, p_enter=0.999))
    trios = [(a, b, c) for a in range(6) for b in range(a) for c in range(b)]
    r2 = lambda columns: fit_ols(X[:, sorted(columns)], y, ["a", "b", "c"]).r2  # noqa: E731
    assert choice.columns == tuple(sorted(max(trios, key=r2)))


def test_the_procedure_gives_the_columns() -> None:
    X, y, names = _data(5)
    settings = ChoiceSettings("both", "bic")
    assert choosing_procedure(names, settings)(X, y) == choose_terms(X, y, names, settings).columns


def test_no_term_at_all_is_a_choice() -> None:
    X, _, _ = _data(3)
    y = np.resize([1.0, -1.0], len(X))
    choice = choose_terms(X[:, :1], y, ["a"], ChoiceSettings(criterion="bic"))
    assert choice.terms == ()
    assert choice.results.names == ("intercept",)
    assert choice.table().endswith("chosen: no terms")


def test_the_listing_of_single_fits() -> None:
    from statsmodels.stats.multitest import multipletests

    X, y, names = _data(3)
    X[:, 5] = 2.0
    listing = univariate(X, y, names)
    p = []
    for column, fit in enumerate(listing.fits[:5]):
        alone = fit_ols(X[:, [column]], y, ["x"])
        assert (fit.coefficient, fit.p, fit.r2) == (alone.params[1], alone.p[1], alone.r2)
        p.append(fit.p)
    holm = multipletests(p, method="holm")[1]
    np.testing.assert_allclose([fit.p_holm for fit in listing.fits[:5]], holm, rtol=1e-12)
    assert listing.fits[5].skipped == "c5 is constant"
    rows = listing.table().splitlines()
    ordered = sorted(listing.fits[:5], key=lambda fit: -fit.r2)
    assert [row.split()[0] for row in rows[1:6]] == [fit.name for fit in ordered]
    assert rows[6] == "c5         skipped: c5 is constant"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "stepwise"},
            "method must be one of forward, backward, both, best, paper; got 'stepwise'",
        ),
        ({"criterion": "r2"}, "criterion must be one of p, aic"),
        ({"start": "middle"}, "start must be one of null, full"),
        ({"method": "paper", "criterion": "aic"}, "goes by p-values alone"),
        ({"method": "best", "criterion": "p"}, "compares whole models"),
        ({"p_enter": 0.0}, "p_enter must lie between 0 and 1"),
        ({"p_remove": 1.0}, "p_remove must lie between 0 and 1"),
        ({"method": "both", "criterion": "p", "p_enter": 0.2}, "p_remove must not be below p_enter"),
        ({"max_terms": -1}, "max_terms must not be negative"),
        ({"max_terms": 1, "forced_in": ("a", "b")}, "must leave room for the forced terms"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"tolerance": 0.0}, "tolerance must lie between 0 and 1"),
        ({"forced_in": ("a",), "forced_out": ("a", "b")}, "forced in and forced out at once: a"),
    ],
)
def test_settings_that_are_not_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChoiceSettings(**arguments)


def test_a_single_string_is_not_a_list_of_names() -> None:
    with pytest.raises(TypeError, match="forced_in must be a sequence of names"):
        ChoiceSettings(forced_in="ab")  # type: ignore[arg-type]


def test_data_that_cannot_be_chosen_from() -> None:
    X, y, names = _data(3)
    with pytest.raises(ValueError, match="X must have shape"):
        choose_terms(X, y[:-1], names)
    with pytest.raises(ValueError, match="names must name each of the 6 columns of X, once"):
        choose_terms(X, y, ["a"] * 6)
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(RegressionError, match="run 3, column 'c1'"):
        choose_terms(bad, y, names)
    with pytest.raises(RegressionError, match=r"not among the candidates: d\. The candidates are: c0"):
        choose_terms(X, y, names, ChoiceSettings(forced_in=("d",)))
    with pytest.raises(RegressionError, match="2 runs are too few"):
        choose_terms(X[:2], y[:2], names)
    with pytest.raises(RegressionError, match="7 runs are too few to start from 6 terms: at least 8"):
        choose_terms(X[:7], y[:7], names, ChoiceSettings("backward"))
    with pytest.raises(RegressionError, match="41 folds are too many for 40 runs"):
        choose_terms(X, y, names, ChoiceSettings(criterion="cv", folds=41))
    X[:, 1] = X[:, 0]
    for method in ("forward", "best"):
        with pytest.raises(RegressionError, match="forced in"):
            choose_terms(X, y, names, ChoiceSettings(method, forced_in=("c0", "c1")))  # type: ignore[arg-type]
    wide = np.random.default_rng(0).normal(size=(60, 21))
    with pytest.raises(RegressionError, match="21 candidates are too many to try every subset: at most 20"):
        choose_terms(wide, wide[:, 0], [f"c{j}" for j in range(21)], ChoiceSettings("best"))


def test_forward_goes_on_with_more_candidates_than_runs_until_no_freedom_is_left() -> None:
    draw = np.random.default_rng(3)
    X, y = draw.normal(size=(8, 12)), draw.normal(size=8)
    names = [f"c{j}" for j in range(12)]
    choice = choose_terms(X, y, names, ChoiceSettings(criterion="p", p_enter=0.999))
    assert len(choice.terms) == 6
    last = choice.trace.steps[-1].candidates
    assert all("leave no degree of freedom" in row.skipped for row in last if row.action == "add")
    aicc = choose_terms(X, y, names, ChoiceSettings(criterion="aicc"))
    assert math.isfinite(aicc.results.aicc)
