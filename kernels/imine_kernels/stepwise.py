"""Stepwise choice of regression terms on many resamples, each reduced to a small triangle by QR.

A resample of ``m`` runs and ``k`` candidates is centred and rotated by Householder reflections into ``k + 1``
rows (Golub, Van Loan 2013, Matrix Computations, 5.2). Lengths and angles are kept, so every model of the
resample has the same residual sum of squares in the small matrix as in the large one, and the condition of the
columns is not squared as it would be in a cross-product matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imine_kernels.jit import kernel

AIC, AICC, BIC, ADJUSTED_R2, P = 0, 1, 2, 3, 4
STEPS, PAPER = 0, 1


class Rules(NamedTuple):
    """How terms are chosen, as scalars and arrays.

    ``method`` is ``STEPS`` or ``PAPER``, ``criterion`` one of the codes above. ``start``, ``forced`` and
    ``allowed`` are boolean, shape (k,). ``f_enter`` and ``f_remove``, shape (m + 1,), are critical values of F
    with one and ``index`` degrees of freedom. ``noise``, shape (k,), is the length that rounding of the values
    can give a column; a column is dependent when less than ``tolerance`` of its length is its own; a fit with
    at most ``exact`` as its residual sum of squares is exact; ``tie`` is the relative difference of residual
    variances below which two models are equal.
    """

    method: int
    criterion: int
    adds: bool
    removes: bool
    max_terms: int
    start: np.ndarray
    forced: np.ndarray
    allowed: np.ndarray
    f_enter: np.ndarray
    f_remove: np.ndarray
    noise: np.ndarray
    tolerance: float
    exact: float
    tie: float


# A loop in a helper compiles in a fraction of the time that an assignment to a slice takes.
@kernel
def _fill(a, value):
    for i in range(a.shape[0]):
        a[i] = value


@kernel
def _copy(source, target):
    for i in range(source.shape[0]):
        target[i] = source[i]


@kernel
def _centre(A, means):
    """Subtract from each column of A its mean, in two passes for accuracy; the means are kept."""
    m, width = A.shape
    _fill(means, 0.0)
    for _ in range(2):
        sums = np.zeros(width)
        for i in range(m):
            for j in range(width):
                sums[j] += A[i, j]
        for j in range(width):
            sums[j] /= m
            means[j] += sums[j]
        for i in range(m):
            for j in range(width):
                A[i, j] -= sums[j]


@kernel
def _triangle(A, W):
    """Householder QR of A (m, width); row j of W gets column j of the triangle."""
    m, width = A.shape
    products = np.empty(width)
    for c in range(width):
        _fill(W[c], 0.0)
    for j in range(min(m, width)):
        square = 0.0
        for i in range(j, m):
            square += A[i, j] * A[i, j]
        diagonal = -np.sqrt(square) if A[j, j] > 0.0 else np.sqrt(square)
        if square > 0.0 and j < m - 1:
            A[j, j] -= diagonal
            half = -diagonal * A[j, j]
            _fill(products, 0.0)
            for i in range(j, m):
                for c in range(j + 1, width):
                    products[c] += A[i, j] * A[i, c]
            for c in range(j + 1, width):
                products[c] /= half
            for i in range(j, m):
                for c in range(j + 1, width):
                    A[i, c] -= A[i, j] * products[c]
            W[j, j] = diagonal
        else:
            W[j, j] = A[j, j]
        for c in range(j + 1, width):
            W[c, j] = A[j, c]


@kernel
def _dot(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@kernel
def _purge(v, Q, size, shares):
    """Take the first ``size`` directions of Q out of v, twice, adding what was taken to ``shares``."""
    for _ in range(2):
        for q in range(size):
            share = _dot(Q[q], v)
            shares[q] += share
            for i in range(v.shape[0]):
                v[i] -= share * Q[q, i]


@kernel
def _own_length(v, length, noise, tolerance):
    """Length of what is left of a column, or 0 when that is no more than rounding or tolerance."""
    left = np.sqrt(_dot(v, v))
    return left if left > max(tolerance * length, noise) else 0.0


@kernel
def _factor(W, inside, rules, lengths, Q, R, e):
    """Orthogonalise the columns of the model in their order; e becomes the residual of y.

    Returns the number of independent columns; dependent ones are dropped from ``inside``, the later of each
    dependent set.
    """
    k = W.shape[0] - 1
    size = 0
    shares = np.empty(k + 1)
    for j in range(k):
        if not inside[j]:
            continue
        _copy(W[j], Q[size])
        _fill(shares, 0.0)
        _purge(Q[size], Q, size, shares)
        own = _own_length(Q[size], lengths[j], rules.noise[j], rules.tolerance)
        if own == 0.0:
            inside[j] = False
            continue
        for i in range(size):
            R[i, size] = shares[i]
        R[size, size] = own
        for i in range(W.shape[1]):
            Q[size, i] /= own
        size += 1
    _copy(W[k], e)
    _fill(shares, 0.0)
    _purge(e, Q, size, shares)
    for i in range(size):
        R[i, k] = shares[i]
    return size


@kernel
def _slopes(R, size, k, slopes, unscaled):
    """Slopes by back substitution, and the diagonal of the inverse of the cross-product matrix."""
    for i in range(size - 1, -1, -1):
        total = R[i, k]
        for j in range(i + 1, size):
            total -= R[i, j] * slopes[j]
        slopes[i] = total / R[i, i]
    column = np.empty(size)
    _fill(unscaled, 0.0)
    for c in range(size):
        for i in range(c, -1, -1):
            total = 1.0 if i == c else 0.0
            for j in range(i + 1, c + 1):
                total -= R[i, j] * column[j]
            column[i] = total / R[i, i]
            unscaled[i] += column[i] * column[i]


@kernel
def _key(rss, terms, m, criterion):
    """Criterion as the logarithm of a penalised residual variance; not a number where it is not defined."""
    parameters = terms + 1
    spare = m - parameters
    if spare < 1:
        return np.nan
    if rss <= 0.0:
        return -np.inf
    counted = parameters + 1
    if criterion == AIC:
        return np.log(rss) + 2.0 * counted / m
    if criterion == AICC:
        left = m - counted - 1
        return np.log(rss) + 2.0 * counted / m * (1.0 + (counted + 1) / left) if left > 0 else np.nan
    if criterion == BIC:
        return np.log(rss) + counted * np.log(m) / m
    if criterion == ADJUSTED_R2:
        return np.log(rss / spare)
    return np.log(rss)


@kernel
def _removals(inside, rules, size, rss, m, R, keys, after):
    """Key and residual sum of squares of the model without each term that may go."""
    k = inside.shape[0]
    slopes, unscaled = np.empty(k + 1), np.empty(k + 1)
    _slopes(R, size, k, slopes, unscaled)
    place = 0
    for j in range(k):
        keys[j] = np.nan
        if not inside[j]:
            continue
        if not rules.forced[j]:
            after[j] = rss + slopes[place] * slopes[place] / unscaled[place]
            keys[j] = _key(after[j], size - 1, m, rules.criterion)
        place += 1


@kernel
def _additions(W, inside, rules, lengths, size, m, Q, e, keys, after):
    """Key and residual sum of squares of the model with each term that may come."""
    k = inside.shape[0]
    v, shares = np.empty(W.shape[1]), np.zeros(k + 1)
    for j in range(k):
        keys[j] = np.nan
        if inside[j] or not rules.allowed[j]:
            continue
        _copy(W[j], v)
        _purge(v, Q, size, shares)
        own = _own_length(v, lengths[j], rules.noise[j], rules.tolerance)
        if own == 0.0:
            continue
        share = _dot(v, e) / own
        total = 0.0
        for i in range(v.shape[0]):
            left = e[i] - share * v[i] / own
            total += left * left
        after[j] = total if total > rules.exact else 0.0
        keys[j] = _key(after[j], size + 1, m, rules.criterion)


@kernel
def _first_best(keys, tie):
    """Index of the first key that is no more than ``tie`` above the smallest; -1 when there is none."""
    best = np.inf
    found = False
    for j in range(keys.shape[0]):
        if not np.isnan(keys[j]) and keys[j] <= best:
            best = keys[j]
            found = True
    if not found:
        return -1
    for j in range(keys.shape[0]):
        if keys[j] <= best + tie:
            return j
    return -1


@kernel
def _next_change(rules, size, rss, m, drop_keys, drop_after, add_keys, add_after):
    """The term to remove (-1 - j), to add (j + 1), or 0 to stop."""
    drop, add = _first_best(drop_keys, rules.tie), _first_best(add_keys, rules.tie)
    if size > rules.max_terms:
        return -1 - drop if drop >= 0 else 0
    if rules.criterion == P:
        df = m - size - 1
        if drop >= 0 and (drop_after[drop] - rss) * df < rules.f_remove[df] * rss:
            return -1 - drop
        if add >= 0 and (rss - add_after[add]) * (df - 1) > rules.f_enter[df - 1] * add_after[add]:
            return add + 1
        return 0
    stay = _key(rss, size, m, rules.criterion)
    better_drop = drop >= 0 and drop_keys[drop] < stay - rules.tie
    better_add = add >= 0 and add_keys[add] < stay - rules.tie
    if better_drop and not (better_add and add_keys[add] < drop_keys[drop] - rules.tie):
        return -1 - drop
    return add + 1 if better_add else 0


@kernel
def _walk(W, inside, rules, lengths, m, Q, R, e):
    """Add and remove terms until no change is better; returns the number of terms."""
    k = inside.shape[0]
    drop_keys, drop_after, add_keys, add_after = np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    while True:
        size = _factor(W, inside, rules, lengths, Q, R, e)
        rss = _dot(e, e)
        if rss <= rules.exact:
            return size
        _fill(drop_keys, np.nan)
        _fill(add_keys, np.nan)
        if rules.removes:
            _removals(inside, rules, size, rss, m, R, drop_keys, drop_after)
        if rules.adds and size < rules.max_terms:
            _additions(W, inside, rules, lengths, size, m, Q, e, add_keys, add_after)
        change = _next_change(rules, size, rss, m, drop_keys, drop_after, add_keys, add_after)
        if change == 0:
            return size
        if change > 0:
            inside[change - 1] = True
        else:
            inside[-1 - change] = False


@kernel
def _keep_significant(W, inside, rules, lengths, m, Q, R, e):
    """Of all terms together, keep those whose F is above its critical value; returns how many."""
    k = inside.shape[0]
    size = _factor(W, inside, rules, lengths, Q, R, e)
    rss, df = _dot(e, e), m - size - 1
    if rss <= rules.exact or df < 1:
        return size
    slopes, unscaled = np.empty(k + 1), np.empty(k + 1)
    _slopes(R, size, k, slopes, unscaled)
    place = 0
    for j in range(k):
        if inside[j]:
            f = slopes[place] * slopes[place] / unscaled[place] * df / rss
            inside[j] = rules.forced[j] or f > rules.f_enter[df]
            place += 1
    return _factor(W, inside, rules, lengths, Q, R, e)


@kernel
def choose_in_resamples(Z, rows, responses, rules, coefficients, chosen, dependent, exact):
    """Choose terms anew in each resample and fit them.

    Z is (n, k), rows (repeats, m) indices into it, responses (repeats, m). Filled in: coefficients
    (repeats, k + 1), the intercept first and 0 for a term that is not chosen; chosen and dependent
    (repeats, k), the latter for candidates that those before them determine in the resample; exact (repeats,), for
    resamples that their model fits without any residual.
    """
    repeats, m = rows.shape
    k = Z.shape[1]
    A, W = np.empty((m, k + 1)), np.empty((k + 1, min(m, k + 1)))
    means, lengths = np.empty(k + 1), np.empty(k)
    Q, R = np.empty((k + 1, W.shape[1])), np.empty((k + 1, k + 1))
    e, slopes, unscaled = np.empty(W.shape[1]), np.empty(k + 1), np.empty(k + 1)
    inside = np.empty(k, np.bool_)
    for b in range(repeats):
        for i in range(m):
            _copy(Z[rows[b, i]], A[i])
            A[i, k] = responses[b, i]
        _centre(A, means)
        _triangle(A, W)
        for j in range(k):
            lengths[j] = np.sqrt(_dot(W[j], W[j]))
        _copy(rules.allowed, inside)
        _factor(W, inside, rules, lengths, Q, R, e)
        for j in range(k):
            dependent[b, j] = rules.allowed[j] and not inside[j]
            inside[j] = rules.start[j] and inside[j]
        if rules.method == PAPER:
            size = _keep_significant(W, inside, rules, lengths, m, Q, R, e)
        else:
            size = _walk(W, inside, rules, lengths, m, Q, R, e)
        exact[b] = _dot(e, e) <= rules.exact
        _slopes(R, size, k, slopes, unscaled)
        coefficients[b, 0] = means[k]
        place = 0
        for j in range(k):
            chosen[b, j] = inside[j]
            coefficients[b, j + 1] = slopes[place] if inside[j] else 0.0
            if inside[j]:
                coefficients[b, 0] -= slopes[place] * means[j]
                place += 1
