"""What a regression returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from imine.regression.doubled import Array, folded_product, folded_sum
from imine.regression.factoring import column_lengths

CovarianceKind = Literal["classical", "HC0", "HC1", "HC2", "HC3", "cluster"]
COVARIANCES: tuple[str, ...] = get_args(CovarianceKind)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Predictions with their intervals.

    Attributes:
        mean: predicted values, shape (rows,), in the unit of ``y``.
        std_error: standard error of the mean, or of a new observation.
        low, high: ends of the interval at ``level``.
        level: confidence level.
        interval: whether the interval is for the mean or for a new observation.
    """

    mean: Array
    std_error: Array
    low: Array
    high: Array
    level: float
    interval: Literal["mean", "observation"]


@dataclass(frozen=True, slots=True, eq=False)
class OlsResults:
    """A least squares fit of n runs with k parameters, the intercept first if there is one.

    With weights ``w``, sums of squares are ``sum w e**2``, means are weighted, and a run's error has the standard
    deviation ``sigma / sqrt(w)``. ``residuals``, ``fitted`` and ``loo_residuals`` stay in the unit of ``y``.

    Attributes:
        names: parameter names, length k.
        intercept: whether a constant was fitted.
        params, std_errors, t, p: shape (k,); ``p`` is two-sided, from Student's t with ``df_inference``. Parameters
            and classical standard errors are the float64 nearest to the exact solution.
        covariance: shape (k, k), of the parameters, of the kind ``covariance_kind``.
        n_runs, df_model, df_resid: runs, terms without the intercept, and ``n - k``.
        sigma: residual standard deviation of a run of weight 1, ``sqrt(RSS / df_resid)``, correctly rounded.
        r2, adjusted_r2: about the mean of ``y``; about zero when there is no intercept.
        f, f_p: test of all terms together (Wald's, with a robust covariance); not a number without terms.
        log_likelihood: of normal errors with variance ``RSS / n / w``.
        aic, aicc, bic: with the error variance counted as a parameter, as R's ``AIC()`` does; statsmodels
            leaves it out, so its AIC is lower by 2. ``aicc`` is not a number when ``n - k - 2 <= 0``.
        residuals, fitted: shape (n,).
        leverage: diagonal of the hat matrix ``X (X'WX)**-1 X'W``, shape (n,).
        loo_residuals: ``residual / (1 - leverage)``: the error of the prediction for a run by the fit without
            it; not a number for a run of leverage 1, as in the following.
        studentised_internal: ``sqrt(w) residual / (sigma sqrt(1 - leverage))``.
        studentised_external: the same with ``sigma`` of the fit without the run; Student's t with
            ``df_resid - 1`` for a run like the others.
        cooks_distance: ``studentised_internal**2 leverage / (1 - leverage) / k``.
        dffits: ``studentised_external sqrt(leverage / (1 - leverage))``.
        press: sum of ``w loo_residuals**2``.
        press_r2: ``1 - PRESS / SST`` with SST about the mean of all runs (about zero without intercept). Some
            programs compare with the mean of the other runs instead; their value is
            ``1 - (PRESS / SST) * ((n - 1) / n)**2``, which is a little larger.
        vif: variance inflation factor of each term, shape (terms,).
        centre: about the (weighted) means of the terms, shape (terms,); zeros without intercept.
        weights: shape (n,), as given, or ones; weighted: whether they differ from one.
        covariance_kind: ``classical``, ``HC0`` to ``HC3`` or ``cluster``.
        df_inference: of t, p and intervals: ``df_resid``, or the number of groups less one.
        n_groups: of a covariance by groups.
        centre_value: value of the fit at ``centre``; 0 without intercept.
        root: shape (k, k), ``root @ root.T`` is the covariance of the value at ``centre`` and the slopes.
    """

    names: tuple[str, ...]
    intercept: bool
    params: Array
    covariance: Array
    std_errors: Array
    t: Array
    p: Array
    n_runs: int
    df_model: int
    df_resid: int
    sigma: float
    r2: float
    adjusted_r2: float
    f: float
    f_p: float
    log_likelihood: float
    aic: float
    aicc: float
    bic: float
    residuals: Array
    fitted: Array
    leverage: Array
    loo_residuals: Array
    studentised_internal: Array
    studentised_external: Array
    cooks_distance: Array
    dffits: Array
    press: float
    press_r2: float
    vif: Array
    centre: Array
    weights: Array
    weighted: bool
    covariance_kind: CovarianceKind
    df_inference: int
    n_groups: int | None
    centre_value: float
    root: Array

    @property
    def predicted_r2(self) -> float:
        """The same as ``press_r2``."""
        return self.press_r2

    def conf_int(self, level: float = 0.95) -> Array:
        """Confidence intervals of the parameters, shape (k, 2).

        Args:
            level: between 0 and 1.

        Raises:
            ValueError: a level outside (0, 1).

        Examples:
            >>> from imine.regression import fit_ols
            >>> results = fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"])
            >>> results.conf_int().round(2).tolist()
            [[0.69, 1.37], [1.8, 2.16]]
        """
        half = self._quantile(level) * self.std_errors
        return np.column_stack([self.params - half, self.params + half])

    def predict(
        self,
        X: npt.ArrayLike,
        interval: Literal["mean", "observation"] = "mean",
        level: float = 0.95,
        *,
        weights: npt.ArrayLike = 1.0,
    ) -> Prediction:
        """Predict ``y`` for the rows of ``X``.

        Args:
            X: shape (rows, terms), without the column of ones.
            interval: ``mean`` for the expected value, ``observation`` for a new run, with its own error: that one has
                the variance ``sigma**2`` for every run also where the covariance is a robust one, and with few clusters
                the quantile of their few degrees of freedom makes the interval very wide.
            level: confidence level, between 0 and 1.
            weights: of the new runs, one for all or shape (rows,), in the unit of the fit's weights; only
                ``observation`` uses them: a new run's error has the variance ``sigma**2 / weight``.

        Raises:
            ValueError: a wrong number of columns, an unknown interval, a level outside (0, 1), or weights that are
                not positive.

        Examples:
            >>> from imine.regression import fit_ols
            >>> results = fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"])
            >>> predicted = results.predict([[1.5]], interval="observation")
            >>> predicted.mean.round(2).tolist(), predicted.low.round(2).tolist()
            ([4.0], [3.54])
        """
        X = np.array(X, dtype=np.float64, ndmin=2)
        if X.ndim != 2 or X.shape[1] != self.df_model:
            raise ValueError(f"X must have {self.df_model} columns; got shape {X.shape}")
        if interval not in ("mean", "observation"):
            raise ValueError(f"interval must be 'mean' or 'observation'; got {interval!r}")
        heavy = np.asarray(weights, dtype=np.float64)
        if heavy.shape not in ((), (len(X),)) or not np.all(heavy > 0):
            raise ValueError(f"weights must be positive, one or {len(X)} of them; got shape {heavy.shape}")
        # About the centre of the runs, and by the root, nothing large cancels.
        away = X - self.centre
        mean = self.centre_value + folded_sum((away * self.params[int(self.intercept) :]).T)
        both = np.column_stack([np.ones(len(X)), away]) if self.intercept else away
        std_error = column_lengths(folded_product(both, self.root).T)
        if interval == "observation":
            std_error = np.hypot(std_error, self.sigma / np.sqrt(heavy))
        half = self._quantile(level) * std_error
        return Prediction(mean, std_error, mean - half, mean + half, level, interval)

    def summary(
        self,
        format: Literal["text", "markdown", "html"] = "text",
        *,
        level: float = 0.95,
        notes: Sequence[str] = (),
    ) -> str:
        """The fit for people: one line a parameter, then the fit as a whole.

        Args:
            format: ``text``, ``markdown``, or ``html`` (a fragment, every text escaped).
            level: of the intervals, between 0 and 1.
            notes: sentences to stand under the table.

        Raises:
            ValueError: an unknown format, or a level outside (0, 1).

        Examples:
            >>> from imine.regression import fit_ols
            >>> print(fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"]).summary())
            parameter  estimate  std error       t       p  95 % interval
            intercept      1.03    0.07937  12.977  0.0059  [0.68849, 1.3715]
            x              1.98    0.04243  46.669  0.0005  [1.7975, 2.1625]
            <BLANKLINE>
            n 4, df 2, sigma 0.09487, R2 0.9991, adjusted 0.9986, PRESS R2 0.9973
            F 2178.0 (p 0.0005), log-likelihood 5.13, AIC -4.26, AICc not defined, BIC -6.10
        """
        from imine.regression.summary import summarise

        return summarise(self, format, level, notes)

    def _quantile(self, level: float) -> float:
        from scipy.stats import t as student

        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1; got {level!r}")
        return float(student.isf((1.0 - level) / 2.0, self.df_inference))
