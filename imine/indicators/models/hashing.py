"""Content hashes of models and tokenizers: what was loaded, whatever its name or folder."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from imine.errors import ModelNotFoundError
from imine.indicators.models.places import ABOUT, cache_dir, model_path
from imine.indicators.models.registry import EMBEDDED

# Who wrote a model's configuration, and in what type and how fast it runs, which imine decides itself.
_NO_MATTER = frozenset(
    ("name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "auto_map", "return_dict")
)
# Of a tokenizer's settings; the chat template has its own hash where it is used, and imine pads and cuts itself.
_NO_MATTER_TO_TOKENS = _NO_MATTER | {
    "chat_template", "model_max_length", "padding_side", "truncation_side", "backend", "is_local", "local_files_only",
    "tokenizer_file", "special_tokens_map_file", "processor_class", "clean_up_tokenization_spaces",
}  # fmt: skip


def tensors_sha256(folder: Path) -> str:
    """Hash of the weights: names, shapes, types and bytes in the order of the names.

    The order of tensors in the file and its metadata, which differ between writers, do not count.
    """
    return _tensors_sha256(tuple(file_state(path) for path in sorted(folder.glob("*.safetensors"))))


def file_state(path: Path) -> tuple[Path, int, int]:
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
    """Content hash of a model: its weights, and what its ``config.json`` says of how they are used.

    Embedded models are pinned by their packages: theirs is the hash of the weights alone, so that it does not depend on
    the version of transformers that wrote the configuration.
    """
    weights = _weights_sha256(folder)
    if _is_embedded(folder):
        return weights
    config = _decisive(read_json(folder / "config.json"), _NO_MATTER)
    return hashlib.sha256(f"{weights}{json.dumps(config, sort_keys=True)}".encode()).hexdigest()


def _weights_sha256(folder: Path) -> str:
    """Hash of the weights, computed, or noted when they were put into the cache folder."""
    about = folder / ABOUT
    if _in_cache(folder) and about.is_file():
        return str(read_json(about)["sha256"])
    return tensors_sha256(folder)


def _in_cache(folder: Path) -> bool:
    return folder.parent.resolve() == (cache_dir() / "models").resolve()


def _is_embedded(folder: Path) -> bool:
    return folder.name in EMBEDDED and _in_cache(folder) and (folder / ABOUT).is_file()


def read_json(path: Path) -> dict[str, Any]:
    """A file of JSON; empty where it is not there."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _decisive(settings: dict[str, Any], no_matter: frozenset[str]) -> dict[str, Any]:
    """The settings that can change numbers, at every depth; private ones, of the writer's own, are left out.

    Examples:
        >>> _decisive({"_name_or_path": "a", "text_config": {"dtype": "float32", "eps": 1e-5}}, frozenset({"dtype"}))
        {'text_config': {'eps': 1e-05}}
    """
    return {
        name: _decisive(value, no_matter) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name not in no_matter and not name.startswith("_")
    }


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
    """Hash of what decides how a tokenizer lays out and reads a text, 16 hexadecimal digits.

    That is its ``tokenizer.json`` (also what it puts before and after a text), padding and truncation apart, and its
    settings. That of an embedded model is :func:`vocabulary_sha256`.

    Raises:
        ModelNotFoundError: the model is not there, or has no ``tokenizer.json``.
    """
    file = tokenizer_file(name_or_path)
    if _is_embedded(file.parent):
        return vocabulary_sha256(name_or_path)
    settings = _decisive(read_json(file.with_name("tokenizer_config.json")), _NO_MATTER_TO_TOKENS)
    whole = f"{_tokenizer_sha256(file_state(file))}{json.dumps(settings, sort_keys=True)}"
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


@lru_cache(maxsize=64)
def _tokenizer_sha256(file: tuple[Path, int, int]) -> str:
    whole = read_json(file[0])
    model = {**whole["model"], "merges": _merges(whole["model"])}
    kept = {**whole, "model": model, "padding": None, "truncation": None}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def vocabulary_sha256(name_or_path: str) -> str:
    """Hash of what decides the tokens of a bare text, without special ones, 16 hexadecimal digits.

    That is vocabulary, merges, normaliser, pre-tokeniser and added tokens; not the file's layout, which differs
    between writers (merges as texts or as pairs), so that lengths counted with a copy of a tokenizer count as equal.

    Raises:
        ModelNotFoundError: the model is not there, or has no ``tokenizer.json``.
    """
    return _vocabulary_sha256(file_state(tokenizer_file(name_or_path)))


@lru_cache(maxsize=64)
def _vocabulary_sha256(file: tuple[Path, int, int]) -> str:
    whole = read_json(file[0])
    model = whole["model"]
    kept = {
        "type": model.get("type"),
        "vocab": model.get("vocab"),
        "merges": _merges(model),
        "normalizer": whole.get("normalizer"),
        "pre_tokenizer": whole.get("pre_tokenizer"),
        "added": [(token["id"], token["content"]) for token in whole.get("added_tokens") or ()],
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _merges(model: dict[str, Any]) -> list[list[str]]:
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges") or ()]
