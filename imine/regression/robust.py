"""Covariances that stay right when the errors do not all vary alike, or vary together in groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.doubled import Array, Doubled, folded_product, total
from imine.regression.factoring import column_lengths, inverted, pivoted_qr

# Below this share of its error the residual of a run says nothing of its variance.
_NO_RESIDUAL = 1e-20


def spread_rows(
    kind: str,
    influence: Doubled,
    scores: Doubled,
    left: Doubled,
    groups: npt.NDArray[np.intp] | None,
    rows: npt.NDArray[np.intp],
) -> Array:
    """Rows ``u`` whose ``u'u`` is the robust covariance of the parameters.

    Args:
        kind: ``HC0`` to ``HC3``, or ``cluster``.
        influence: ``X (X'WX)**-1``, shape (runs, p); scores: weight times residual; left: one minus leverage.
        groups: for ``cluster`` the number of each run's group.
        rows: numbers of the runs, for messages.

    Raises:
        RegressionError: a run of leverage 1 under ``HC2`` or ``HC3``.

    References:
        MacKinnon, White (1985), J. Econometrics 29, 305-325 (HC0 to HC3); Liang, Zeger (1986), Biometrika 73,
        13-22 (groups), with the factor ``G / (G - 1) * (n - 1) / (n - p)``.
    """
    n, p = influence.shape
    pulled = Doubled(influence.hi, influence.lo) * Doubled(scores.hi[:, None], scores.lo[:, None])
    if groups is not None:
        count = int(groups.max()) + 1
        summed = [[float(total(pulled[groups == g, j]).hi) for j in range(p)] for g in range(count)]
        grouped = np.array(summed) * math.sqrt(count / (count - 1) * (n - 1) / (n - p))
        # In an order of their own, since the groups were numbered in that of the given rows.
        return np.asarray(grouped[np.lexsort(grouped.T)])
    if kind in ("HC2", "HC3"):
        _refuse_leverage_one(kind, left.hi, rows)
        share = left.hi[:, None]
        return pulled.hi / (np.sqrt(share) if kind == "HC2" else share)
    return pulled.hi * (math.sqrt(n / (n - p)) if kind == "HC1" else 1.0)


def group_indices(groups: Sequence[Any] | npt.NDArray[Any], n: int) -> npt.NDArray[np.intp]:
    """Numbers of the groups from labels.

    Raises:
        ValueError: not one label a run.
        RegressionError: a label that is missing, or fewer than two groups.

    Examples:
        >>> group_indices(["alpaca", "dolly", "alpaca"], 3).tolist()
        [0, 1, 0]
    """
    labels = list(groups)
    if len(labels) != n:
        raise ValueError(f"groups must hold one label a run, {n}; got {len(labels)}")
    missing = [i for i, label in enumerate(labels) if label is None or label != label]
    if missing:
        raise RegressionError(f"runs without a group: {', '.join(str(i) for i in missing[:5])}")
    numbers = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    if len(numbers) < 2:
        raise RegressionError("a covariance by groups needs at least two of them; all runs are in one")
    return np.array([numbers[label] for label in labels], dtype=np.intp)


def covariance_of(rows: Array) -> Array:
    """``rows' rows`` with correctly rounded sums, shape (p, p).

    Examples:
        >>> covariance_of(np.array([[1.0, 2.0], [0.0, 1.0]])).tolist()
        [[1.0, 2.0], [2.0, 5.0]]
    """
    p = rows.shape[1]
    result = np.empty((p, p))
    for i in range(p):
        for j in range(i, p):
            result[i, j] = result[j, i] = math.fsum((rows[:, i] * rows[:, j]).tolist())
    return result


def root_of(rows: Array) -> Array:
    """A square matrix ``r`` with ``r r' = rows' rows``."""
    lengths = column_lengths(rows)
    safe = np.where(lengths > 0, lengths, 1.0)
    R, order = pivoted_qr(rows / safe)
    root = np.empty((rows.shape[1],) * 2)
    root[order] = R.T
    return root * safe[:, None]


def wald_f(rows: Array, slopes: Array) -> float:
    """Wald's F of all slopes being zero; not a number where the covariance is singular.

    Args:
        rows: shape (any, terms), ``rows' rows`` the covariance of the slopes.
        slopes: shape (terms,).
    """
    k = len(slopes)
    lengths = column_lengths(rows)
    if k == 0 or len(rows) < k or not np.all(lengths > 0):
        return math.nan
    R, order = pivoted_qr(rows / lengths)
    diagonal = np.abs(np.diag(R))
    if diagonal.min() <= len(rows) * np.finfo(np.float64).eps * diagonal.max():
        return math.nan
    scaled = (slopes / lengths)[order][:, None]
    return math.fsum((folded_product(inverted(R).T, scaled) ** 2).ravel().tolist()) / k


def _refuse_leverage_one(kind: str, left: Array, rows: npt.NDArray[np.intp]) -> None:
    alone = sorted(int(row) for row in rows[left <= _NO_RESIDUAL])
    if alone:
        raise RegressionError(
            f"{kind} is not defined: only these runs determine a coefficient (leverage 1): "
            f"{', '.join(str(i) for i in alone[:5])}. Use HC1, or leave out the term that only they vary."
        )
