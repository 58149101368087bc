"""Models by name: fetched once, converted, kept in a cache folder, loaded from there.

Weights are read from safetensors only; GGUF is dequantised to it once, and a pickle is refused.
"""

from __future__ import annotations

from imine.indicators.models.converting import convert_model
from imine.indicators.models.fetching import get_model
from imine.indicators.models.hashing import (
    model_sha256,
    tensors_sha256,
    tokenizer_file,
    tokenizer_sha256,
    vocabulary_sha256,
)
from imine.indicators.models.loading import (
    LoadedModel,
    check_extra,
    device,
    file_start_tokens,
    judge_dtype,
    load_causal_lm,
    load_classifier,
    load_encoder,
    load_fast_tokenizer,
    load_seq2seq,
    load_tokenizer,
)
from imine.indicators.models.places import cache_dir, is_model_name, model_path
from imine.indicators.models.registry import EMBEDDED, MODELS, ModelSpec, find_spec

__all__ = [
    "EMBEDDED",
    "MODELS",
    "LoadedModel",
    "ModelSpec",
    "cache_dir",
    "check_extra",
    "convert_model",
    "device",
    "file_start_tokens",
    "find_spec",
    "get_model",
    "is_model_name",
    "judge_dtype",
    "load_causal_lm",
    "load_classifier",
    "load_encoder",
    "load_fast_tokenizer",
    "load_seq2seq",
    "load_tokenizer",
    "model_path",
    "model_sha256",
    "tensors_sha256",
    "tokenizer_file",
    "tokenizer_sha256",
    "vocabulary_sha256",
]
