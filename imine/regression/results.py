"""What a regression returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from imine.rendering import format_p

Array = npt.NDArray[np.float64]


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
    """An ordinary least squares fit of n runs with k parameters, the intercept first if there is one.

    Attributes:
        names: parameter names, length k.
        intercept: whether a constant was fitted.
        params, std_errors, t, p: shape (k,); ``p`` is two-sided, from Student's t with ``df_resid``.
        covariance: shape (k, k), of the parameters.
        n_runs, df_model, df_resid: runs, terms without the intercept, and ``n - k``.
        sigma: residual standard deviation, ``sqrt(RSS / df_resid)``.
        r2, adjusted_r2: about the mean of ``y``; about zero when there is no intercept.
        f, f_p: test of all terms together; not a number without terms.
        log_likelihood: of normal errors with variance ``RSS / n``.
        aic, aicc, bic: with the error variance counted as a parameter, as R's ``AIC()`` does; statsmodels
            leaves it out, so its AIC is lower by 2. ``aicc`` is not a number when ``n - k - 2 <= 0``.
        residuals, fitted: shape (n,).
        leverage: diagonal of the hat matrix, shape (n,).
        loo_residuals: ``residual / (1 - leverage)``: the error of the prediction for a run by the fit without
            it; not a number for a run of leverage 1.
        press: sum of the squared ``loo_residuals``.
        press_r2: ``1 - PRESS / SST`` with SST about the mean of all runs (about zero without intercept). Some
            programs compare with the mean of the other runs instead; their value is
            ``1 - (PRESS / SST) * ((n - 1) / n)**2``, which is a little larger.
        vif: variance inflation factor of each term, shape (terms,).
        centre: means of the terms, shape (terms,); zeros without intercept.
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
    press: float
    press_r2: float
    vif: Array
    centre: Array

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
    ) -> Prediction:
        """Predict ``y`` for the rows of ``X``.

        Args:
            X: shape (rows, terms), without the column of ones.
            interval: ``mean`` for the expected value, ``observation`` for a new run, with its own error.
            level: confidence level, between 0 and 1.

        Raises:
            ValueError: a wrong number of columns, an unknown interval, or a level outside (0, 1).

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
        first = int(self.intercept)
        # About the centre of the runs the terms of the quadratic form do not cancel.
        away = X - self.centre
        centre_value = self.params[0] + self.centre @ self.params[1:] if self.intercept else 0.0
        mean = centre_value + away @ self.params[first:]
        variance = np.einsum("ij,jk,ik->i", away, self.covariance[first:, first:], away)
        variance += self.sigma**2 / self.n_runs if self.intercept else 0.0
        std_error = np.sqrt(variance + (self.sigma**2 if interval == "observation" else 0.0))
        half = self._quantile(level) * std_error
        return Prediction(mean, std_error, mean - half, mean + half, level, interval)

    def summary(self) -> str:
        """The fit as plain text: one line a parameter, then the fit as a whole.

        Examples:
            >>> from imine.regression import fit_ols
            >>> print(fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"]).summary())
            parameter    estimate   std error         t          p  95 % interval
            intercept        1.03     0.07937    12.977     0.0059  [0.68849, 1.3715]
            x                1.98     0.04243    46.669     0.0005  [1.7975, 2.1625]
            n 4, df 2, sigma 0.09487, R2 0.9991, adjusted 0.9986, PRESS R2 0.9973
            F 2178.0 (p 0.0005), log-likelihood 5.13, AIC -4.26, BIC -6.10
        """
        width = max(len(name) for name in (*self.names, "parameter"))
        lines = [f"{'parameter':<{width}}{'estimate':>12}{'std error':>12}{'t':>10}{'p':>11}  95 % interval"]
        rows = zip(self.names, self.params, self.std_errors, self.t, self.p, self.conf_int(), strict=True)
        for name, value, error, t, p, (low, high) in rows:
            numbers = f"{value:>12.5g}{error:>12.4g}{t:>10.3f}{format_p(p):>11}"
            lines.append(f"{name:<{width}}{numbers}  [{low:.5g}, {high:.5g}]")
        lines.append(
            f"n {self.n_runs}, df {self.df_resid}, sigma {self.sigma:.4g}, R2 {self.r2:.4f}, "
            f"adjusted {self.adjusted_r2:.4f}, PRESS R2 {self.press_r2:.4f}"
        )
        lines.append(
            f"F {self.f:.1f} (p {format_p(self.f_p)}), log-likelihood {self.log_likelihood:.2f}, "
            f"AIC {self.aic:.2f}, BIC {self.bic:.2f}"
        )
        return "\n".join(lines)

    def _quantile(self, level: float) -> float:
        from scipy.stats import t as student

        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1; got {level!r}")
        return float(student.isf((1.0 - level) / 2.0, self.df_resid))
