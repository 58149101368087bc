"""Models in memory, from safetensors only; code that comes with a model is never run."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from imine.errors import MissingExtraError, ModelError
from imine.indicators.models.hashing import file_state, model_sha256, read_json, tokenizer_file
from imine.indicators.models.places import model_path


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        model: the torch module, in evaluation mode.
        tokenizer: its transformers tokenizer.
        name: name or folder it was asked for by.
        sha256: content hash of weights and configuration.
    """

    model: Any
    tokenizer: Any
    name: str
    sha256: str


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


def import_transformers() -> Any:
    """The package transformers, told to be quiet.

    Raises:
        MissingExtraError: torch or transformers is not installed.
    """
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
    """The accelerator (CUDA, else Apple's), where there is one, else the CPU."""
    import torch

    from imine.indicators.devices import find_devices

    return torch.device(find_devices()[0])


def judge_dtype() -> str:
    """Number type in which judges (reward, UniEval) run here: ``bfloat16`` on an accelerator that has it.

    Raises:
        MissingExtraError: torch is not installed.
    """
    check_extra()
    import torch

    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"


def load_fast_tokenizer(name_or_path: str) -> Any:
    """A model's tokenizer of the library tokenizers: no seconds of importing transformers for a count of tokens.

    Raises:
        ModelNotFoundError: the model is not there, or has no ``tokenizer.json``.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file(name_or_path)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def file_start_tokens(name_or_path: str) -> tuple[int, ...]:
    """The token that a model's ``tokenizer.json`` puts before every text, if it puts one; without transformers.

    Raises:
        ModelNotFoundError: the model is not there, or has no ``tokenizer.json``.
    """
    file = tokenizer_file(name_or_path)
    bos = read_json(file.with_name("tokenizer_config.json")).get("bos_token")
    return _start_tokens(file_state(file), bos["content"] if isinstance(bos, dict) else bos)


@lru_cache(maxsize=64)
def _start_tokens(file: tuple[Path, int, int], bos: str | None) -> tuple[int, ...]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file[0]))
    tokenizer.no_padding()
    first = tokenizer.encode("").ids[:1]
    return tuple(first) if bos is not None and first == [tokenizer.token_to_id(bos)] else ()


def load_tokenizer(name_or_path: str) -> Any:
    """The tokenizer of a model, without its weights.

    Raises:
        ModelNotFoundError: the model is not there.
        MissingExtraError: transformers is not installed.
    """
    folder = model_path(name_or_path)
    return import_transformers().AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load_causal_lm(
    name_or_path: str = "smollm2-135m", dtype: str = "float32", on: str | None = None
) -> LoadedModel:
    """A causal language model with its tokenizer, from safetensors.

    Args:
        name_or_path: name or folder of the model.
        dtype: number type of its weights.
        on: the device; ``None`` for the accelerator where there is one.

    Raises:
        ModelNotFoundError: the model is not there.
        ModelError: it is of another kind.
        MissingExtraError: torch or transformers is not installed.
    """
    loaded = _load(name_or_path, "AutoModelForCausalLM", dtype, on=on)
    if loaded.tokenizer.pad_token_id is None:
        loaded.tokenizer.pad_token = loaded.tokenizer.eos_token
    return loaded


def load_encoder(name_or_path: str = "all-minilm-l6-v2", on: str | None = None) -> LoadedModel:
    """A sentence encoder with its tokenizer, from safetensors, in float32.

    Args:
        name_or_path: name or folder of the model.
        on: the device; ``None`` for the accelerator where there is one.

    Raises:
        ModelNotFoundError: the model is not there.
        ModelError: it is of another kind.
        MissingExtraError: torch or transformers is not installed.
    """
    return _load(name_or_path, "AutoModel", on=on)


def load_classifier(name_or_path: str, dtype: str = "float32", on: str | None = None) -> LoadedModel:
    """A model with a head over whole texts (a reward model), with its tokenizer, from safetensors.

    Args:
        name_or_path: name or folder of the model.
        dtype: number type of its weights.
        on: the device; ``None`` for the accelerator where there is one.

    Raises:
        ModelNotFoundError: the model is not there.
        ModelError: it is of another kind, or lacks weights of the head.
        MissingExtraError: torch or transformers is not installed.
    """
    import_transformers()
    from imine.indicators.gpt_neox_reward import register_architecture

    register_architecture()
    return _load(name_or_path, "AutoModelForSequenceClassification", dtype, whole=True, on=on)


def load_seq2seq(name_or_path: str, dtype: str = "float32", on: str | None = None) -> LoadedModel:
    """An encoder-decoder (a T5 that answers yes or no), with its tokenizer, from safetensors.

    Args:
        name_or_path: name or folder of the model.
        dtype: number type of its weights.
        on: the device; ``None`` for the accelerator where there is one.

    Raises:
        ModelNotFoundError: the model is not there.
        ModelError: it is of another kind, or lacks weights.
        MissingExtraError: torch or transformers is not installed.
    """
    return _load(name_or_path, "AutoModelForSeq2SeqLM", dtype, whole=True, on=on)


def _load(
    name_or_path: str,
    auto_class: str,
    dtype: str = "float32",
    whole: bool = False,
    on: str | None = None,
) -> LoadedModel:
    folder = model_path(name_or_path)
    transformers = import_transformers()
    import torch

    try:
        model, report = getattr(transformers, auto_class).from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except ValueError as error:
        raise ModelError(_misfit(folder, auto_class, error)) from error
    if whole and (absent := sorted(report["missing_keys"])):
        raise ModelError(
            f"{folder} has no weights for {', '.join(absent[:3])}: it was not saved as a model of this kind "
            f"({type(model).__name__}), and random numbers would stand for them"
        )
    return LoadedModel(
        model.eval().to(on or device()), load_tokenizer(name_or_path), name_or_path, model_sha256(folder)
    )


def _misfit(folder: Path, auto_class: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0]
    return (
        f"{folder} cannot be loaded as {auto_class.removeprefix('AutoModel').removeprefix('For') or 'an encoder'}: "
        f"{reason} (code that comes with a model is never run)"
    )
