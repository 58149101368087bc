"""Content hashes of weights and tokenizers: what was loaded, whatever its name, folder or writer."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from imine.errors import ModelNotFoundError
from imine.indicators.models.places import ABOUT, cache_dir, model_path


def tensors_sha256(folder: Path) -> str:
    """Hash of the weights: names, shapes, types and bytes in the order of the names.

    The order of tensors in the file and its metadata, which differ between writers, do not count.
    """
    return _tensors_sha256(tuple(_state(path) for path in sorted(folder.glob("*.safetensors"))))


def _state(path: Path) -> tuple[Path, int, int]:
    """A file as it is now: hashes of gigabytes are computed once for it."""
    facts = path.stat()
    return path, facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=64)
def _tensors_sha256(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            start = file.tell()
            header.pop("__metadata__", None)
            for name, entry in sorted(header.items()):
                low, high = entry["data_offsets"]
                file.seek(start + low)
                digest.update(f"{name}{entry['dtype']}{entry['shape']}".encode())
                digest.update(file.read(high - low))
    return digest.hexdigest()


def model_sha256(folder: Path) -> str:
    """Content hash of a model's weights, computed, or noted when it was put into the cache folder."""
    about = folder / ABOUT
    if folder.parent == cache_dir() / "models" and about.is_file():
        return str(json.loads(about.read_text())["sha256"])
    return tensors_sha256(folder)


def tokenizer_file(name_or_path: str) -> Path:
    """A model's ``tokenizer.json``.

    Raises:
        ModelNotFoundError: the model is not there, or has none.
    """
    path = model_path(name_or_path) / "tokenizer.json"
    if not path.is_file():
        raise ModelNotFoundError(
            f"{path} is missing: imine reads fast tokenizers only; save one with save_pretrained"
        )
    return path


def tokenizer_sha256(name_or_path: str) -> str:
    """Hash of what decides a tokenizer's tokens, 16 hexadecimal digits.

    That is vocabulary, merges, normaliser, pre-tokeniser and added tokens; not the file's layout, which differs
    between writers (merges as texts or as pairs), nor padding and truncation.

    Raises:
        ModelNotFoundError: the model is not there, or has no ``tokenizer.json``.
    """
    return _tokenizer_sha256(_state(tokenizer_file(name_or_path)))


@lru_cache(maxsize=64)
def _tokenizer_sha256(file: tuple[Path, int, int]) -> str:
    whole = json.loads(file[0].read_text(encoding="utf-8"))
    model = whole["model"]
    decisive = {
        "type": model.get("type"),
        "vocab": model.get("vocab"),
        "merges": [m.split(" ") if isinstance(m, str) else m for m in model.get("merges") or ()],
        "normalizer": whole.get("normalizer"),
        "pre_tokenizer": whole.get("pre_tokenizer"),
        "added": [(token["id"], token["content"]) for token in whole.get("added_tokens") or ()],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
