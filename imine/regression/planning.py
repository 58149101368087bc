"""How many runs of what spread a study needs: power and width of intervals, simulated from a pilot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.ols import fit_ols
from imine.regression.results import Array

# Batches of simulated studies of about this many numbers stay in cache and under 50 MB.
_BATCH = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Pilot:
    """What a study is expected to look like.

    Attributes:
        names: terms of the regression.
        covariance: of the terms over runs, shape (terms, terms).
        coefficients: expected, shape (terms,).
        sigma: standard deviation of the noise of a run, in log loss.
        df_sigma: degrees of freedom with which ``sigma`` was estimated; infinite when it is taken as known.

    Raises:
        ValueError: shapes that do not fit, a covariance that is not positive definite, or a ``sigma`` of zero.
    """

    names: tuple[str, ...]
    covariance: Array
    coefficients: Array
    sigma: float
    df_sigma: float = math.inf

    def __post_init__(self) -> None:
        k = len(self.names)
        for field in ("covariance", "coefficients"):
            object.__setattr__(self, field, np.array(getattr(self, field), dtype=np.float64))
        if self.covariance.shape != (k, k) or self.coefficients.shape != (k,):
            raise ValueError(
                f"for {k} names covariance must have shape ({k}, {k}) and coefficients ({k},); "
                f"got {self.covariance.shape} and {self.coefficients.shape}"
            )
        if not (self.sigma > 0.0 and self.df_sigma > 0.0):
            raise ValueError(f"sigma and df_sigma must be positive; got {self.sigma} and {self.df_sigma}")
        if not np.allclose(self.covariance, self.covariance.T) or np.linalg.eigvalsh(self.covariance)[0] <= 0:
            raise ValueError(
                "covariance must be symmetric and positive definite: no term determined by others"
            )

    @classmethod
    def from_runs(cls, X: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str]) -> Pilot:
        """The pilot that finished runs amount to.

        Args:
            X: shape (runs, terms).
            y: log loss, shape (runs,).
            names: one a column.

        Raises:
            RegressionError: the runs cannot carry the regression; see ``fit_ols``.

        Examples:
            >>> pilot = Pilot.from_runs([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"])
            >>> round(pilot.sigma, 4), pilot.df_sigma
            (0.0949, 2.0)
        """
        results = fit_ols(X, y, names)
        covariance = np.atleast_2d(np.cov(np.asarray(X, dtype=np.float64), rowvar=False))
        return cls(tuple(names), covariance, results.params[1:], results.sigma, float(results.df_resid))

    def cautious(self, confidence: float = 0.8) -> Pilot:
        """The pilot with the upper confidence limit of its ``sigma`` in place of the estimate.

        A small pilot finds too small a sigma about half of the time, and a study planned on it falls short.

        Args:
            confidence: that the true sigma is not above the limit, between 0 and 1.

        References:
            Browne (1995), On the use of a pilot sample for sample size determination, Statistics in Medicine 14.

        Examples:
            >>> pilot = Pilot(("x",), np.eye(1), np.ones(1), sigma=1.0, df_sigma=20.0)
            >>> round(pilot.cautious(0.8).sigma, 3)
            1.171
        """
        from scipy.stats import chi2

        if not 0.0 < confidence < 1.0:
            raise ValueError(f"confidence must lie between 0 and 1; got {confidence}")
        if math.isinf(self.df_sigma):
            return self
        limit = math.sqrt(self.df_sigma / chi2.isf(confidence, self.df_sigma))
        return replace(self, sigma=self.sigma * limit, df_sigma=math.inf)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study of one size gives for one term.

    Attributes:
        runs: number of finetuned subsets.
        spread: factor on the standard deviations of the terms over runs, against the pilot.
        power: share of simulated studies in which the term differs from zero at ``1 - level``.
        power_error: its standard error from the simulation.
        width: median width of the interval of the coefficient.
        width_high: width that 90 % of the studies stay below.
        level: of the interval.
    """

    runs: int
    spread: float
    power: float
    power_error: float
    width: float
    width_high: float
    level: float


def power_curve(
    pilot: Pilot,
    term: str,
    runs: Sequence[int],
    *,
    spreads: Sequence[float] = (1.0,),
    effect: float | None = None,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
) -> tuple[Plan, ...]:
    """Simulate studies of several sizes and spreads.

    Each study draws the terms of its runs from a normal distribution with the pilot's covariance, times
    ``spread^2``, adds noise to what the coefficients predict, and fits all terms by least squares.

    Args:
        pilot: what is expected.
        term: the term of interest.
        runs: sizes of the study.
        spreads: factors on the standard deviations of the terms; a wider design makes coefficients sharper.
        effect: coefficient of ``term`` to be found; by default that of the pilot.
        level: of the interval; the test is at ``1 - level``.
        repetitions: simulated studies for each size and spread.
        seed: the same studies for the same size, whatever else is asked for.

    Returns:
        One plan for each spread and size, spreads in turn.

    Raises:
        ValueError: an unknown term, or sizes, spreads or a level that are not allowed.

    Examples:
        >>> pilot = Pilot(("x", "z"), np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([0.2, 0.1]), sigma=1.0)
        >>> [round(plan.power, 1) for plan in power_curve(pilot, "x", [50, 400], repetitions=500)]
        [0.2, 0.9]
    """
    _check(pilot, term, runs, spreads, level, repetitions)
    return tuple(
        _plan(pilot, term, n, spread, effect, level, repetitions, seed) for spread in spreads for n in runs
    )


def runs_needed(
    pilot: Pilot,
    term: str,
    *,
    width: float | None = None,
    power: float | None = None,
    effect: float | None = None,
    assurance: float = 0.5,
    spread: float = 1.0,
    level: float = 0.95,
    max_runs: int = 10_000,
    repetitions: int = 2000,
    seed: int = 0,
) -> Plan:
    """The smallest study with an interval of a wanted width, or a power for an effect.

    Args:
        pilot, term, effect, level, repetitions, seed: as in :func:`power_curve`.
        width: wanted full width of the interval; give this or ``power``.
        power: wanted power, between 0 and 1.
        assurance: share of studies whose interval is at most ``width``.
        spread: factor on the standard deviations of the terms.
        max_runs: where to give up.

    Returns:
        The plan with the smallest number of runs, as accurate as the simulation: ``power_error`` is its error.

    Raises:
        RegressionError: not reached with ``max_runs``.
        ValueError: both or neither of ``width`` and ``power``, or arguments that are not allowed.

    Examples:
        >>> pilot = Pilot(("x",), np.eye(1), np.array([0.2]), sigma=1.0)
        >>> plan = runs_needed(pilot, "x", width=0.4, repetitions=500)
        >>> 90 < plan.runs < 105
        True
    """
    if (width is None) == (power is None):
        raise ValueError(f"give width or power, one of the two; got {width!r} and {power!r}")
    if width is not None and not width > 0.0:
        raise ValueError(f"width must be positive; got {width}")
    for name, share in (("power", 0.5 if power is None else power), ("assurance", assurance)):
        if not 0.0 < share < 1.0:
            raise ValueError(f"{name} must lie between 0 and 1; got {share}")
    fewest = len(pilot.names) + 3
    _check(pilot, term, (fewest,), (spread,), level, repetitions)

    def enough(n: int) -> bool:
        estimates, widths = _simulate(pilot, term, n, spread, effect, level, repetitions, seed)
        if width is not None:
            return float(np.mean(widths <= width)) >= assurance
        return float(np.mean(np.abs(estimates) > 0.5 * widths)) >= (power or 0.0)

    low, high = fewest - 1, fewest
    while not enough(high):
        if high >= max_runs:
            wanted = f"an interval of width {width:g}" if width is not None else f"a power of {power:g}"
            raise RegressionError(
                f"{wanted} for {term!r} is not reached with {max_runs} runs; spread the subsets more "
                f"(spread is {spread:g}), want less, or raise max_runs"
            )
        low, high = high, min(2 * high, max_runs)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return _plan(pilot, term, high, spread, effect, level, repetitions, seed)


def _check(
    pilot: Pilot, term: str, runs: Sequence[int], spreads: Sequence[float], level: float, repetitions: int
) -> None:
    if term not in pilot.names:
        raise ValueError(f"term must be one of {', '.join(pilot.names)}; got {term!r}")
    fewest = len(pilot.names) + 2
    if not runs or min(runs) < fewest:
        raise ValueError(f"runs must be at least {fewest} for {len(pilot.names)} terms; got {list(runs)}")
    if not spreads or not all(spread > 0.0 and math.isfinite(spread) for spread in spreads):
        raise ValueError(f"spreads must be positive; got {list(spreads)}")
    if not 0.0 < level < 1.0 or repetitions < 2:
        raise ValueError(f"level must lie in (0, 1), repetitions be at least 2; got {level}, {repetitions}")


def _plan(
    pilot: Pilot,
    term: str,
    n: int,
    spread: float,
    effect: float | None,
    level: float,
    repetitions: int,
    seed: int,
) -> Plan:
    estimates, widths = _simulate(pilot, term, n, spread, effect, level, repetitions, seed)
    power = float(np.mean(np.abs(estimates) > 0.5 * widths))
    return Plan(
        runs=n,
        spread=spread,
        power=power,
        power_error=math.sqrt(power * (1.0 - power) / repetitions),
        width=float(np.median(widths)),
        width_high=float(np.quantile(widths, 0.9)),
        level=level,
    )


def _simulate(
    pilot: Pilot,
    term: str,
    n: int,
    spread: float,
    effect: float | None,
    level: float,
    repetitions: int,
    seed: int,
) -> tuple[Array, Array]:
    """Estimates of the term's coefficient and widths of its interval, shapes (repetitions,)."""
    from scipy.stats import t as student

    k, target = len(pilot.names), pilot.names.index(term)
    truth = pilot.coefficients[target] if effect is None else effect
    # In units of their standard deviations: perplexities and distances to neighbours differ by ten orders.
    scale = np.sqrt(np.diag(pilot.covariance))
    root = np.linalg.cholesky(pilot.covariance / np.outer(scale, scale))
    rng = np.random.default_rng([seed, n])
    batch = max(1, _BATCH // (n * (k + 1)))
    estimates, errors = [], []
    for first in range(0, repetitions, batch):
        count = min(batch, repetitions - first)
        X = rng.standard_normal((count, n, k)) @ root.T
        noise = pilot.sigma * rng.standard_normal((count, n))
        found, error = _fit_noise(X, noise, target)
        estimates.append(truth + found / (spread * scale[target]))
        errors.append(error / (spread * scale[target]))
    half = float(student.isf(0.5 * (1.0 - level), n - k - 1)) * np.concatenate(errors)
    return np.concatenate(estimates), 2.0 * half


def _fit_noise(X: Array, noise: Array, target: int) -> tuple[Array, Array]:
    """Error of the target's estimate and its standard error, for every study of a batch.

    Least squares is linear: the estimate is the true coefficient plus the regression of the noise on the terms,
    and the residuals are those of the noise, so the other coefficients need not be known.
    """
    _, n, k = X.shape
    X = X - X.mean(axis=1, keepdims=True)
    noise = noise - noise.mean(axis=1, keepdims=True)
    cross = np.einsum("rni,rnj->rij", X, X)
    inverse = np.linalg.inv(cross)
    slopes = np.einsum("rij,rnj,rn->ri", inverse, X, noise, optimize=True)
    residuals = noise - np.einsum("rni,ri->rn", X, slopes)
    variance = np.einsum("rn,rn->r", residuals, residuals) / (n - k - 1)
    return slopes[:, target], np.sqrt(variance * inverse[:, target, target])
