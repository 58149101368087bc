"""Residuals of every subset of columns, by a tree of orthogonalisations.

A node of the tree is a subset; its children add one later column. Each node keeps the later columns and y with
the directions of its subset taken out, so that a child costs one direction more, and rounding errors grow with
the size of a subset rather than with the number of subsets visited (the tree of Furnival, Wilson 1974,
Technometrics 16, 499-511, on orthogonalised columns in place of cross products).
"""

from __future__ import annotations

import numpy as np

from imine_kernels.jit import kernel


# A loop in a helper compiles in a fraction of the time that an assignment to a slice takes.
@kernel
def _copy(source, target):
    for i in range(source.shape[0]):
        target[i] = source[i]


@kernel
def _dot(a, b, length):
    total = 0.0
    for i in range(length):
        total += a[i] * b[i]
    return total


@kernel
def _descend(parent, child, leverage, above, j, fitted, own):
    """Make the node that adds column j to a parent: fills ``child`` and its leverage.

    Inner products run over the first ``fitted`` entries; further entries follow the same combinations, so
    that the last row ends as the residual of y in rows that were not fitted.
    """
    width, length = parent.shape
    direction = np.empty(length)
    for i in range(length):
        direction[i] = parent[j, i] / own
    for i in range(fitted):
        leverage[i] = above[i] + direction[i] * direction[i]
    for c in range(j + 1, width):
        share = _dot(direction, parent[c], fitted)
        for i in range(length):
            child[c, i] = parent[c, i] - share * direction[i]
        again = _dot(direction, child[c], fitted)
        for i in range(length):
            child[c, i] -= again * direction[i]


@kernel
def _loss(residual, leverage, fitted, held_out):
    """Sum of squares: of the fitted rows, of the held-out rows (1), or of the leave-one-out errors (2)."""
    total = 0.0
    if held_out == 1:
        for i in range(fitted, residual.shape[0]):
            total += residual[i] * residual[i]
        return total
    for i in range(fitted):
        error = residual[i]
        if held_out == 2:
            left = 1.0 - leverage[i]
            error = error / left if left > 1e-10 else np.nan
        total += error * error
    return total


@kernel
def all_subsets(columns, lengths, noise, tolerance, largest, fitted, hat, held_out, losses):
    """Loss of the regression on every subset of at most ``largest`` columns.

    ``columns`` is (k + 1, length), one candidate a row and y last; ``lengths`` and ``noise`` are (k,): the
    length of each candidate before anything was taken out of it, and what rounding can give it. ``hat`` is the
    leverage of each fitted entry by what every model holds, shape (fitted,). ``losses``, shape (2**k,), gets
    the loss of the subset whose bits are set in the index; not a number where its columns are dependent or
    where it is too large.
    """
    k = columns.shape[0] - 1
    length = columns.shape[1]
    levels = min(largest, k)
    nodes = np.empty((levels + 1, k + 1, length))
    leverages = np.empty((levels + 1, fitted))
    last, masks = np.zeros(levels + 1, np.int64), np.zeros(levels + 1, np.int64)
    for c in range(k + 1):
        _copy(columns[c], nodes[0, c])
    _copy(hat, leverages[0])
    for index in range(losses.shape[0]):
        losses[index] = np.nan
    losses[0] = _loss(columns[k], hat, fitted, held_out)
    depth = 0
    while depth >= 0:
        j = last[depth]
        if j >= k or depth == levels:
            depth -= 1
            continue
        last[depth] += 1
        own = np.sqrt(_dot(nodes[depth, j], nodes[depth, j], fitted))
        if own <= max(tolerance * lengths[j], noise[j]):
            continue
        _descend(nodes[depth], nodes[depth + 1], leverages[depth + 1], leverages[depth], j, fitted, own)
        depth += 1
        masks[depth] = masks[depth - 1] | (1 << j)
        losses[masks[depth]] = _loss(nodes[depth, k], leverages[depth], fitted, held_out)
        last[depth] = j + 1
