"""Criteria by which models are compared."""

from __future__ import annotations

import math

from imine.regression.choosing.settings import Criterion

# Two models whose penalised residual variances differ by no more than this share are equal: rounding is below it,
# and differences that mean something are far above.
TIE = 1e-9

LABELS: dict[str, str] = {
    "p": "p",
    "aic": "AIC",
    "aicc": "AICc",
    "bic": "BIC",
    "adjusted_r2": "adjusted R2",
    "cv": "CV error",
}


def criterion_value(criterion: Criterion, loss: float, terms: int, n: int, total: float) -> float:
    """A criterion as it is reported; the conventions are those of :class:`imine.regression.OlsResults`.

    ``AIC = n log(2 pi RSS / n) + n + 2 c`` with ``c = terms + 2``: intercept and error variance are counted.
    R's ``extractAIC``, which ``step`` prints, is lower by ``n (log(2 pi) + 1) + 2``, and with
    ``k = log(n)`` lower than BIC by ``n (log(2 pi) + 1) + log(n)``: constants, which change no choice.

    Args:
        criterion: ``p`` gives the residual sum of squares.
        loss: residual sum of squares; for ``cv`` the sum of squared errors out of sample.
        terms: number of terms, the intercept not counted.
        n: number of runs.
        total: sum of squares of the response about its mean.

    Returns:
        The value; not a number where the criterion is not defined for so few runs.

    Examples:
        >>> round(criterion_value("aic", 2.0, 1, 10, 5.0), 4)
        18.2844
    """
    if criterion == "p":
        return loss
    if criterion == "cv":
        return loss / n
    spare = n - terms - 1
    if spare < 1:
        return math.nan
    if criterion == "adjusted_r2":
        return 1.0 - (loss / spare) / (total / (n - 1)) if total > 0 else math.nan
    counted = terms + 2
    deviance = n * (math.log(2 * math.pi * loss / n) + 1) if loss > 0 else -math.inf
    if criterion == "bic":
        return deviance + counted * math.log(n)
    if criterion == "aic":
        return deviance + 2 * counted
    left = n - counted - 1
    return deviance + 2 * counted + 2 * counted * (counted + 1) / left if left > 0 else math.nan


def comparison_key(criterion: Criterion, loss: float, terms: int, n: int, total: float) -> float:
    """The same criterion as the logarithm of a penalised residual variance: less is better.

    On this scale one tolerance, ``TIE``, serves all criteria.

    Examples:
        >>> key = comparison_key("aic", 2.0, 1, 10, 5.0)
        >>> key < comparison_key("aic", 2.0, 2, 10, 5.0)
        True
    """
    if math.isnan(loss) or n - terms < 2:
        return math.nan
    if loss <= 0:
        return -math.inf
    if criterion in ("p", "cv"):
        return math.log(loss)
    if criterion == "adjusted_r2":
        return math.log(loss / (n - terms - 1))
    return criterion_value(criterion, loss, terms, n, total) / n


def two_sided_p(f: float, df: int) -> float:
    """p-value of an F with one and ``df`` degrees of freedom, which is the square of a t.

    Examples:
        >>> round(two_sided_p(4.0, 20), 4)
        0.0593
    """
    from scipy.special import stdtr

    return 2.0 * float(stdtr(df, -math.sqrt(f))) if math.isfinite(f) else (0.0 if f > 0 else math.nan)


def critical_f(p: float, df: int) -> float:
    """The F whose p-value is ``p``.

    Examples:
        >>> round(critical_f(0.05, 20), 4)
        4.3512
    """
    from scipy.special import stdtrit

    return float(stdtrit(df, p / 2.0)) ** 2
