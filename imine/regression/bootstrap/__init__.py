"""Bootstrap of the whole procedure: the choice of terms is made anew in every resample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.bootstrap.draws import block_sizes, draw_block
from imine.regression.bootstrap.engine import Refits, has_kernel, refit, run_blocks
from imine.regression.bootstrap.result import BootstrapChoice, ChosenModel
from imine.regression.choosing.choice import choose_terms
from imine.regression.choosing.linear import away_from, orthogonal
from imine.regression.choosing.models import Models
from imine.regression.choosing.problem import Array, Problem, make_problem
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.choosing.stepwise import all_terms

__all__ = ["BootstrapChoice", "ChosenModel", "bootstrap_choice"]


def bootstrap_choice(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    names: Sequence[str],
    settings: ChoiceSettings | None = None,
    *,
    repeats: int = 2000,
    kind: Literal["cases", "residuals"] = "cases",
    seed: int = 0,
    threads: int | None = None,
    level: float = 0.95,
) -> BootstrapChoice:
    """Choose terms anew in many resamples of the runs.

    ``cases`` draws runs with replacement. ``residuals`` keeps the runs and adds to the fit of all candidates
    its residuals, drawn with replacement, each first divided by ``sqrt(1 - leverage)`` and all centred: that
    model has made no choice yet. The methods ``forward``, ``backward``, ``both`` and ``paper`` run in a
    compiled kernel, by any criterion but ``cv``; ``best``, ``cv`` and ``paper`` with ``max_terms`` are
    repeated one by one, which takes milliseconds each (``docs/choosing.md``).

    Args:
        X: shape (runs, candidates), finite.
        y: shape (runs,), finite.
        names: one name a column.
        settings: how terms are chosen; by default forward by AIC.
        repeats: number of resamples.
        kind: what is resampled.
        seed: of the resamples; the result does not depend on ``threads`` or on the order of the runs.
        threads: how many to use; by default one a core.
        level: confidence level of the summary.

    Returns:
        The choice on the data, and what the repeats chose and fitted.

    Raises:
        ValueError: an argument out of its range.
        RegressionError: what :func:`imine.regression.choosing.choose_terms` raises, or residuals of a model
            that fits a run whatever its value.

    References:
        Efron, Tibshirani (1993), An Introduction to the Bootstrap, chapters 9, 13 and 14.

    Examples:
        >>> X = [[x, (x * x) % 7] for x in range(20)]
        >>> y = [0.5 * x + (-1) ** x for x in range(20)]
        >>> bootstrap = bootstrap_choice(X, y, ["a", "b"], repeats=200, threads=1)
        >>> bootstrap.choice.terms, bootstrap.frequency.tolist()
        (('a',), [1.0, 0.18])
    """
    settings = settings or ChoiceSettings()
    _check(repeats, kind, seed, threads, level)
    choice = choose_terms(X, y, names, settings)
    problem = make_problem(X, y, names)
    fitted, residuals = _about_all(problem, settings) if kind == "residuals" else (problem.y, problem.y)
    sizes, n, kernel = block_sizes(repeats), len(problem.y), has_kernel(settings)
    runs = np.arange(n)

    def work(block: int) -> Refits:
        drawn = draw_block(seed, block, n)[: sizes[block]]
        if kind == "cases":
            return refit(problem, settings, drawn, problem.y[drawn], kernel=kernel)
        rows = np.broadcast_to(runs, drawn.shape).copy()
        return refit(problem, settings, rows, fitted + residuals[drawn], kernel=kernel)

    refits = run_blocks(len(sizes), work, threads or _all_threads())
    without_one = np.array([np.delete(runs, i) for i in runs])
    jackknife = refit(problem, settings, without_one, problem.y[without_one], kernel=kernel)
    return BootstrapChoice(
        choice=choice,
        kind=kind,
        seed=seed,
        level=level,
        coefficients=refits.coefficients,
        chosen=refits.chosen,
        jackknife=jackknife.coefficients,
        dependent=refits.dependent.sum(axis=0),
        exact=int(refits.exact.sum()),
        compiled=kernel,
    )


def _check(repeats: int, kind: str, seed: int, threads: int | None, level: float) -> None:
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1; got {repeats}")
    if kind not in ("cases", "residuals"):
        raise ValueError(f"kind must be 'cases' or 'residuals'; got {kind!r}")
    if seed < 0:
        raise ValueError(f"seed must not be negative; got {seed}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1; got {threads}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level!r}")


def _all_threads() -> int:
    from imine_kernels.jit import default_threads

    return default_threads()


def _about_all(problem: Problem, settings: ChoiceSettings) -> tuple[Array, Array]:
    """Fitted values and standardised residuals of the model with all candidates."""
    columns = list(all_terms(Models(problem, settings)))
    n = len(problem.y)
    Q, _, _ = orthogonal(problem.Z[:, columns], problem.noise[columns], settings.tolerance)
    residuals = away_from(problem.y, Q)
    left = 1.0 - 1.0 / n - np.einsum("ij,ij->i", Q, Q)
    if len(columns) > n - 2 or np.any(left <= 1e-10):
        raise RegressionError(
            f"the model of all {len(columns)} candidates leaves some of the {n} runs no residual: "
            "resample cases, or force terms out."
        )
    scaled = residuals / np.sqrt(left)
    return problem.y - residuals, scaled - scaled.mean()
