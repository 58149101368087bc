"""Tests of what a regression assumes of its errors and its form."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imine.regression.doubled import Array
from imine.regression.durbin_watson import durbin_watson, durbin_watson_p
from imine.regression.factoring import pivoted_qr
from imine.regression.results import OlsResults
from imine.rendering import format_p

# Columns of which less than this is left beside the others add no degree of freedom to an auxiliary regression.
_DEPENDENT = 1e-9


@dataclass(frozen=True, slots=True)
class Check:
    """One test of an assumption.

    Attributes:
        name: of the test.
        statistic: its value, or nothing where the test is not defined.
        df: degrees of freedom: one number for chi squared, two for F, none otherwise.
        p: p-value, or nothing where the test is not defined.
        meaning: what it says of this fit; where the test is not defined, why.
    """

    name: str
    statistic: float | None
    df: tuple[int, ...]
    p: float | None
    meaning: str

    @property
    def defined(self) -> bool:
        """Whether the test could be made."""
        return self.statistic is not None


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fit with its data, all times the roots of the weights where it is weighted.

    Under the fit's assumptions the errors of these rows have one variance.

    Attributes:
        terms: columns of the terms as given, shape (runs, k), not weighted.
        columns: all columns of the regression, the constant included, shape (runs, p).
        residuals, fitted, y: shape (runs,); roots: of the weights, shape (runs,).
        intercept: whether a constant was fitted.
        alpha: p-value under which a test is said to find something.
    """

    terms: Array
    columns: Array
    residuals: Array
    fitted: Array
    y: Array
    roots: Array
    intercept: bool
    alpha: float

    @classmethod
    def of(cls, results: OlsResults, X: Array, y: Array, alpha: float) -> Fitted:
        """The rows of a fit."""
        roots = np.sqrt(results.weights / results.weights.max())
        columns = np.column_stack([np.ones(len(X)), X]) if results.intercept else X
        return cls(
            terms=X,
            columns=columns * roots[:, None],
            residuals=results.residuals * roots,
            fitted=results.fitted * roots,
            y=y * roots,
            roots=roots,
            intercept=results.intercept,
            alpha=alpha,
        )

    @property
    def df_resid(self) -> int:
        """Runs less parameters."""
        return self.columns.shape[0] - self.columns.shape[1]


def breusch_pagan(fit: Fitted) -> Check:
    """Whether the errors' variance changes with the terms, as Koenker's studentised ``n R2``.

    The squared residuals are regressed on the terms and a constant.

    Args:
        fit: the rows of a fit.

    References:
        Breusch, Pagan (1979), Econometrica 47, 1287-1294; Koenker (1981), J. Econometrics 17, 107-112.
    """
    return _variance_test("Breusch-Pagan", fit, [fit.terms], "the terms")


def white(fit: Fitted) -> Check:
    """Whether the errors' variance changes with the terms, their squares and products.

    Args:
        fit: the rows of a fit.

    References:
        White (1980), Econometrica 48, 817-838.
    """
    # The span of all products is the same about any centre, and better determined about the mean.
    spread = _standardised(fit.terms)
    k = spread.shape[1]
    products = [spread[:, i] * spread[:, j] for i, j in itertools.combinations_with_replacement(range(k), 2)]
    return _variance_test(
        "White", fit, [spread, *(p[:, None] for p in products)], "the terms, their squares and products"
    )


def _variance_test(name: str, fit: Fitted, parts: Sequence[Array], of: str) -> Check:
    from scipy.stats import chi2

    if fit.terms.shape[1] == 0:
        return _undefined(name, "the fit has no terms for the variance to change with")
    if not np.any(fit.residuals):
        return _undefined(name, "the fit is exact: there are no errors to look at")
    basis = _basis(_standardised(np.column_stack(parts)), constant=True)
    df, n, given = basis.shape[1] - 1, len(fit.residuals), sum(part.shape[1] for part in parts)
    if df < 1:
        return _undefined(name, "no term varies")
    if n <= df + 1:
        return _undefined(
            name,
            f"{n} runs are too few for {of} ({given} columns and a constant): up to {given + 2} are needed",
        )
    squares = fit.residuals**2 / np.mean(fit.residuals**2)
    change = squares - squares.mean()
    # Rounding alone gives residuals of one size some spread; nothing is said of it.
    if np.max(np.abs(change)) <= 1e-12:
        return _undefined(name, "all residuals are of one size")
    statistic = n * float(np.sum((basis.T @ change) ** 2) / np.sum(change**2))
    p = float(chi2.sf(statistic, df))
    found = (
        f"The errors vary more for some values of {of}: the classical standard errors are wrong, "
        "use covariance='HC3', or weights."
    )
    return Check(name, statistic, (df,), p, _say(p, fit, found, f"No sign that the errors vary with {of}."))


def jarque_bera(fit: Fitted) -> Check:
    """Whether the residuals are as skewed and as peaked as normal errors would be.

    Args:
        fit: the rows of a fit.

    References:
        Jarque, Bera (1980), Economics Letters 6, 255-259.
    """
    from scipy.stats import chi2

    name = "Jarque-Bera"
    if not np.any(fit.residuals):
        return _undefined(name, "the fit is exact: there are no errors to look at")
    change = fit.residuals - fit.residuals.mean()
    second = np.mean(change**2)
    if not second > 0:
        return _undefined(name, "all residuals are alike")
    n = len(change)
    skewness = float(np.mean(change**3) / second**1.5)
    kurtosis = float(np.mean(change**4) / second**2)
    statistic = n / 6.0 * (skewness**2 + (kurtosis - 3.0) ** 2 / 4.0)
    p = float(chi2.sf(statistic, 2))
    shape = f"skewness {skewness:.2f}, kurtosis {kurtosis:.2f} (normal: 0 and 3)"
    found = (
        f"The errors are not normal: {shape}. Intervals for new runs are off; look at the influential runs."
    )
    return Check(name, statistic, (2,), p, _say(p, fit, found, f"No sign against normal errors: {shape}."))


def serial_correlation(fit: Fitted) -> Check:
    """Durbin and Watson's test: whether neighbouring runs, in the order of the rows, err alike.

    Args:
        fit: the rows of a fit; their order must be that in which something may have drifted.
    """
    name = "Durbin-Watson"
    if not np.any(fit.residuals):
        return _undefined(name, "the fit is exact: there are no errors to look at")
    if fit.df_resid < 2:
        return _undefined(name, f"{fit.df_resid} degree of freedom is too few")
    statistic = durbin_watson(fit.residuals)
    p = durbin_watson_p(statistic, fit.columns)
    kind = "alike" if statistic < 2.0 else "in opposite ways"
    found = (
        f"Neighbouring runs err {kind}: something drifted over the rows; use covariance='cluster' by batch."
    )
    return Check(name, statistic, (), p, _say(p, fit, found, "No sign that neighbouring runs err alike."))


def reset(fit: Fitted) -> Check:
    """Ramsey's test: whether squares and cubes of the fitted values explain what the terms left.

    Args:
        fit: the rows of a fit.

    References:
        Ramsey (1969), J. Royal Statistical Society B 31, 350-371.
    """
    from scipy.stats import f as fisher

    name, df = "RESET", fit.df_resid - 2
    if not np.any(fit.residuals):
        return _undefined(name, "the fit is exact: there is nothing left to explain")
    if df < 1:
        return _undefined(name, "too few runs: at least three more than parameters are needed")
    raw = fit.fitted / fit.roots
    # The span does not depend on where the powers are taken from only when the constant and the fit are in it.
    scaled = _standardised(raw[:, None])[:, 0] if fit.intercept else raw / np.abs(raw).max()
    basis, left = _beside(fit.columns, np.column_stack([scaled**2, scaled**3]) * fit.roots[:, None])
    if basis.shape[1] < 2:
        return _undefined(name, "squares and cubes of the fitted values are combinations of the terms")
    rss = float(np.sum(fit.residuals**2))
    explained = float(np.sum((left.T @ fit.residuals) ** 2))
    rest = float(np.sum((fit.residuals - left @ (left.T @ fit.residuals)) ** 2))
    if rest <= 1e-24 * rss:
        return _undefined(name, "with squares and cubes of the fitted values the fit is exact")
    statistic = explained / 2.0 / (rest / df)
    p = float(fisher.sf(statistic, 2, df))
    found = (
        "The relation is not a straight line in these terms: try logarithms, squares, or products of terms."
    )
    return Check(name, statistic, (2, df), p, _say(p, fit, found, "No sign of a bend that the terms miss."))


def lack_of_fit(fit: Fitted, replicates: Sequence[Any] | npt.NDArray[Any] | None) -> Check:
    """Whether the terms miss more than repeated runs of one subset differ among themselves.

    Args:
        fit: the rows of a fit.
        replicates: one label a run; runs with one label are repeats (other seeds) with the same values of all terms.

    Raises:
        ValueError: not one label a run.

    References:
        Draper, Smith (1998), Applied Regression Analysis, 3rd edition, 2.1.
    """
    from scipy.stats import f as fisher

    name = "lack of fit"
    if replicates is None:
        return _undefined(name, "no labels of repeated runs were given")
    groups = _groups(replicates, len(fit.y))
    why = _not_replicated(fit, groups)
    if why:
        return _undefined(name, why)
    weights, y = fit.roots**2, fit.y / fit.roots
    pure = sum(
        float(np.sum(weights[g] * (y[g] - np.average(y[g], weights=weights[g])) ** 2))
        for g in groups.values()
    )
    df_pure = len(y) - len(groups)
    df = fit.df_resid - df_pure
    if df < 1:
        return _undefined(name, "as many parameters as distinct subsets: they cannot miss any")
    if not pure > 0:
        return _undefined(name, "repeated runs do not differ at all: there is no pure error to compare with")
    lack = max(float(np.sum(fit.residuals**2)) - pure, 0.0)
    statistic = (lack / df) / (pure / df_pure)
    p = float(fisher.sf(statistic, df, df_pure))
    seeds = f"repeated runs differ by {np.sqrt(pure / df_pure):.3g} (standard deviation)"
    found = f"The terms miss more than the noise of repeated runs ({seeds}): something else matters."
    calm = f"What the terms miss is not more than the noise of repeated runs ({seeds})."
    return Check(name, statistic, (df, df_pure), p, _say(p, fit, found, calm))


def _groups(replicates: Sequence[Any] | npt.NDArray[Any], n: int) -> dict[Any, list[int]]:
    labels = list(replicates)
    if len(labels) != n:
        raise ValueError(f"replicates must hold one label a run, {n}; got {len(labels)}")
    groups: dict[Any, list[int]] = {}
    for i, label in enumerate(labels):
        # A missing label is a run of its own.
        alone = label is None or label != label
        groups.setdefault(("alone", i) if alone else ("group", label), []).append(i)
    return groups


def _not_replicated(fit: Fitted, groups: dict[Any, list[int]]) -> str | None:
    if len(groups) == len(fit.y):
        return "no subset was run more than once"
    if len({tuple(row) for row in fit.terms.tolist()}) < len(groups):
        return "some subsets with different labels have the same values of all terms: give them one label"
    for (_, label), rows in groups.items():
        if np.any(fit.terms[rows] != fit.terms[rows[0]]):
            return f"the runs of {label!r} are not repeats: their terms differ"
    return None


def _undefined(name: str, why: str) -> Check:
    return Check(name, None, (), None, f"Not defined here: {why}.")


def _say(p: float, fit: Fitted, found: str, calm: str) -> str:
    return f"{found if p < fit.alpha else calm} (p {format_p(p)})"


def _standardised(columns: Array) -> Array:
    """Centred columns of one spread; those that do not vary become zero."""
    change = columns - columns.mean(axis=0)
    spread = np.max(np.abs(change), axis=0, initial=0.0)
    noise = len(columns) * np.finfo(np.float64).eps * np.max(np.abs(columns), axis=0, initial=0.0)
    return np.asarray(np.where(spread > noise, change / np.where(spread > 0, spread, 1.0), 0.0))


def _basis(columns: Array, constant: bool) -> Array:
    """Orthonormal columns of the same span (and the constant), without the dependent ones."""
    n = len(columns)
    base = np.full((n, 1), 1.0 / np.sqrt(n)) if constant else np.zeros((n, 0))
    rest = columns - base @ (base.T @ columns)
    lengths = np.linalg.norm(rest, axis=0)
    rest = rest[:, lengths > 0] / lengths[lengths > 0]
    R, order = pivoted_qr(rest)
    rank = int(np.sum(np.abs(np.diag(R)) > _DEPENDENT))
    q = np.linalg.qr(rest[:, order[: min(rank, n)]])[0]
    return np.hstack([base, q])


def _beside(columns: Array, more: Array) -> tuple[Array, Array]:
    """What is left of ``more`` beside ``columns``: independent columns of it, and their orthonormal basis."""
    lengths = np.linalg.norm(columns, axis=0)
    base = np.linalg.qr(columns / lengths)[0]
    scaled = more / np.linalg.norm(more, axis=0)
    rest = scaled - base @ (base.T @ scaled)
    # Once more, since what is left of nearly dependent columns is not quite orthogonal the first time.
    rest = rest - base @ (base.T @ rest)
    R, order = pivoted_qr(rest)
    rank = int(np.sum(np.abs(np.diag(R)) > _DEPENDENT))
    kept = rest[:, order[:rank]]
    return kept, np.linalg.qr(kept)[0]
