"""Tiny random models with a tokenizer trained on the spot, saved as folders that imine loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

TEXT = [
    "The quick brown fox jumps over the lazy dog, and nobody minds.",
    "Write a response that appropriately completes the request. ### Instruction: ### Response: ### Input:",
    "Below is an instruction that describes a task, paired with an input that provides further context.",
    "Numbers such as 1, 22 and 333; letters such as a, b and c.",
]


def _trained(model: Any, trainer: Any) -> Any:
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def byte_tokenizer(**special: str) -> Any:
    """A byte-level BPE of at most 500 tokens; no text is unknown to it."""
    from tokenizers import models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=list(special.values()), initial_alphabet=alphabet, show_progress=False
    )
    return PreTrainedTokenizerFast(tokenizer_object=_trained(models.BPE(), trainer), **special)


def save_llama(folder: Path) -> Path:
    """A random Llama of two layers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = byte_tokenizer(eos_token="<eos>", pad_token="<pad>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_encoder(folder: Path) -> Path:
    """A random BERT of two layers."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = byte_tokenizer(pad_token="<pad>", cls_token="<cls>", sep_token="<sep>")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def unit_vectors(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Random unit vectors, float32."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
