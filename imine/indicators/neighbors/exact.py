"""The exact nearest neighbours: blocks of float32 products choose candidates, float64 differences decide.

Memory is one block of products, and a few candidates a row: it grows with the rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Rows and columns of a block: 4 MB of products, which the shared cache of a processor holds.
_ROWS = 512
_COLUMNS = 2048
# Candidates beyond the ranks asked for that are kept from the first.
_SPARE = 8
# Candidates a block where many are kept: 200 MB.
_CANDIDATES = 2**24

# Whether a squared length this far from 1 is a unit vector: float16 rounding stays far below.
_UNIT_TOLERANCE = 1e-2

# A kernel and its arguments.
_Task: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest references of each query, nearest first; of equal distances the first position.

    Attributes:
        positions: int64, (queries, ranks), position among the references; -1 where there are no more.
        distances: float64, (queries, ranks), Euclidean; NaN where there are no more.
    """

    positions: NDArray[np.int64]
    distances: NDArray[np.float64]

    def distance(self, rank: int) -> NDArray[np.float64]:
        """Distance to the ``rank``-th nearest, from 1; NaN where there are fewer."""
        return self.distances[:, rank - 1]

    def density(self, rank: int) -> NDArray[np.float64]:
        """Mean distance of the first ``rank`` neighbours; NaN where there are fewer."""
        return np.asarray(self.distances[:, :rank].mean(axis=1))


def knn_distance(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    rank: int,
    own: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Euclidean distance from each query to its ``rank``-th nearest reference vector, exact.

    Args:
        queries, reference, own: as for :func:`nearest_exact`.
        rank: which neighbour, from 1.

    Returns:
        float64, one distance a query; NaN where the reference has too few others.

    Examples:
        >>> line = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
        >>> knn_distance(line, line, 1, np.arange(3)).round(4)
        array([0.6325, 0.6325, 0.8944])
    """
    return nearest_exact(queries, reference, rank, own).distance(rank)


def nearest_exact(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    ranks: int,
    own: NDArray[np.int64],
) -> Neighbors:
    """The ``ranks`` nearest reference vectors of each query, exact.

    A float32 product of unit vectors of n dimensions is wrong by at most n 2^-24 (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1). Every reference whose product is within twice that of the last rank's, and
    half the spread of the squared lengths, is a candidate; the distances of candidates are computed from
    differences in float64, so that near-duplicates are told apart, and order them. Where the queries are the
    references themselves, each product is computed once for both of its rows.

    Args:
        queries: unit vectors, (queries, dimensions); all zeros where a row has none.
        reference: unit vectors, (references, dimensions); a row of zeros is nobody's neighbour.
        ranks: how many neighbours, from 1.
        own: for each query, the position of the same example in the reference, or -1; it does not count.

    Returns:
        Positions and distances; NaN for a query of zeros, and from the rank on for which there are too few others.

    Raises:
        ValueError: ``ranks`` is below 1, or the references are not of unit length.

    Examples:
        >>> line = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
        >>> nearest_exact(line, line, 2, np.arange(3)).positions.tolist()
        [[1, 2], [0, 2], [1, 0]]
    """
    if ranks < 1:
        raise ValueError(f"ranks must be at least 1, not {ranks}")
    kept, asked = np.flatnonzero(reference.any(axis=1)), np.flatnonzero(queries.any(axis=1))
    found = Neighbors(
        np.full((len(queries), ranks), -1, dtype=np.int64), np.full((len(queries), ranks), np.nan)
    )
    if not len(kept) or not len(asked):
        return found
    place = np.full(len(reference) + 1, -1, dtype=np.int64)  # the last is for an own of -1
    place[kept] = np.arange(len(kept))
    same = queries is reference and np.array_equal(own, np.arange(len(own)))
    among = np.ascontiguousarray(reference[kept] if len(kept) < len(reference) else reference, np.float32)
    rows = among if same else np.ascontiguousarray(queries[asked], np.float32)
    part = _Search(among, ranks).run(rows, place[own[asked]])
    found.positions[asked] = np.where(part.positions >= 0, kept[part.positions], -1)
    found.distances[asked] = part.distances
    return found


class _Search:
    """A search among references, all of them of unit length."""

    def __init__(self, reference: NDArray[np.float32], ranks: int) -> None:
        from imine_kernels.jit import default_threads

        squares = np.einsum("ij,ij->i", reference, reference, dtype=np.float64)
        low, high = float(squares.min()), float(squares.max())
        if max(1 - low, high - 1) > _UNIT_TOLERANCE:
            raise ValueError(
                f"references must be of unit length; their lengths are {low**0.5:.6g} to {high**0.5:.6g}"
            )
        self.reference, self.ranks = reference, ranks
        self.margin = 2 * reference.shape[1] * 2.0**-24 * (1 + _UNIT_TOLERANCE) + (high - low) / 2
        self._threads = default_threads()
        self._products = np.empty(_ROWS * _COLUMNS, dtype=np.float32)

    def run(self, queries: NDArray[np.float32], own: NDArray[np.int64]) -> Neighbors:
        """Neighbours of the queries; where there may be too many candidates, those rows again with more room."""
        size = self.ranks + _SPARE
        with ThreadPoolExecutor(self._threads) as pool:
            if queries is self.reference:
                found, unsure = self._among_themselves(own, size, pool)
            else:
                found, unsure = self._of_others(queries, own, size, pool)
            while len(rows := self._unsettled(found, queries, own, unsure)):
                size *= 4
                again, still = self._of_others(queries[rows], own[rows], size, pool)
                found.positions[rows], found.distances[rows] = again.positions, again.distances
                unsure = np.zeros(len(queries), dtype=np.bool_)
                unsure[rows] = still
        found.distances[found.positions < 0] = np.nan
        return found

    def _among_themselves(
        self, own: NDArray[np.int64], size: int, pool: ThreadPoolExecutor
    ) -> tuple[Neighbors, NDArray[np.bool_]]:
        from imine_kernels.nearest import take_columns

        vectors = self.reference
        values, positions = _heaps(len(vectors), size)
        for start, stop in _runs(0, len(vectors), _ROWS):
            mine = slice(start, stop)
            for low, high in [(start, stop), *_runs(stop, len(vectors), _COLUMNS)]:
                products = self._multiply(vectors[mine], low, high)
                # Rows and columns of a block off the diagonal are different vectors: their heaps can fill together.
                tasks = self._row_tasks(products, low, own[mine], values[mine], positions[mine])
                if low >= stop:
                    heaps = values[low:high], positions[low:high]
                    tasks += [
                        (take_columns, products, start, a, b, *heaps) for a, b in self._shares(high - low)
                    ]
                _together(pool, tasks)
        return self._settle(vectors, values, positions, pool)

    def _of_others(
        self, queries: NDArray[np.float32], own: NDArray[np.int64], size: int, pool: ThreadPoolExecutor
    ) -> tuple[Neighbors, NDArray[np.bool_]]:
        parts = []
        rows = max(1, min(_ROWS, _CANDIDATES // size))
        for start, stop in _runs(0, len(queries), rows):
            values, positions = _heaps(stop - start, size)
            for low, high in _runs(0, len(self.reference), _COLUMNS):
                products = self._multiply(queries[start:stop], low, high)
                _together(pool, self._row_tasks(products, low, own[start:stop], values, positions))
            parts.append(self._settle(queries[start:stop], values, positions, pool))
        found = Neighbors(
            np.concatenate([part.positions for part, _ in parts]),
            np.concatenate([part.distances for part, _ in parts]),
        )
        return found, np.concatenate([unsure for _, unsure in parts])

    def _row_tasks(
        self,
        products: NDArray[np.float32],
        low: int,
        own: NDArray[np.int64],
        values: NDArray[np.float32],
        positions: NDArray[np.int64],
    ) -> list[_Task]:
        from imine_kernels.nearest import take_rows

        return [
            (take_rows, products[a:b], low, own[a:b], values[a:b], positions[a:b])
            for a, b in self._shares(len(products))
        ]

    def _multiply(self, rows: NDArray[np.float32], low: int, high: int) -> NDArray[np.float32]:
        products = self._products[: len(rows) * (high - low)].reshape(len(rows), high - low)
        return np.matmul(rows, self.reference[low:high].T, out=products)

    def _settle(
        self,
        queries: NDArray[np.float32],
        values: NDArray[np.float32],
        positions: NDArray[np.int64],
        pool: ThreadPoolExecutor,
    ) -> tuple[Neighbors, NDArray[np.bool_]]:
        found, unsure = no_neighbors(len(queries), self.ranks), np.zeros(len(queries), dtype=np.bool_)
        settle_candidates(
            queries, self.reference, self.margin, values, positions, found, unsure,
            shares=self._shares(len(queries)), pool=pool,
        )  # fmt: skip
        return found, unsure

    def _unsettled(
        self,
        found: Neighbors,
        queries: NDArray[np.float32],
        own: NDArray[np.int64],
        unsure: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Rows to search again; no distance is below zero, so that rows of copies need no search."""
        copies = np.flatnonzero(unsure & (found.distances[:, -1] == 0))
        if len(copies):
            found.positions[copies] = _first_copies(queries[copies], self.reference, own[copies], self.ranks)
            unsure[copies] = False
        return np.flatnonzero(unsure)

    def _shares(self, count: int) -> list[tuple[int, int]]:
        return list(_runs(0, count, -(-count // self._threads) or 1))


def settle_candidates(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    margin: float,
    values: NDArray[np.float32],
    positions: NDArray[np.int64],
    found: Neighbors,
    unsure: NDArray[np.bool_],
    *,
    shares: list[tuple[int, int]],
    pool: ThreadPoolExecutor,
) -> None:
    """Order candidates by exact distance into ``found``; the kernel ``settle`` over shares of the rows."""
    from imine_kernels.nearest import settle

    _together(
        pool,
        [
            (settle, queries[a:b], reference, margin, values[a:b], positions[a:b],
             found.distances[a:b], found.positions[a:b], unsure[a:b])
            for a, b in shares
        ],
    )  # fmt: skip


def no_neighbors(rows: int, ranks: int) -> Neighbors:
    """Room for the neighbours of rows: positions of -1, infinite distances."""
    return Neighbors(np.full((rows, ranks), -1, dtype=np.int64), np.full((rows, ranks), np.inf))


def _heaps(rows: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return np.full((rows, size), -np.inf, dtype=np.float32), np.full((rows, size), -1, dtype=np.int64)


def _runs(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    return ((low, min(low + size, stop)) for low in range(start, stop, size))


def _together(pool: ThreadPoolExecutor, tasks: list[_Task]) -> None:
    """Run kernels over parts that do not touch; they let go of the interpreter's lock."""
    for done in [pool.submit(*task) for task in tasks]:
        done.result()


def _first_copies(
    queries: NDArray[np.float32], reference: NDArray[np.float32], own: NDArray[np.int64], ranks: int
) -> NDArray[np.int64]:
    """The first positions of the vectors that equal each query, its own left out."""
    # Adding zero makes the two zeros of floating point the same bytes.
    wanted = [(query + np.float32(0)).tobytes() for query in queries]
    places: dict[bytes, list[int]] = {text: [] for text in wanted}
    for place, vector in enumerate(reference):
        copies = places.get((vector + np.float32(0)).tobytes())
        if copies is not None and len(copies) <= ranks:
            copies.append(place)
    chosen = [
        [place for place in places[text] if place != itself][:ranks]
        for text, itself in zip(wanted, own, strict=True)
    ]
    return np.array(chosen, dtype=np.int64)
