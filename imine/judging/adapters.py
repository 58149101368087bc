"""Models that write answers: whole ones, and LoRA adapters put onto their base."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imine.errors import MissingExtraError, ModelError, ModelNotFoundError
from imine.indicators.models import (
    LoadedModel,
    load_causal_lm,
    load_tokenizer,
    model_path,
    model_sha256,
    tensors_sha256,
)

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
# What ``imine finetune`` leaves in the folder of a model: how it was made.
_RECORD = "finetune.json"
# Where the adapter was made and from what does not change what it does.
_NO_MATTER = ("base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version")


@dataclass(frozen=True, slots=True)
class Writer:
    """A model that writes answers, found and not yet loaded.

    Attributes:
        name: name or folder it was asked for by.
        folder: folder of the model, or of the base of an adapter.
        base: name or folder of the model that is loaded: the base of an adapter, else ``name``.
        adapter: folder of the adapter; ``None`` for a whole model.
        tokenizer: name or folder of the tokenizer.
        template: prompt template that it was finetuned with, where its folder says so, else ``alpaca``.
    """

    name: str
    folder: Path
    base: str
    adapter: Path | None
    tokenizer: str
    template: str

    def fingerprint(self) -> dict[str, Any]:
        """Name and content hash; of an adapter also those of its base, and a hash of its configuration."""
        weights = model_sha256(self.folder)
        if self.adapter is None:
            return {"name": self.name, "sha256": weights}
        return {
            "name": self.name,
            "sha256": tensors_sha256(self.adapter),
            "adapter_sha256": _config_sha256(self.adapter),
            "base": {"name": self.base, "sha256": weights},
        }

    def load(self, dtype: str) -> LoadedModel:
        """The model in memory, an adapter merged into the weights in float32.

        Raises:
            ModelError: it is no causal model, or the adapter does not fit the base.
            MissingExtraError: a package is not installed.
        """
        if self.adapter is None:
            return load_causal_lm(self.base, dtype)
        return _merged(self, self.adapter, dtype)


def find_writer(name: str, base: str = "") -> Writer:
    """Find a model that writes answers; nothing is loaded.

    Args:
        name: name or folder of a causal model, or a folder with a LoRA adapter (``adapter_config.json`` and
            ``adapter_model.safetensors``).
        base: base of an adapter; empty for the one that its configuration names.

    Raises:
        ModelNotFoundError: the model, or the base of the adapter, is not there.
        ModelError: the adapter is none of LoRA.
        MissingExtraError: it is an adapter, and peft is not installed.
    """
    folder = Path(name)
    if not (folder / _CONFIG).is_file():
        found = model_path(name)
        return Writer(name, found, name, None, name, _trained_template(found))
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder} is an adapter of the kind {config.get('peft_type')}; LORA is read")
    if not (folder / _WEIGHTS).is_file():
        raise ModelNotFoundError(f"{folder} has no {_WEIGHTS}; other weight formats can run code on loading")
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError(f'{folder} is a LoRA adapter, which needs peft: pip install "imine[train]"')
    below = base or str(config.get("base_model_name_or_path") or "")
    try:
        found = model_path(below)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"the base of the adapter {folder} is not there; name it with --base. {error}"
        ) from error
    own = (folder / "tokenizer.json").is_file()
    return Writer(name, found, below, folder, name if own else below, _trained_template(folder))


def _trained_template(folder: Path) -> str:
    file = folder / _RECORD
    record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return str(record.get("recipe", {}).get("template") or "alpaca")


def _config_sha256(adapter: Path) -> str:
    config = json.loads((adapter / _CONFIG).read_text(encoding="utf-8"))
    # Places are a set, which peft writes in any order.
    decisive = {
        name: sorted(map(str, value)) if isinstance(value, list) else value
        for name, value in config.items()
        if name not in _NO_MATTER
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _merged(writer: Writer, adapter: Path, dtype: str) -> LoadedModel:
    import torch
    from peft import PeftModel

    # Added up in float32: the difference that an adapter makes is smaller than bfloat16 resolves.
    lm = load_causal_lm(writer.base, "float32")
    try:
        model = PeftModel.from_pretrained(lm.model, str(adapter)).merge_and_unload()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"the adapter {adapter} does not fit its base {writer.base}: {reason}") from error
    tokenizer = load_tokenizer(writer.tokenizer) if writer.tokenizer != writer.base else lm.tokenizer
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedModel(
        model.to(getattr(torch, dtype)).eval(), tokenizer, writer.name, tensors_sha256(adapter)
    )
