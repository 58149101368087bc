"""Cross-entropy of response tokens, with logits at the positions that need them only."""

from __future__ import annotations

from typing import Any

from imine.study.batches import TokenBatch

# Their logits are their output embedding applied to the last hidden state, with nothing before or after it.
_PLAIN_HEAD = frozenset({"llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox"})

# Rows of logits at a time where no gradient is kept: 256 x 49,152 float32 are 50 MB.
_CHUNK = 256


def token_losses(model: Any, batch: TokenBatch) -> Any:
    """Negative log-likelihood of every response token of a batch.

    Args:
        model: a causal language model of transformers.
        batch: padded examples.

    Returns:
        Float32 tensor (targets,), in nats, in the order of ``batch.target``.
    """
    import torch
    from torch.nn.functional import cross_entropy

    if model.config.model_type not in _PLAIN_HEAD:
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
        return cross_entropy(logits[batch.row, batch.column].float(), batch.target, reduction="none")
    # The vocabulary is a quarter of the work of a small model: leave out prompts and padding.
    trunk = model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    hidden = trunk.last_hidden_state[batch.row, batch.column]
    head = model.get_output_embeddings()
    if torch.is_grad_enabled():
        return cross_entropy(head(hidden).float(), batch.target, reduction="none")
    parts = zip(hidden.split(_CHUNK), batch.target.split(_CHUNK), strict=True)
    return torch.cat([cross_entropy(head(h).float(), t, reduction="none") for h, t in parts])


def autocast(dtype: str, device: Any) -> Any:
    """Context in which matrix products run in ``dtype``; weights and sums stay float32."""
    import torch

    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == "bfloat16")
