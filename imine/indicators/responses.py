"""Negative log-likelihood of response tokens: batches with an exact mask, the vocabulary met where it must be.

Scoring, finetuning and evaluation all measure a response here, so that they mean the same by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imine.indicators.templates import EncodedExample

# Their logits are their output embedding applied to the last hidden state, with nothing before or after it; others
# scale or cap them and go through their own forward pass, in pieces.
PLAIN_HEADS = frozenset(
    {
        "llama",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen3",
        "gemma",
        "phi3",
        "olmo2",
        "smollm3",
        "gpt2",
        "gpt_neox",
        "opt",
    }
)

# Rows of logits at a time where no gradient is kept: 256 x 49,152 float32 are 50 MB.
_CHUNK = 256
# Logits at a time of a model that goes through its own forward pass: 256 MB of float32.
_PIECE = 2**26


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Padded token ids, and where a response token is predicted.

    Attributes:
        input_ids: int64 tensor (rows, width), padded on the right.
        row, column: int64 tensors (targets,): position whose next token is a response token.
        target: int64 tensor (targets,): that response token.
    """

    input_ids: Any
    row: Any
    column: Any
    target: Any

    def to(self, device: Any) -> TokenBatch:
        """The same batch on another device."""
        return TokenBatch(
            self.input_ids.to(device),
            self.row.to(device),
            self.column.to(device),
            self.target.to(device),
        )


def bucket(lengths: Sequence[int], max_tokens: int, overhead: int = 16) -> list[list[int]]:
    """Split examples into micro-batches of similar length so that the least work is done.

    A micro-batch costs its tokens, padding included, and ``overhead``; the split of the sorted examples with
    the smallest sum is found by dynamic programming.

    Args:
        lengths: length of each example, in tokens.
        max_tokens: most tokens of a micro-batch, its padding included; a longer example stands alone.
        overhead: tokens that take as long as one more micro-batch does.

    Returns:
        Lists of indices into ``lengths``, longest first; each index in one of them.

    Examples:
        >>> bucket([10, 100, 90, 12], max_tokens=200)
        [[1, 2], [3, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    costs, starts = [0], []
    for end in range(1, len(order) + 1):
        options = []
        for first in range(end - 1, -1, -1):
            tokens = lengths[order[first]] * (end - first)
            if tokens > max_tokens and first < end - 1:
                break
            options.append((costs[first] + tokens + overhead, first))
        cost, first = min(options)
        costs.append(cost)
        starts.append(first)
    groups, end = [], len(order)
    while end:
        groups.append(order[starts[end - 1] : end])
        end = starts[end - 1]
    return groups[::-1]


def collate(examples: Sequence[EncodedExample], pad_id: int) -> TokenBatch:
    """Pad examples and mark the positions that predict a response token.

    Args:
        examples: token ids of prompts and responses.
        pad_id: token for the padding; masked, so any will do.

    Examples:
        >>> batch = collate([EncodedExample([5, 6], [7, 8], 0), EncodedExample([5], [9], 0)], pad_id=0)
        >>> batch.input_ids.tolist()
        [[5, 6, 7, 8], [5, 9, 0, 0]]
        >>> batch.row.tolist(), batch.column.tolist(), batch.target.tolist()
        ([0, 0, 1], [1, 2, 0], [7, 8, 9])
    """
    import torch

    lengths = [len(e.prompt) + len(e.response) for e in examples]
    ids = np.full((len(examples), max(lengths)), pad_id, dtype=np.int64)
    rows, columns, targets = [], [], []
    for i, (example, length) in enumerate(zip(examples, lengths, strict=True)):
        ids[i, :length] = [*example.prompt, *example.response]
        # The first token of a text has no predecessor that could predict it.
        first = max(len(example.prompt), 1)
        columns.append(np.arange(first - 1, length - 1))
        rows.append(np.full(length - first, i))
        targets.append(ids[i, first:length])
    parts = (np.concatenate(part).astype(np.int64) for part in (rows, columns, targets))
    return TokenBatch(torch.from_numpy(ids), *(torch.from_numpy(p) for p in parts))


def trainable_tokens(example: EncodedExample) -> int:
    """Number of response tokens that a loss can be computed on.

    Examples:
        >>> trainable_tokens(EncodedExample([5, 6], [7, 8], 0))
        2
    """
    return len(example.response) - (not example.prompt)


# What is measured at positions that predict a response token: logits (positions, vocabulary) in float32 and the
# targets (positions,) in, a row a position out.
Measure = Callable[[Any, Any], Any]


def negative_log_likelihood(logits: Any, target: Any) -> Any:
    """Minus the logarithm of each target's probability: float32 tensor (positions,), in nats."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, target, reduction="none")


def loss_and_hit(logits: Any, target: Any) -> Any:
    """Float32 tensor (positions, 2): the loss, and 1 where the target is the likeliest token, else 0.

    Of equally likely tokens the first counts as the likeliest.

    Examples:
        >>> import torch
        >>> found = loss_and_hit(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([1, 1]))
        >>> [[round(value, 3) for value in row] for row in found.tolist()]
        [[0.313, 1.0], [2.127, 0.0]]
    """
    import torch

    losses = negative_log_likelihood(logits, target)
    return torch.stack([losses, (logits.argmax(dim=-1) == target).to(losses.dtype)], dim=-1)


def token_losses(
    model: Any, batch: TokenBatch, past: Any = None, measure: Measure = negative_log_likelihood
) -> Any:
    """Negative log-likelihood of every response token of a batch.

    Args:
        model: a causal language model of transformers.
        batch: padded examples. Padding on the right needs no mask: a causal model reads nothing after a position.
        past: keys and values of a prefix that all rows share, see :class:`imine.indicators.prefix.PrefixCache`.
        measure: what is measured instead, from the same logits.

    Returns:
        Float32 tensor (targets,), in nats, in the order of ``batch.target``; or a row of ``measure`` a target.
    """
    import torch

    if model.config.model_type not in PLAIN_HEADS:
        return _own_losses(model, batch, measure)
    # The vocabulary is a quarter of the work of a small model: leave out prompts and padding.
    trunk = model.base_model(input_ids=batch.input_ids, past_key_values=past, use_cache=past is not None)
    hidden = trunk.last_hidden_state[batch.row, batch.column]
    head = model.get_output_embeddings()
    if torch.is_grad_enabled():
        return measure(head(hidden).float(), batch.target)
    parts = zip(hidden.split(_CHUNK), batch.target.split(_CHUNK), strict=True)
    return torch.cat([measure(head(h).float(), t) for h, t in parts])


def _own_losses(model: Any, batch: TokenBatch, measure: Measure) -> Any:
    """Losses by the model's own forward pass, its logits a piece of the positions at a time."""
    import torch

    rows, width = batch.input_ids.shape
    positions = max(64, _PIECE // model.config.get_text_config().vocab_size)
    if torch.is_grad_enabled() or rows * width <= positions or getattr(model, "_is_stateful", False):
        logits = model(input_ids=batch.input_ids, use_cache=False).logits
        return measure(logits[batch.row, batch.column].float(), batch.target)
    found: Any = None
    high = max(1, positions // 64)
    for top in range(0, rows, high):
        for left, logits in _pieces(model, batch.input_ids[top : top + high], positions):
            row, column = batch.row - top, batch.column - left
            bottom, right = logits.shape[:2]
            here = (row >= 0) & (row < bottom) & (column >= 0) & (column < right)
            part = measure(logits[row[here], column[here]].float(), batch.target[here])
            if found is None:
                found = torch.empty(
                    (len(batch.target), *part.shape[1:]), dtype=part.dtype, device=part.device
                )
            found[here] = part
    return found


def _pieces(model: Any, input_ids: Any, positions: int) -> Iterator[tuple[int, Any]]:
    """Logits of so many columns at a time that they have at most ``positions`` rows, with their first column."""
    from transformers import DynamicCache

    rows, width = input_ids.shape
    step = max(1, positions // rows)
    cache = DynamicCache(config=model.config)
    for left in range(0, width, step):
        piece = input_ids[:, left : left + step]
        yield left, model(input_ids=piece, past_key_values=cache, use_cache=True).logits


def response_sums(model: Any, batch: TokenBatch, past: Any = None) -> Any:
    """Negative log-likelihood of every response of a batch, its tokens summed in float64.

    Args:
        model, batch, past: as for :func:`token_losses`.

    Returns:
        Float64 tensor (rows,) on the CPU, in nats.
    """
    return _row_sums(batch, token_losses(model, batch, past))


def response_sums_and_hits(model: Any, batch: TokenBatch) -> tuple[Any, Any]:
    """As :func:`response_sums`, and how many tokens of each response the model finds the likeliest.

    Args:
        model, batch: as for :func:`token_losses`.

    Returns:
        Two float64 tensors (rows,) on the CPU: nats, and a count.
    """
    losses, hits = token_losses(model, batch, measure=loss_and_hit).unbind(-1)
    return _row_sums(batch, losses), _row_sums(batch, hits)


def _row_sums(batch: TokenBatch, values: Any) -> Any:
    import torch

    totals = torch.zeros(len(batch.input_ids), dtype=torch.float64)
    # On the CPU: not every accelerator has float64.
    return totals.index_add_(0, batch.row.cpu(), values.cpu().double())


def autocast(dtype: str, device: Any) -> Any:
    """Context in which matrix products run in ``dtype``; weights and sums stay float32."""
    import torch

    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == "bfloat16")
