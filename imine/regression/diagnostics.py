"""Whether a regression may be believed: dependence among terms, its assumptions, and the runs it hangs on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from imine.regression.checks import (
    Check,
    Fitted,
    breusch_pagan,
    jarque_bera,
    lack_of_fit,
    reset,
    serial_correlation,
    white,
)
from imine.regression.collinearity import Collinearity, collinearity_of
from imine.regression.doubled import Array
from imine.regression.results import OlsResults
from imine.regression.summary import Block, Table, render
from imine.rendering import format_p

# VIF over which a coefficient is said to be blurred; a rule of thumb of the field, as are Belsley's 30 and one half.
_HIGH_VIF = 10.0
_HIGH_CORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class InfluentialRun:
    """A run that the fit hangs on, or that does not fit.

    Attributes:
        run: its label; row: its row, from 0.
        leverage, studentised, cooks_distance, dffits: as in :class:`imine.regression.OlsResults`; ``studentised``
            is the external one.
        reasons: which thresholds it passes.
    """

    run: str
    row: int
    leverage: float
    studentised: float
    cooks_distance: float
    dffits: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Diagnostics:
    """Diagnostics of one fit.

    Attributes:
        n_runs: number of runs; alpha: p-value under which a test is said to find something.
        collinearity: dependence among the terms.
        checks: Breusch-Pagan, White, Jarque-Bera, Durbin-Watson, RESET, lack of fit, in this order.
        influential: runs that pass a threshold, the largest Cook's distance first.
    """

    n_runs: int
    alpha: float
    collinearity: Collinearity
    checks: tuple[Check, ...]
    influential: tuple[InfluentialRun, ...]

    def check(self, name: str) -> Check:
        """The check of that name.

        Raises:
            ValueError: there is none of that name.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise ValueError(f"name must be one of {', '.join(c.name for c in self.checks)}; got {name!r}")

    def summary(self, format: Literal["text", "markdown", "html"] = "text") -> str:
        """The diagnostics for people.

        Args:
            format: ``text``, ``markdown``, or ``html`` (a fragment, every text escaped).

        Raises:
            ValueError: an unknown format.
        """
        return render([*_check_blocks(self), *_collinearity_blocks(self), *_influence_blocks(self)], format)


def diagnose(
    results: OlsResults,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    runs: Sequence[Any] | npt.NDArray[Any] | None = None,
    replicates: Sequence[Any] | npt.NDArray[Any] | None = None,
    alpha: float = 0.05,
) -> Diagnostics:
    """Diagnose a fit.

    Under weights, tests look at ``sqrt(w)`` times residuals and columns, whose errors have one variance; variance
    tests keep the terms as given. The kind of the fit's covariance does not matter.

    Args:
        results: the fit of ``y`` on ``X``.
        X: shape (runs, terms); y: shape (runs,), both as fitted, in the order in which the runs were made (the
            Durbin-Watson test looks at neighbours).
        runs: labels of the runs, by default their rows from 0.
        replicates: one label a run; runs with one label repeat one subset with other seeds. Missing labels are
            runs on their own. Without it the test of lack of fit is not defined.
        alpha: p-value under which a test, or an outlier after Bonferroni's correction, is named.

    Raises:
        ValueError: shapes or numbers of labels that do not fit, data that are not those of the fit, or ``alpha``
            outside (0, 1).

    Examples:
        >>> from imine.regression import fit_ols
        >>> X, y = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], [1.0, 3.1, 4.9, 7.0, 9.2, 4.0]
        >>> found = diagnose(fit_ols(X, y, ["x"]), X, y, runs=["a", "b", "c", "d", "e", "f"])
        >>> found.influential[0].run, found.check("lack of fit").meaning
        ('f', 'Not defined here: no labels of repeated runs were given.')
    """
    X, y = np.array(X, dtype=np.float64, ndmin=2), np.array(y, dtype=np.float64)
    labels = _labels(runs, results.n_runs)
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie between 0 and 1; got {alpha!r}")
    _check_same_data(results, X, y)
    fit = Fitted.of(results, X, y, alpha)
    return Diagnostics(
        n_runs=results.n_runs,
        alpha=alpha,
        collinearity=collinearity_of(results, X),
        checks=(
            breusch_pagan(fit),
            white(fit),
            jarque_bera(fit),
            serial_correlation(fit),
            reset(fit),
            lack_of_fit(fit, replicates),
        ),
        influential=_influential(results, labels, alpha),
    )


def _labels(runs: Sequence[Any] | npt.NDArray[Any] | None, n: int) -> list[str]:
    labels = [str(label) for label in (range(n) if runs is None else runs)]
    if len(labels) != n:
        raise ValueError(f"runs must hold one label a run, {n}; got {len(labels)}")
    return labels


def _check_same_data(results: OlsResults, X: Array, y: Array) -> None:
    if X.shape != (results.n_runs, results.df_model) or y.shape != (results.n_runs,):
        raise ValueError(
            f"X and y must be those of the fit, of shapes {(results.n_runs, results.df_model)} and "
            f"{(results.n_runs,)}; got {X.shape} and {y.shape}"
        )
    size = np.max(np.abs(y))
    other = np.flatnonzero(~(np.abs(results.fitted + results.residuals - y) <= 1e-9 * size))
    slopes = results.params[int(results.intercept) :]
    away = X - results.centre
    rounding = 1e-9 * (size + np.abs(away) @ np.abs(slopes))
    moved = np.flatnonzero(~(np.abs(results.centre_value + away @ slopes - results.fitted) <= rounding))
    if len(other) or len(moved):
        name, rows = ("y", other) if len(other) else ("X", moved)
        raise ValueError(f"{name} is not that of the fit: it differs in row {rows[0]}")


def _influential(results: OlsResults, labels: list[str], alpha: float) -> tuple[InfluentialRun, ...]:
    n, p = results.n_runs, len(results.params)
    found = []
    for row, reasons in enumerate(_reasons(results, n, p, alpha)):
        if reasons:
            found.append(
                InfluentialRun(
                    run=labels[row],
                    row=row,
                    leverage=float(results.leverage[row]),
                    studentised=float(results.studentised_external[row]),
                    cooks_distance=float(results.cooks_distance[row]),
                    dffits=float(results.dffits[row]),
                    reasons=reasons,
                )
            )
    # A run of leverage 1 has no distance: it comes first.
    return tuple(
        sorted(found, key=lambda r: -r.cooks_distance if math.isfinite(r.cooks_distance) else -math.inf)
    )


def _reasons(results: OlsResults, n: int, p: int, alpha: float) -> list[tuple[str, ...]]:
    """Thresholds: Bonferroni for outliers, and those of R's influence.measures for the rest."""
    from scipy.stats import f as fisher
    from scipy.stats import t as student

    df = results.df_resid - 1
    outlier = 2.0 * n * student.sf(np.abs(results.studentised_external), df) if df > 0 else np.full(n, np.nan)
    cook = fisher.cdf(results.cooks_distance, p, results.df_resid)
    alone = np.isnan(results.loo_residuals)
    passed = (
        (alone, "alone determines a coefficient"),
        (outlier < alpha, "outlier"),
        (results.leverage > 3.0 * p / n, "leverage"),
        (cook > 0.5, "Cook's distance"),
        (np.abs(results.dffits) > 3.0 * math.sqrt(p / results.df_resid), "DFFITS"),
    )
    return [tuple(text for flags, text in passed if flags[row]) for row in range(n)]


def _check_blocks(found: Diagnostics) -> list[Block]:
    rows = tuple(
        (
            c.name,
            _number(c.statistic),
            ", ".join(map(str, c.df)),
            "" if c.p is None else format_p(c.p),
            c.meaning,
        )
        for c in found.checks
    )
    return [Table("Checks", ("test", "statistic", "df", "p", "what it says"), rows)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _collinearity_blocks(found: Diagnostics) -> list[Block]:
    known = found.collinearity
    if not known.terms:
        return []
    rows = []
    for i, term in enumerate(known.terms):
        others = [j for j in range(len(known.terms)) if j != i]
        closest = max(others, key=lambda j: abs(known.correlations[i, j]), default=None)
        near = "" if closest is None else f"{known.terms[closest]} ({known.correlations[i, closest]:.3f})"
        rows.append((term, f"{known.vif[i]:.4g}", f"{known.tolerance[i]:.4g}", near))
    table = Table("Collinearity", ("term", "VIF", "tolerance", "most correlated with"), tuple(rows))
    return [table, _collinearity_sentence(known)]


def _collinearity_sentence(known: Collinearity) -> str:
    said = [
        f"Condition number {known.condition_number:.4g}, of centred terms {known.centred_condition_number:.4g}."
    ]
    blurred = [t for t, vif in zip(known.terms, known.vif, strict=True) if vif > _HIGH_VIF]
    if blurred:
        said.append(f"Blurred by the other terms (VIF over {_HIGH_VIF:g}): {', '.join(blurred)}.")
    pairs = [
        f"{known.terms[i]} and {known.terms[j]}"
        for i in range(len(known.terms))
        for j in range(i)
        if abs(known.correlations[i, j]) > _HIGH_CORRELATION
    ]
    if pairs:
        said.append(f"Correlated beyond {_HIGH_CORRELATION:g}: {'; '.join(pairs)}.")
    for index, together in known.near_dependencies():
        said.append(f"Nearly dependent (condition index {index:.4g}): {', '.join(together)}.")
    return "\n".join(said)


def _influence_blocks(found: Diagnostics) -> list[Block]:
    if not found.influential:
        return ["No run stands out."]
    rows = tuple(
        (
            r.run,
            f"{r.leverage:.3f}",
            *("" if math.isnan(v) else f"{v:.3f}" for v in (r.studentised, r.cooks_distance, r.dffits)),
            ", ".join(r.reasons),
        )
        for r in found.influential
    )
    header = ("run", "leverage", "studentised", "Cook", "DFFITS", "stands out by")
    return [Table("Influential runs", header, rows)]
