"""What a sentence-transformers folder says of how its encoder is to be used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imine.errors import ModelNotFoundError

# Tokens of a text where the folder names no length.
MAX_TOKENS = 256

ENCODER_DTYPES = ("float32", "bfloat16", "auto")

_POOLINGS = {"mean": "mean over tokens", "cls": "first token", "max": "maximum over tokens"}
_LENGTH_FILES = "sentence_*_config.json"


@dataclass(frozen=True, slots=True)
class EncoderRecipe:
    """How sentence embeddings are made with an encoder.

    Attributes:
        pooling: ``mean``, ``cls`` or ``max``.
        max_tokens: tokens of a text that count, special ones included; what is beyond is cut off.
        lowercase: whether texts are put in lower case first.
        prompt: put before every text.
    """

    pooling: str = "mean"
    max_tokens: int = MAX_TOKENS
    lowercase: bool = False
    prompt: str = ""

    def fingerprint(self) -> dict[str, Any]:
        """The parts of a fingerprint, those left out that are as they mostly are.

        Examples:
            >>> EncoderRecipe().fingerprint()
            {'max_tokens': 256, 'pooling': 'mean over tokens, unit length'}
        """
        about: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "pooling": f"{_POOLINGS[self.pooling]}, unit length",
        }
        if self.lowercase:
            about["lowercase"] = True
        if self.prompt:
            about["prompt"] = self.prompt
        return about


def read_recipe(folder: Path) -> EncoderRecipe:
    """The recipe of an encoder's folder.

    Without ``modules.json`` the folder is a plain encoder: mean over tokens, 256 of them. The length of the text is
    the smaller of ``max_seq_length`` and the positions that the model has. Embeddings are always brought to unit
    length, whether the folder asks for it or not, since distances are defined so.

    Raises:
        ModelNotFoundError: it asks for something that is not done here; the message names it.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_recipe(Path(folder))
        EncoderRecipe(pooling='mean', max_tokens=256, lowercase=False, prompt='')
    """
    modules = _json(folder / "modules.json")
    positions = _positions(folder)
    if (_json(folder / "config.json") or {}).get("is_encoder_decoder"):
        raise ModelNotFoundError(
            f"{folder}: a model of encoder and decoder is not supported; give an encoder"
        )
    if modules is None:
        return EncoderRecipe(max_tokens=min(MAX_TOKENS, positions))
    lengths = next((_json(path) for path in sorted(folder.glob(_LENGTH_FILES))), None) or {}
    longest = lengths.get("max_seq_length") or _tokenizer_length(folder)
    return EncoderRecipe(
        pooling=_pooling(folder, _kinds(folder, modules)),
        max_tokens=min(int(longest), positions),
        lowercase=bool(lengths.get("do_lower_case")),
        prompt=_prompt(folder),
    )


def resolve_dtype(choice: str) -> str:
    """The type that ``auto`` stands for on this machine; another choice is itself.

    Without units for bfloat16 a processor takes longer with it than with float32: 2.6 times as long where it was
    measured.

    Examples:
        >>> resolve_dtype("float32")
        'float32'
    """
    if choice != "auto":
        return choice
    if _processor_has_bfloat16():
        return "bfloat16"
    import torch

    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"


def _processor_has_bfloat16() -> bool:
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False  # another system: not known
    flags = next((line.split() for line in facts.splitlines() if line.startswith("flags")), [])
    return bool({"amx_bf16", "avx512_bf16"} & set(flags))


def _kinds(folder: Path, modules: Any) -> dict[str, str]:
    """Folder of each module, by its kind."""
    kinds: dict[str, str] = {}
    for module in modules:
        kind = str(module["type"]).rpartition(".")[2]
        if kind not in ("Transformer", "Pooling", "Normalize") or kind in kinds:
            raise ModelNotFoundError(
                f"{folder}: the module {kind} of modules.json is not supported; imine embeds with one Transformer, one "
                "Pooling (mean, cls or max) and Normalize. Choose another encoder."
            )
        kinds[kind] = str(module["path"])
    if kinds.get("Transformer") != "" or "Pooling" not in kinds:
        raise ModelNotFoundError(
            f"{folder}: modules.json needs a Transformer in the folder itself and a Pooling; it has "
            f"{', '.join(f'{kind} in {path!r}' for kind, path in kinds.items())}"
        )
    return kinds


def _pooling(folder: Path, kinds: dict[str, str]) -> str:
    path = folder / kinds["Pooling"] / "config.json"
    config = _json(path)
    if config is None:
        raise ModelNotFoundError(f"{path} is missing: how the encoder pools its tokens is not known")
    named = config.get("pooling_mode")
    asked = [named] if isinstance(named, str) else list(named or ())
    asked += [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    names = {
        mode.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for mode in asked
    }
    if len(names) != 1 or not names <= set(_POOLINGS):
        raise ModelNotFoundError(
            f"{path}: the pooling {' + '.join(sorted(names)) or 'of no kind'} is not supported; imine pools by one of "
            f"{', '.join(_POOLINGS)}"
        )
    if config.get("include_prompt") is False and _prompt(folder):
        raise ModelNotFoundError(f"{path}: a prompt that is left out of the pooling is not supported")
    return names.pop()


def _prompt(folder: Path) -> str:
    config = _json(folder / "config_sentence_transformers.json") or {}
    name = config.get("default_prompt_name")
    return str((config.get("prompts") or {}).get(name, "")) if name else ""


def _positions(folder: Path) -> int:
    config = _json(folder / "config.json") or {}
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        return 10**9
    # Their positions are counted from behind the padding token's.
    roberta = config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet")
    return positions - (int(config.get("pad_token_id") or 1) + 1 if roberta else 0)


def _tokenizer_length(folder: Path) -> int:
    length = (_json(folder / "tokenizer_config.json") or {}).get("model_max_length") or 10**9
    return int(min(length, 10**9)) if length < 10**9 else min(_positions(folder), 512)


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelNotFoundError(f"{path} cannot be read: {error}") from error
