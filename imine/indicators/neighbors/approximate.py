"""Neighbours by libraries, for pools where the exact search takes too long; and how many of them are right."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.errors import MissingExtraError, SettingsError
from imine.indicators.neighbors.exact import Neighbors, nearest_exact, no_neighbors, settle_candidates

METHODS = ("exact", "nn-descent", "faiss")

_MODULES = {"nn-descent": "pynndescent", "faiss": "faiss"}
_PACKAGES = {"nn-descent": "pynndescent", "faiss": "faiss-cpu"}

# faiss: up to so many references all are compared (fewer would be too few to train the lists on); beyond, those of the
# lists nearest to a query.
_FLAT = 25_000
_LISTS_FACTOR = 4
_PROBED = 64
# nn-descent: neighbours kept in its graph, at least.
_GRAPH = 30
_SEED = 0


def require_search(method: str) -> None:
    """Fail where a way of searching is unknown or its library is not installed; nothing is imported.

    Raises:
        SettingsError: no such way.
        MissingExtraError: names the package and the install line.

    Examples:
        >>> require_search("exact")
    """
    if method not in METHODS:
        raise SettingsError(f"neighbors must be one of {', '.join(METHODS)}, not {method!r}")
    module = _MODULES.get(method)
    if module is not None and importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f"neighbours by {method}: {_PACKAGES[method]} is not installed; it comes with the extra: "
            'pip install "imine[neighbors]"'
        )


def search_fingerprint(method: str) -> dict[str, Any]:
    """What makes neighbours that are not exact: library, version and parameters."""
    require_search(method)
    about: dict[str, Any] = {"method": method, "version": _version(method)}
    if method == "faiss":
        return about | {
            "flat_up_to": _FLAT,
            "lists": f"{_LISTS_FACTOR} sqrt(references)",
            "probed": _PROBED,
        }
    return about | {"graph": f"max({_GRAPH}, ranks + 10)", "seed": _SEED}


def _version(method: str) -> str:
    try:
        return importlib.metadata.version(_PACKAGES[method])
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # another build of the same module, such as faiss-gpu


def nearest_approximate(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    ranks: int,
    own: NDArray[np.int64],
    method: str,
) -> Neighbors:
    """Near reference vectors of each query, found by a library; the distances are exact.

    Args:
        queries, reference, ranks, own: as for :func:`imine.indicators.neighbors.nearest_exact`.
        method: ``nn-descent`` (pynndescent) or ``faiss``.

    Returns:
        Positions and distances, nearest first among what the library found.

    Raises:
        SettingsError, MissingExtraError: as :func:`require_search`.
    """
    require_search(method)
    found = Neighbors(
        np.full((len(queries), ranks), -1, dtype=np.int64), np.full((len(queries), ranks), np.nan)
    )
    kept, asked = np.flatnonzero(reference.any(axis=1)), np.flatnonzero(queries.any(axis=1))
    if not len(kept) or not len(asked):
        return found
    among = np.ascontiguousarray(reference[kept], dtype=np.float32)
    rows = np.ascontiguousarray(queries[asked], dtype=np.float32)
    place = np.full(len(reference) + 1, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    search = _by_faiss if method == "faiss" else _by_descent
    candidates = search(rows, among, min(ranks + 1, len(among)))
    candidates[candidates == place[own[asked]][:, None]] = -1
    part = _ordered(rows, among, candidates, ranks)
    found.positions[asked] = np.where(part.positions >= 0, kept[part.positions], -1)
    found.distances[asked] = part.distances
    return found


def _by_faiss(queries: NDArray[np.float32], reference: NDArray[np.float32], take: int) -> NDArray[np.int64]:
    import faiss

    index = faiss.IndexFlatIP(reference.shape[1])
    if len(reference) > _FLAT:
        lists = round(_LISTS_FACTOR * len(reference) ** 0.5)
        index = faiss.IndexIVFFlat(index, reference.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = min(_PROBED, lists)
        index.train(reference)
    index.add(reference)
    return np.array(index.search(queries, take)[1], dtype=np.int64)


def _by_descent(queries: NDArray[np.float32], reference: NDArray[np.float32], take: int) -> NDArray[np.int64]:
    import pynndescent

    # Its graph needs more references than neighbours; so few are compared with all of them.
    graph = max(_GRAPH, take + 10)
    if len(reference) <= 2 * graph:
        return np.tile(np.arange(len(reference)), (len(queries), 1))
    index = pynndescent.NNDescent(reference, metric="euclidean", n_neighbors=graph, random_state=_SEED)
    if queries.shape == reference.shape and np.array_equal(queries, reference):
        return np.array(index.neighbor_graph[0][:, :take], dtype=np.int64)
    return np.array(index.query(queries, k=take)[0], dtype=np.int64)


def _ordered(
    queries: NDArray[np.float32], reference: NDArray[np.float32], candidates: NDArray[np.int64], ranks: int
) -> Neighbors:
    """Candidates by exact distance; a position of -1 is none."""
    if candidates.shape[1] < ranks:
        candidates = np.pad(candidates, ((0, 0), (0, ranks - candidates.shape[1])), constant_values=-1)
    found = no_neighbors(len(queries), ranks)
    values = np.zeros(candidates.shape, dtype=np.float32)
    with ThreadPoolExecutor(1) as pool:
        settle_candidates(
            queries, reference, 1.0, values, np.ascontiguousarray(candidates), found,
            np.zeros(len(queries), dtype=np.bool_), shares=[(0, len(queries))], pool=pool,
        )  # fmt: skip
    found.distances[found.positions < 0] = np.nan
    return found


@dataclass(frozen=True, slots=True)
class Recall:
    """How good neighbours are that a library found, on a sample of the queries.

    Attributes:
        ranks: how many neighbours of each query were looked at.
        rows: queries in the sample.
        recall: share of the exact nearest that were found, a neighbour at the same distance being as good.
        excess: mean of the distance to the last rank over the exact one, minus 1.
    """

    ranks: int
    rows: int
    recall: float
    excess: float

    def describe(self) -> str:
        """One line for people.

        Examples:
            >>> Recall(6, 200, 0.985, 0.0004).describe()
            'recall of the nearest 6 over 200 rows drawn: 0.9850; distance to the last of them 0.04 % too large'
        """
        return (
            f"recall of the nearest {self.ranks} over {self.rows} rows drawn: {self.recall:.4f}; "
            f"distance to the last of them {100 * self.excess:.2g} % too large"
        )


def measure_recall(
    found: Neighbors,
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    own: NDArray[np.int64],
    *,
    rows: int = 200,
    seed: int = 0,
) -> Recall | None:
    """Compare neighbours with the exact ones on queries drawn at random.

    Args:
        found: neighbours of all queries.
        queries, reference, own: what they were looked for with.
        rows: queries to draw; all where there are fewer.
        seed: of the draw.

    Returns:
        Recall and excess; ``None`` where no query has as many neighbours.

    Examples:
        >>> line = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
        >>> exact = nearest_exact(line, line, 2, np.arange(3))
        >>> measure_recall(exact, line, line, np.arange(3)).recall
        1.0
    """
    ranks = found.distances.shape[1]
    order = np.random.default_rng(seed).permutation(len(queries))[:rows]
    exact = nearest_exact(queries[order], reference, ranks, own[order]).distances
    complete = np.isfinite(exact).all(axis=1)
    if not complete.any():
        return None
    exact, theirs = exact[complete], found.distances[order][complete]
    # Neighbours at equal distances are as good as each other; NaN, for none found, is not.
    hits = theirs <= exact[:, -1:] * (1 + 1e-12)
    last, wanted = theirs[:, -1], exact[:, -1]
    known = np.isfinite(last) & (wanted > 0)
    excess = float((last[known] / wanted[known]).mean() - 1) if known.any() else 0.0
    return Recall(ranks, int(complete.sum()), float(hits.mean()), excess)
