"""Error out of sample."""

from __future__ import annotations

import math

import numpy as np

from imine.regression.results import OlsResults
from imine.rules.parts import HeldOut


def leave_one_out(results: OlsResults) -> HeldOut:
    """How well each run is predicted by the fit of all others.

    Args:
        results: a fit in which every run can be left out.

    Returns:
        PRESS R2 (``1 - PRESS / SST``, SST about the mean of all runs), root mean squared error and Spearman's
        rank correlation of the left-out predictions with the truth. A fit without any relation tends to a
        negative rank correlation, since leaving out a high run lowers its prediction.

    Raises:
        ValueError: a run without which the fit is not determined.

    Examples:
        >>> from imine.regression import fit_ols
        >>> results = fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"])
        >>> round(leave_one_out(results).press_r2, 4)
        0.9973
    """
    from scipy.stats import spearmanr

    if not np.isfinite(results.loo_residuals).all():
        raise ValueError("results must determine the fit without any one run; a run has leverage 1")
    truth = results.fitted + results.residuals
    predicted = truth - results.loo_residuals
    varies = np.ptp(predicted) > 0 and np.ptp(truth) > 0
    rank = float(spearmanr(predicted, truth).statistic) if varies else math.nan
    return HeldOut(
        method="leave-one-out",
        n_runs=results.n_runs,
        press_r2=results.press_r2,
        press_rmse=math.sqrt(results.press / results.n_runs),
        spearman=rank if math.isfinite(rank) else None,
    )
