"""Groups of near-duplicates: rows joined by cosines above a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Rows and columns of a block of products: 4 MB.
_ROWS = 512
_COLUMNS = 2048


def near_duplicate_groups(embeddings: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """The group of each row, where rows whose cosine is at least ``threshold`` are in one group.

    Groups are connected components: two rows of a group may be less alike than the threshold, where others link them.
    Every pair is compared; a float32 product within its rounding error of the threshold is computed again in
    float64. Memory is one block of products and one number a row.

    Args:
        embeddings: float32 unit vectors, (rows, dimensions); a row of zeros is alone.
        threshold: least cosine, above 0 and at most 1.

    Returns:
        int64, (rows,): the position of the first row of the group; ``groups == np.arange(rows)`` marks one row a
        group.

    Raises:
        ValueError: a threshold out of range, or vectors that are not of unit length.

    Examples:
        >>> rows = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], dtype=np.float32)
        >>> near_duplicate_groups(rows, 0.75).tolist()
        [0, 1, 1, 0]
    """
    from imine_kernels.nearest import groups, join_above

    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, not {threshold}")
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    strange = (lengths > 0) & (abs(lengths - 1) > 1e-3)
    if strange.any():
        raise ValueError(
            f"embeddings must be of unit length; row {strange.argmax()} is {lengths[strange][0]:.6g}"
        )
    # Rounding of the product, and lengths that are not quite 1.
    margin = vectors.shape[1] * 2.0**-23 + 3 * float(abs(lengths[lengths > 0] - 1).max(initial=0))
    # The same vector has cosine 1, whatever its roundings add up to.
    least = min(threshold, 1 - 2.0**-40)
    parents = np.arange(len(vectors))
    buffer = np.empty(_ROWS * _COLUMNS, dtype=np.float32)
    for row in range(0, len(vectors), _ROWS):
        rows = vectors[row : row + _ROWS]
        for column in range(row, len(vectors), _COLUMNS):
            columns = vectors[column : column + _COLUMNS]
            products = buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            np.matmul(rows, columns.T, out=products)
            join_above(products, vectors, row, column, least, margin, parents)
    groups(parents)
    return parents
