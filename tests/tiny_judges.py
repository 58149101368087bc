"""Tiny random reward models and a tiny random T5, saved as folders that imine loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tiny import byte_tokenizer

CHAT = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<eos>\n{% endfor %}"
_SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    # Weights large enough for rewards to differ in their first digits.
    "initializer_range": 0.3,
}


def _save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_llama_reward(
    folder: Path, *, labels: int = 1, chat: bool = True, pad: bool = True, positions: int = 2048
) -> Path:
    """A Llama with a head; with or without a chat template and a padding token."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(1)
    tokenizer = byte_tokenizer(eos_token="<eos>", **({"pad_token": "<pad>"} if pad else {}))
    tokenizer.chat_template = CHAT if chat else None
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        num_labels=labels,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=positions,
        **_SMALL,
    )
    return _save(LlamaForSequenceClassification(config), tokenizer, folder)


def save_deberta_reward(folder: Path, positions: int = 512) -> Path:
    """A DeBERTa-v2 with a head over pairs of texts."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.manual_seed(2)
    tokenizer = byte_tokenizer(pad_token="<pad>", cls_token="<cls>", sep_token="<sep>")
    special = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("<cls>", "<sep>")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<cls> $A <sep>", pair="<cls> $A <sep> $B:1 <sep>:1", special_tokens=special
    )
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=positions,
        type_vocab_size=2,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        **_SMALL,
    )
    _save(DebertaV2ForSequenceClassification(config), tokenizer, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def save_neox_reward(folder: Path, pooling: str = "last", positions: int = 2048) -> Path:
    """The architecture of Open Assistant's reward models."""
    import torch

    from imine.indicators.gpt_neox_reward import architecture

    torch.manual_seed(3)
    names = {"eos_token": "<|endoftext|>", "pad_token": "<|padding|>", "cls_token": "<|prompter|>"}
    tokenizer = byte_tokenizer(**names, sep_token="<|assistant|>")
    make_config, make_model = architecture()
    config = make_config(
        vocab_size=len(tokenizer), pooling=pooling, max_position_embeddings=positions, **_SMALL
    )
    return _save(make_model(config), tokenizer, folder)


def save_t5(folder: Path, *, tied: bool = False) -> Path:
    """A T5 of one of its two kinds: with the head of its own (v1.1), or with that of the embeddings."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(4)
    tokenizer = byte_tokenizer(pad_token="<pad>", eos_token="</s>")
    end = [("</s>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=end)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=tied,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = T5ForConditionalGeneration(config)
    # As it is made, its attention is nearly even, and every text gets nearly the same answer.
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith(("Attention.q.weight", "Attention.v.weight", "EncDecAttention.o.weight")):
                weights *= 6
        if not tied:
            model.lm_head.weight *= 0.3
    return _save(model, tokenizer, folder)
