"""Exact distance to the i-th nearest neighbour among a reference set of embeddings."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.columns import require_column
from imine.errors import RuleError
from imine.files import replace_file

# Queries a block, and products a block: memory does not grow with the pool (64 MB of float32 products).
_BLOCK = 1024
_PRODUCTS = 2**24
# Candidates beyond the wanted rank whose distances are computed in float64 at once.
_SPARE = 8


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """The examples among which neighbours are looked for.

    Attributes:
        name: for people.
        keys: content key of each example, each once.
        embeddings: float32, (examples, dimensions), unit length.
        encoder_sha256: content hash of the encoder's weights.
    """

    name: str
    keys: tuple[str, ...]
    embeddings: NDArray[np.float32]
    encoder_sha256: str

    @property
    def sha256(self) -> str:
        """Content hash of keys, embeddings and encoder, 16 hexadecimal digits."""
        digest = hashlib.sha256(self.encoder_sha256.encode())
        digest.update("\n".join(self.keys).encode())
        digest.update(np.ascontiguousarray(self.embeddings, dtype="<f4").tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def make(
        cls, name: str, keys: list[str], embeddings: NDArray[np.float32], encoder_sha256: str
    ) -> ReferenceSet:
        """A set from embeddings: repeated content counts once, values are rounded to what the file keeps."""
        first = sorted({key: i for i, key in reversed(list(enumerate(keys)))}.values())
        rounded = embeddings[first].astype(np.float16).astype(np.float32)
        return cls(name, tuple(keys[i] for i in first), rounded, encoder_sha256)

    def save(self, path: Path) -> None:
        """Write an ``.npz`` of float16 embeddings and keys, atomically; the same set gives the same bytes."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            name=np.array(self.name),
            keys=np.array(self.keys),
            embeddings=self.embeddings.astype(np.float16),
            encoder_sha256=np.array(self.encoder_sha256),
        )
        replace_file(path, lambda beside: beside.write_bytes(buffer.getvalue()))

    @classmethod
    def load(cls, path: Path) -> ReferenceSet:
        """Read what :meth:`save` wrote; nothing in the file is run.

        Raises:
            RuleError: the file is not there or not such a set.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    str(file["name"]),
                    tuple(file["keys"].tolist()),
                    file["embeddings"].astype(np.float32),
                    str(file["encoder_sha256"]),
                )
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise RuleError(f"{path}: no reference set of neighbours can be read there: {error}") from error


def neighbor_fingerprint(name: str, encoder: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """What makes a column of neighbour distances."""
    return {
        "indicator": name,
        "version": require_column(name).version,
        "metric": "euclidean",
        "encoder": encoder,
        "reference": reference,
    }


def knn_distance(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    rank: int,
    own: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Euclidean distance from each query to its ``rank``-th nearest reference vector, exact.

    Args:
        queries: unit vectors, (queries, dimensions).
        reference: unit vectors, (references, dimensions).
        rank: which neighbour, from 1.
        own: for each query, the position of the same example in the reference, or -1; it does not count.

    Returns:
        float64, one distance a query; NaN where the reference has too few others.

    Examples:
        >>> line = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
        >>> knn_distance(line, line, 1, np.arange(3)).round(4)
        array([0.6325, 0.6325, 0.8944])
    """
    result = np.full(len(queries), np.nan)
    if len(reference) < rank:
        return result
    size = max(1, min(_BLOCK, _PRODUCTS // len(reference)))
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        result[part] = _block_distance(queries[part], reference, rank, own[part])
    return result


def _block_distance(
    block: NDArray[np.float32], reference: NDArray[np.float32], rank: int, own: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Candidates by float32 products, their distances in float64.

    A float32 product of unit vectors of n dimensions is wrong by at most n 2^-24 (Higham, Accuracy and Stability
    of Numerical Algorithms, section 3.1): every vector within twice that of the rank-th largest product is a
    candidate.
    """
    products = block @ reference.T
    known = np.flatnonzero(own >= 0)
    products[known, own[known]] = -np.inf
    take = min(rank + _SPARE, len(reference))
    nearest = np.argpartition(products, len(reference) - take, axis=1)[:, len(reference) - take :]
    near = np.sort(np.take_along_axis(products, nearest, axis=1), axis=1)
    bound = near[:, take - rank] - np.float32(2 * reference.shape[1] * 2.0**-24)
    exact = np.stack([_distances(block, reference[nearest[:, k]]) for k in range(take)], axis=1)
    exact[nearest == own[:, None]] = np.inf
    found = np.sort(exact, axis=1)[:, rank - 1]
    for row in np.flatnonzero((products >= bound[:, None]).sum(axis=1) > take):
        candidates = np.flatnonzero(products[row] >= bound[row])
        found[row] = np.sort(_distances(block[row], reference[candidates]))[rank - 1]
    found[len(reference) - (own >= 0) < rank] = np.nan
    return found


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(a.astype(np.float64) - b, axis=-1))
