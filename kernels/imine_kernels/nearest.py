"""Running largest products: nearest unit vectors out of blocks of float32 products, settled in float64.

The best of a row so far are a binary heap with the least of them first: ``values`` and ``positions`` hold one heap a
row, filled with minus infinity and -1 at the start.
"""

from __future__ import annotations

import numpy as np

from imine_kernels.jit import helper, kernel

# Columns that are compared at once, without a branch: most of them are below the least of the heap.
_STRIDE = 64


# A sum over a slice is done with vector instructions; indices that could be negative, or a branch, prevent that.
@helper
def _any_above(line, least):
    above = 0
    for i in range(line.size):
        above += line[i] > least
    return above > 0


@helper
def _any_above_each(line, leasts):
    above = 0
    for i in range(line.size):
        above += line[i] > leasts[i]
    return above > 0


@helper
def _sink(values, positions, value, position):
    """Replace the first of a heap and restore its order."""
    size, hole = values.size, 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and values[child + 1] < values[child]:
            child += 1
        if values[child] >= value:
            break
        values[hole], positions[hole] = values[child], positions[child]
        hole = child
    values[hole], positions[hole] = value, position


@kernel
def take_rows(products, first, own, values, positions):
    """Let each row take its largest products.

    Args:
        products: float32 (rows, columns).
        first: position of the first column among the references.
        own: int64 (rows,), position of the row itself, which is left out; -1 for none.
        values, positions: float32 and int64 (rows, size), the heaps; changed.
    """
    columns = products.shape[1]
    for row in range(products.shape[0]):
        line, heap, places, itself = products[row], values[row], positions[row], own[row] - first
        least = heap[0]
        for start in range(0, columns, _STRIDE):
            stop = min(start + _STRIDE, columns)
            if not _any_above(line[start:stop], least):
                continue
            for column in range(start, stop):
                if line[column] > least and column != itself:
                    _sink(heap, places, line[column], first + column)
                    least = heap[0]


@kernel
def take_columns(products, first, low, high, values, positions):
    """Let each column between ``low`` and ``high`` take its largest products.

    Args:
        products: float32 (rows, columns).
        first: position of the first row among the references.
        low, high: columns that take.
        values, positions: float32 and int64 (columns, size), the heaps; changed.
    """
    leasts = values[:, 0].copy()
    for row in range(products.shape[0]):
        line = products[row]
        for start in range(low, high, _STRIDE):
            stop = min(start + _STRIDE, high)
            if not _any_above_each(line[start:stop], leasts[start:stop]):
                continue
            for column in range(start, stop):
                if line[column] > leasts[column]:
                    _sink(values[column], positions[column], line[column], first + row)
                    leasts[column] = values[column, 0]


@helper
def squared_distance(a, b):
    """Squared Euclidean distance of two float32 vectors, from their differences in float64."""
    total = 0.0
    for i in range(a.size):
        difference = np.float64(a[i]) - np.float64(b[i])
        total += difference * difference
    return total


@helper
def _insert(nearest, places, distance, place):
    """Put a candidate where it belongs by distance, then position; the last falls out."""
    at = nearest.size
    while at > 0 and (distance < nearest[at - 1] or (distance == nearest[at - 1] and place < places[at - 1])):
        at -= 1
    if at == nearest.size:
        return
    for i in range(nearest.size - 1, at, -1):
        nearest[i], places[i] = nearest[i - 1], places[i - 1]
    nearest[at], places[at] = distance, place


@kernel
def settle(queries, references, margin, values, positions, distances, places, unsure):
    """Order the candidates of each row by their exact distance.

    Args:
        queries, references: float32 (rows, dimensions) and (references, dimensions).
        margin: products that differ by less may be in the wrong order.
        values, positions: float32 and int64 (rows, size), the heaps.
        distances, places: float64 and int64 (rows, ranks), filled with infinity and -1; receive the nearest.
        unsure: bool (rows,), receives whether there may be candidates that the heap had no room for.
    """
    ranks = distances.shape[1]
    for row in range(queries.shape[0]):
        bound = np.sort(values[row])[values.shape[1] - ranks] - margin
        unsure[row] = values[row, 0] >= bound and positions[row, 0] >= 0
        for i in range(values.shape[1]):
            place = positions[row, i]
            if place >= 0 and values[row, i] >= bound:
                squared = squared_distance(queries[row], references[place])
                _insert(distances[row], places[row], squared, place)
        for rank in range(ranks):
            distances[row, rank] = np.sqrt(distances[row, rank])


@helper
def _root(parents, i):
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@helper
def _cosine(a, b):
    product, squares_a, squares_b = 0.0, 0.0, 0.0
    for i in range(a.size):
        x, y = np.float64(a[i]), np.float64(b[i])
        product += x * y
        squares_a += x * x
        squares_b += y * y
    return product / np.sqrt(squares_a * squares_b)


@kernel
def join_above(products, vectors, first_row, first_column, threshold, margin, parents):
    """Join the groups of all pairs whose cosine is at least the threshold.

    Args:
        products: float32 (rows, columns).
        vectors: float32 (vectors, dimensions), of which rows and columns are runs.
        first_row, first_column: position of the first row and column among the vectors.
        threshold: least cosine.
        margin: a product this near to the threshold is computed again in float64.
        parents: int64 (vectors,), the parent of each in its group, the root being the first of it; changed.
    """
    columns = products.shape[1]
    least = np.float32(threshold - 1.01 * margin)
    for row in range(products.shape[0]):
        line, i = products[row], first_row + row
        for start in range(0, columns, _STRIDE):
            stop = min(start + _STRIDE, columns)
            if not _any_above(line[start:stop], least):
                continue
            for column in range(start, stop):
                j = first_column + column
                if line[column] <= least or j <= i:
                    continue
                a, b = _root(parents, i), _root(parents, j)
                if a == b:
                    continue
                near = abs(np.float64(line[column]) - threshold) <= margin
                if near and _cosine(vectors[i], vectors[j]) < threshold:
                    continue
                parents[max(a, b)] = min(a, b)


@kernel
def groups(parents):
    """The root of each, in place of its parent."""
    for i in range(parents.size):
        parents[i] = _root(parents, i)
