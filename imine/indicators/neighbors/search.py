"""One way in to the searches for neighbours, and what makes a column of their distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.columns import require_column
from imine.indicators.neighbors.approximate import (
    measure_recall,
    nearest_approximate,
    search_fingerprint,
)
from imine.indicators.neighbors.exact import Neighbors, nearest_exact
from imine.progress import Progress, SilentProgress


def find_neighbors(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    ranks: int,
    own: NDArray[np.int64],
    *,
    method: str = "exact",
    progress: Progress | None = None,
) -> Neighbors:
    """The nearest references of each query, exact or by a library.

    Args:
        queries, reference, ranks, own: as for :func:`imine.indicators.neighbors.nearest_exact`.
        method: ``exact``, ``nn-descent`` or ``faiss``.
        progress: told of the recall, which is measured on 200 queries where the search is not exact.

    Raises:
        SettingsError: no such method.
        MissingExtraError: its library is not installed.

    Examples:
        >>> line = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
        >>> find_neighbors(line, line, 1, np.arange(3)).positions.ravel().tolist()
        [1, 0, 1]
    """
    if method == "exact":
        return nearest_exact(queries, reference, ranks, own)
    found = nearest_approximate(queries, reference, ranks, own, method)
    recall = measure_recall(found, queries, reference, own)
    if recall is not None:
        (progress or SilentProgress()).note(f"neighbours by {method}: {recall.describe()}")
    return found


def neighbor_fingerprint(
    name: str, encoder: dict[str, Any], reference: dict[str, Any], method: str = "exact"
) -> dict[str, Any]:
    """What makes a column of neighbour distances; the recall of a search that is not exact is no part of it.

    Examples:
        >>> neighbor_fingerprint("knn_6", {"sha256": "00"}, {"kind": "self"})["metric"]
        'euclidean'
    """
    fingerprint = {
        "indicator": name,
        "version": require_column(name).version,
        "metric": "euclidean",
        "encoder": encoder,
        "reference": reference,
    }
    return fingerprint if method == "exact" else fingerprint | {"search": search_fingerprint(method)}
