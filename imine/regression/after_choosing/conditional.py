"""Intervals and p-values that stay valid after forward stepwise choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.after_choosing.conditions import Branch, Given, Line, branches
from imine.regression.after_choosing.forward import ForwardStepwise
from imine.regression.after_choosing.pivot import Interval, Pivot
from imine.regression.after_choosing.regions import WHOLE_LINE
from imine.regression.ols import fit_ols
from imine.regression.results import Array
from imine.rendering import format_p


@dataclass(frozen=True, slots=True, eq=False)
class ChosenResults:
    """Inference on the coefficients of chosen terms.

    What is estimated is the coefficient of each term in the regression of the expected ``y`` of these runs on
    the chosen terms: it is about this choice, not about a regression on all candidates.

    Attributes:
        names: chosen terms, in the order of entry.
        chosen: their columns.
        params: least squares coefficients on the chosen terms, shape (terms,).
        std_errors: without regard to the choice, from ``sigma``, shape (terms,).
        p: two-sided p-values of a coefficient of zero, given the choice, shape (terms,).
        sigma: standard deviation of the noise.
        noise: ``known``, or ``full model`` when estimated from the residuals on all candidates.
        df: degrees of freedom of ``sigma``; infinite when known.
        given: what is conditioned on: ``signs``, ``order``, ``set``, or ``nothing`` for a set fixed in advance.
        n_runs, n_candidates: shape of the data.
    """

    names: tuple[str, ...]
    chosen: tuple[int, ...]
    params: Array
    std_errors: Array
    p: Array
    sigma: float
    noise: Literal["known", "full model"]
    df: float
    given: str
    n_runs: int
    n_candidates: int
    _pivots: tuple[Pivot, ...]
    _scales: Array

    def intervals(self, level: float = 0.95) -> tuple[Interval, ...]:
        """Equal-tailed confidence intervals, one a term, with the reason of an infinite end.

        Args:
            level: between 0 and 1.

        Raises:
            ValueError: a level outside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1; got {level!r}")
        pairs = zip((pivot.interval(level) for pivot in self._pivots), self._scales, strict=True)
        return tuple(Interval(found.low * scale, found.high * scale, found.why) for found, scale in pairs)

    def conf_int(self, level: float = 0.95) -> Array:
        """Ends of :meth:`intervals`, shape (terms, 2).

        Args:
            level: between 0 and 1.
        """
        return np.array([(i.low, i.high) for i in self.intervals(level)]).reshape(-1, 2)

    def p_values(self, values: npt.ArrayLike) -> Array:
        """Two-sided p-values, given the choice, of the coefficients having these values.

        Args:
            values: shape (terms,).
        """
        at = np.asarray(values, dtype=np.float64) / self._scales
        return np.array([pivot.p_value(theta) for pivot, theta in zip(self._pivots, at, strict=True)])

    def median_unbiased(self) -> Array:
        """Estimates that the true coefficient is above and below equally often, given the choice.

        Shape (terms,); not a number where the data determine none. The least squares ``params`` of chosen terms
        are too large on average: they were chosen for it.
        """
        return np.array([pivot.median() for pivot in self._pivots]) * self._scales

    def regions(self) -> tuple[Array, ...]:
        """For each term, the values of its coefficient at which the same choice would have been made.

        All else in the data is held fixed; with an estimated ``sigma``, at a true coefficient of zero. Each has
        shape (intervals, 2).
        """
        return tuple(p.region(0.0) * scale for p, scale in zip(self._pivots, self._scales, strict=True))

    def summary(self, level: float = 0.95) -> str:
        """Plain text: one line a term, then what the numbers stand on.

        Args:
            level: of the intervals.
        """
        width = max(len(name) for name in (*self.names, "term"))
        lines = [f"{'term':<{width}}{'estimate':>12}{'unbiased':>12}{'p':>11}  {100 * level:g} % interval"]
        found = self.intervals(level)
        rows = zip(self.names, self.params, self.median_unbiased(), self.p, found, strict=True)
        for name, value, centre, p, interval in rows:
            numbers = f"{value:>12.5g}{centre:>12.5g}{format_p(p):>11}"
            lines.append(f"{name:<{width}}{numbers}  [{interval.low:.5g}, {interval.high:.5g}]")
        lines += [f"{n}: {i.why}" for n, i in zip(self.names, found, strict=True) if i.why]
        lines.append(f"{_CONDITION[self.given]}; {self.n_runs} runs, {self.n_candidates} candidates")
        known = "known" if self.noise == "known" else f"from the full model, df {self.df:g}"
        lines.append(f"sigma {self.sigma:.4g}, {known}")
        return "\n".join(lines)


_CONDITION = {
    "signs": "given the order and the signs of entry",
    "order": "given the order of entry",
    "set": "given the chosen terms",
    "nothing": "for terms fixed before the data were seen",
}


def infer_after_forward(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    names: Sequence[str],
    procedure: ForwardStepwise,
    *,
    sigma: float | None = None,
    given: Given = "set",
) -> ChosenResults:
    """Choose by forward stepwise, and infer on what was chosen, exactly given the choice.

    For normal errors of equal variance. Each coefficient is a linear contrast of ``y``; with all that is
    independent of it held fixed, the same choice is made on a union of intervals, found exactly: for ``signs``
    one interval (a polyhedron cut by a line), for ``order`` and ``set`` and for stopping by a criterion also
    between roots of quadratics. There the contrast follows a restricted normal (``sigma`` known) or a
    restricted Student's t (``sigma`` from the full model), whose distribution function gives p-values and,
    inverted, intervals.

    The less is conditioned on, the more of the data is left for the interval: ``set`` gives the shortest,
    ``signs`` the longest, which is the classical choice. All three cover at their level.

    Args:
        X: candidates, shape (runs, candidates), without the column of ones.
        y: shape (runs,).
        names: one a column.
        procedure: how to choose.
        sigma: known standard deviation of the errors. By default it is estimated from the residuals of the
            regression on all candidates, which must then hold the truth; the inference stays exact.
        given: what is conditioned on.

    Raises:
        RegressionError: fewer runs than parameters of the full model, or dependent columns; see ``fit_ols``.
        ValueError: shapes, names, ``sigma`` or ``given`` that are not allowed.

    References:
        Tibshirani, Taylor, Lockhart, Tibshirani (2016), Exact post-selection inference for sequential
        regression procedures, JASA 111 (polyhedra, order and signs). Loftus, Taylor (2015), Selective inference
        in regression models with groups of variables, arXiv 1511.01478 (quadratic events). Liu, Markovic,
        Tibshirani (2018), More powerful post-selection inference, with application to the Lasso,
        arXiv 1801.09037 (conditioning on less). Fithian, Sun, Taylor (2014), Optimal inference after model
        selection, arXiv 1410.2597, section 4 (unknown sigma).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 5))
        >>> y = X[:, 1] + 0.4 * X[:, 3] + rng.normal(size=60)
        >>> results = infer_after_forward(X, y, list("abcde"), ForwardStepwise(steps=2))
        >>> results.names, results.p.round(4).tolist()
        (('b', 'd'), [0.0, 0.0248])
    """
    if given not in get_args(Given):
        raise ValueError(f"given must be one of {', '.join(get_args(Given))}; got {given!r}")
    data = _reduce(X, y, names, sigma)
    path = procedure.path(data.columns, data.y, data.rss, data.n_runs)

    def conditions(line: Line) -> tuple[Branch, ...]:
        return tuple(branches(line, procedure, path, given))

    return _infer(data, path.chosen, given, conditions)


def infer_fixed(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    names: Sequence[str],
    columns: Sequence[int],
    *,
    sigma: float | None = None,
) -> ChosenResults:
    """Inference on terms that were fixed before ``y`` was seen: ordinary intervals, nothing conditioned on.

    Args:
        X, y, names, sigma: as in :func:`infer_after_forward`; with no ``sigma`` that of the full model is taken,
            so that terms left out wrongly do not widen the intervals.
        columns: the fixed terms.

    Raises:
        RegressionError: see ``fit_ols``.
        ValueError: columns that repeat or are not there.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 5))
        >>> y = X[:, 1] + 0.4 * X[:, 3] + rng.normal(size=60)
        >>> infer_fixed(X, y, list("abcde"), [1, 3]).conf_int().round(2).tolist()
        [[0.84, 1.35], [0.1, 0.62]]
    """
    data = _reduce(X, y, names, sigma)
    chosen = [int(column) for column in columns]
    if len(set(chosen)) != len(chosen) or not set(chosen) <= set(range(len(data.names))):
        raise ValueError(f"columns must be different ones of 0 to {len(data.names) - 1}; got {chosen}")
    free = (Branch(WHOLE_LINE, np.zeros((0, 3)), np.zeros(0)),)
    return _infer(data, chosen, "nothing", lambda line: free)


@dataclass(frozen=True, slots=True, eq=False)
class _Reduced:
    """The data in an orthonormal basis of the centred candidates; the rest of ``y`` is noise, kept as its RSS."""

    names: tuple[str, ...]
    columns: Array
    scale: Array
    y: Array
    rss: float
    df: float
    sigma: float
    n_runs: int


def _reduce(X: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str], sigma: float | None) -> _Reduced:
    full = fit_ols(X, y, names)
    if sigma is not None and not (sigma > 0.0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be positive and finite; got {sigma!r}")
    rss = full.sigma**2 * full.df_resid
    if sigma is None and not rss > 0.0:
        raise RegressionError(
            "the candidates fit y without error: there is no noise to infer from. Give sigma."
        )
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = X - X.mean(axis=0)
    scale = np.linalg.norm(centred, axis=0)
    basis, columns = np.linalg.qr(centred / scale)
    return _Reduced(
        names=tuple(names),
        columns=columns,
        scale=scale,
        y=basis.T @ (y - y.mean()),
        rss=rss,
        df=float(full.df_resid) if sigma is None else math.inf,
        sigma=full.sigma if sigma is None else float(sigma),
        n_runs=full.n_runs,
    )


def _infer(
    data: _Reduced, chosen: Sequence[int], given: str, conditions: Callable[[Line], tuple[Branch, ...]]
) -> ChosenResults:
    contrasts = np.linalg.pinv(data.columns[:, list(chosen)])
    lengths = np.linalg.norm(contrasts, axis=1)
    size = math.sqrt(float(data.y @ data.y) + data.rss)
    pivots = []
    for contrast, length in zip(contrasts, lengths, strict=True):
        direction = contrast / length
        observed = float(direction @ data.y)
        line = Line(data.columns, data.y - observed * direction, direction, data.n_runs)
        pivots.append(Pivot(observed, conditions(line), data.rss, data.df, data.sigma, size))
    scales = lengths / data.scale[list(chosen)]
    return ChosenResults(
        names=tuple(data.names[column] for column in chosen),
        chosen=tuple(chosen),
        params=np.array([pivot.observed for pivot in pivots]) * scales,
        std_errors=data.sigma * scales,
        p=np.array([pivot.p_value() for pivot in pivots]),
        sigma=data.sigma,
        noise="known" if math.isinf(data.df) else "full model",
        df=data.df,
        given=given,
        n_runs=data.n_runs,
        n_candidates=len(data.names),
        _pivots=tuple(pivots),
        _scales=scales,
    )
