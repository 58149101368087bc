"""The examples among which neighbours are looked for, and their file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imine.errors import RuleError
from imine.files import replace_file


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """The examples among which neighbours are looked for.

    Attributes:
        name: for people.
        keys: content key of each example, each once.
        embeddings: float32, (examples, dimensions), unit length.
        encoder_sha256: content hash of the encoder.
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
