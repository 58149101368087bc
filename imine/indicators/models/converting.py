"""One-time conversions to safetensors: GGUF dequantised, and tensors read out of a pickle by a restricted unpickler.

Scoring reads safetensors only. A pickle is a program; torch's ``weights_only`` unpickler runs none of it: it knows
how to make tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from imine.errors import MissingExtraError, ModelError
from imine.indicators.models.fetching import hub_snapshot, keep_model, require_spec, take_files
from imine.indicators.models.loading import check_extra, import_transformers
from imine.indicators.models.places import ABOUT, cached_folder
from imine.indicators.models.registry import ModelSpec
from imine.progress import Progress, SilentProgress

_PICKLED = "pytorch_model*.bin"
_INDEX = "pytorch_model.bin.index.json"
# Up to 2.5, the restricted unpickler could be made to run code (CVE-2025-32434).
_SAFE_TORCH = (2, 6)


def convert_model(source: str, target: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Convert a model to safetensors, once.

    Args:
        source: a name of :data:`MODELS` or a hub id, whose pickled weights are fetched; or a folder with
            ``pytorch_model*.bin``; or a GGUF file, or a folder with one.
        target: new folder; for a name or id by default the cache folder, where :func:`model_path` finds it.
        progress: told of each step.

    Returns:
        The folder with the safetensors, the configuration and the tokenizer.

    Raises:
        ModelNotFoundError: the source is not there or cannot be fetched.
        ModelError: nothing in it can be converted, the pickle asks for more than tensors, or the target is there.
        MissingExtraError: torch is not installed, or too old for its unpickler to be safe.
    """
    say = progress or SilentProgress()
    check_extra("converting models")
    if not Path(source).exists():
        return _convert_named(source, target, say)
    if target is None:
        raise ModelError(f"say where the converted model goes: imine models convert {source} -o FOLDER")
    return _whole(Path(target), lambda made: _convert_path(Path(source), made, say), say)


def _convert_named(name: str, target: str | Path | None, progress: Progress) -> Path:
    spec = require_spec(name)
    if spec.package:
        raise ModelError(f"{name} needs no conversion: imine models get {name}")
    folder = cached_folder(spec)
    _check_torch()
    if target is not None:
        return _whole(Path(target), lambda made: _fetch_and_convert(spec, made, progress), progress)
    if not (folder / ABOUT).is_file():
        keep_model(spec, _fetch_and_convert, progress)
    progress.note(f"{name}: ready in {folder}")
    return folder


def _whole(target: Path, fill: Any, progress: Progress) -> Path:
    """Fill a new folder, which appears under its name only when it is complete."""
    if target.exists():
        raise ModelError(f"{target} is there already; name another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        fill(Path(scratch) / "made")
        os.replace(Path(scratch) / "made", target)
    progress.note(f"ready in {target}")
    return target


def _fetch_and_convert(spec: ModelSpec, made: Path, progress: Progress) -> dict[str, str]:
    snapshot = hub_snapshot(spec, (_PICKLED,), progress)
    _convert_path(snapshot, made, progress)
    return {"revision": snapshot.name, "converted": "from a pickle, tensors only"}


def _convert_path(source: Path, made: Path, progress: Progress) -> None:
    ggufs = [source] if source.suffix == ".gguf" else sorted(source.glob("*.gguf"))
    if len(ggufs) == 1:
        progress.note(f"dequantising {ggufs[0]}")
        dequantise(ggufs[0], made)
        return
    pickles = sorted(source.glob(_PICKLED))
    if not pickles:
        what = "several GGUF files; name one" if ggufs else f"neither {_PICKLED} nor a GGUF file"
        raise ModelError(f"{source} has {what}: nothing to convert")
    _check_torch()
    take_files(source, made)
    (made / _INDEX).unlink(missing_ok=True)
    for path in pickles:
        progress.note(f"converting {path.name}")
        _convert_pickle(path, made / _renamed(path.name))
    _write_index(source, made)


def _renamed(name: str) -> str:
    """The name that transformers expects: ``pytorch_model-1-of-2.bin`` becomes ``model-1-of-2.safetensors``."""
    return name.replace("pytorch_model", "model").replace(".bin", ".safetensors")


def _write_index(source: Path, made: Path) -> None:
    if (source / _INDEX).is_file():
        index = json.loads((source / _INDEX).read_text())
        index["weight_map"] = {name: _renamed(file) for name, file in index["weight_map"].items()}
        (made / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _check_torch() -> None:
    check_extra("converting models")
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _SAFE_TORCH:
        raise MissingExtraError(
            f"torch {torch.__version__} is too old to read a pickle safely (CVE-2025-32434); "
            'pip install "torch>=2.6"'
        )


def _convert_pickle(path: Path, target: Path) -> None:
    import torch
    from safetensors.torch import save_file

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ModelError(f"{path} was refused: {_first_line(error)}") from error
    strangers = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise ModelError(f"{path} holds more than tensors: {', '.join(map(str, strangers[:3]))}")
    # A file of safetensors takes no two tensors in one piece of memory, as tied weights are in a pickle.
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, target, {"format": "pt"})


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "Unsupported" in line or "GLOBAL" in line), None)
    return told or (lines[0] if lines else type(error).__name__)


def dequantise(file: Path, made: Path) -> None:
    """Dequantise a GGUF model to bfloat16 safetensors, with its tokenizer.

    Args:
        file: a GGUF file of an architecture that transformers reads.
        made: folder to make.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # the dequantiser's bar would break the lines of ours
    transformers = import_transformers()
    import torch

    folder, name = file.parent, file.name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    # The loaded model counts as quantised, and can be neither saved nor trained: move its weights to a fresh one.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = type(loaded)(config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.to(torch.bfloat16).save_pretrained(made)
    tokenizer.save_pretrained(made)
