"""Negative log-likelihood of response tokens, the vocabulary touched at response positions only.

Scoring, evaluation and finetuning all measure a response here, so that they mean the same by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imine.indicators.templates import EncodedExample

# Architectures whose logits are the output embedding of the trunk's last hidden state and nothing more; others
# scale or cap them and go through their own forward pass.
_PLAIN_HEADS = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3", "gpt_neox", "gpt2", "olmo2", "phi3"})


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded token ids of some examples, and where their response tokens are predicted.

    Attributes:
        rows: positions of the examples in the list that the batch was made from.
        ids: token ids, (rows, longest); what is padded stands after all that is read.
        row: for each response token, its row in ``ids``.
        position: for each response token, the position that predicts it.
        target: for each response token, its id.
    """

    rows: list[int]
    ids: Any
    row: Any
    position: Any
    target: Any

    def to(self, device: Any) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.rows, self.ids.to(device), self.row.to(device), self.position.to(device), self.target.to(device)
        )


def make_batch(examples: Sequence[EncodedExample], rows: Sequence[int], pad: int, skip: int = 0) -> Batch:
    """Pad some of the examples to one batch.

    Args:
        examples: all examples.
        rows: which of them.
        pad: id to pad with.
        skip: leading tokens that are left out, since a cached prefix stands for them.
    """
    import torch

    sequences = [(examples[i].prompt + examples[i].response)[skip:] for i in rows]
    ids = torch.full((len(rows), max(map(len, sequences))), pad)
    row: list[int] = []
    position: list[int] = []
    target: list[int] = []
    for k, (i, sequence) in enumerate(zip(rows, sequences, strict=True)):
        ids[k, : len(sequence)] = torch.tensor(sequence)
        first = len(examples[i].prompt) - skip - 1
        row += [k] * len(examples[i].response)
        position += range(first, first + len(examples[i].response))
        target += examples[i].response
    return Batch(list(rows), ids, torch.tensor(row), torch.tensor(position), torch.tensor(target))


def length_batches(lengths: Sequence[int], order: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Cut rows, taken in ``order``, into batches of at most ``max_tokens`` padded tokens, at least one row each.

    Examples:
        >>> list(length_batches([5, 5, 9], [2, 0, 1], max_tokens=12))
        [[2], [0, 1]]
    """
    batch: list[int] = []
    longest = 0
    for i in order:
        if batch and (len(batch) + 1) * max(longest, lengths[i]) > max_tokens:
            yield batch
            batch, longest = [], 0
        batch.append(i)
        longest = max(longest, lengths[i])
    if batch:
        yield batch


def response_nll(model: Any, batch: Batch, past: Any = None, chunk: int | None = None) -> Any:
    """Negative log-likelihood of each response token of a batch.

    Right padding needs no mask in a causal model: nothing that is read comes after a padded position.

    Args:
        model: a causal language model of transformers.
        batch: from :func:`make_batch`.
        past: cached keys and values of a prefix that all rows share, as many rows as the batch.
        chunk: how many positions meet the vocabulary at once; ``None`` for all (training keeps them anyway).

    Returns:
        float32 tensor, one value a response token, in the order of ``batch.target``.
    """
    import torch

    if model.config.model_type not in _PLAIN_HEADS:
        logits = model(input_ids=batch.ids, past_key_values=past, use_cache=past is not None).logits
        return torch.nn.functional.cross_entropy(
            logits[batch.row, batch.position].float(), batch.target, reduction="none"
        )
    hidden = model.base_model(input_ids=batch.ids, past_key_values=past, use_cache=past is not None)[0]
    states = hidden[batch.row, batch.position]
    head = model.get_output_embeddings()
    parts = [
        torch.nn.functional.cross_entropy(head(h).float(), t, reduction="none")
        for h, t in zip(states.split(chunk or len(states)), batch.target.split(chunk or len(states)), strict=True)
    ]
    return torch.cat(parts)


def shared_prefix(examples: Sequence[EncodedExample], rows: Sequence[int]) -> int:
    """How many leading prompt tokens the rows share, at least one prompt token of each left out.

    Examples:
        >>> a, b = EncodedExample([1, 2, 3], [9], 0), EncodedExample([1, 2, 4], [9], 0)
        >>> shared_prefix([a, b], [0, 1])
        2
    """
    first = examples[rows[0]].prompt
    shared = len(first) - 1
    for i in rows:
        prompt = examples[i].prompt
        shared = min(shared, len(prompt) - 1)
        while shared > 0 and prompt[:shared] != first[:shared]:
            shared -= 1
    return max(shared, 0)


class PrefixCache:
    """Keys and values of a prefix, computed once and lent to every batch.

    Args:
        model: a causal language model of transformers.
        prefix: token ids; empty for none.
    """

    def __init__(self, model: Any, prefix: Sequence[int]) -> None:
        import torch
        from transformers import DynamicCache

        self.length = len(prefix) if model.config.model_type in _PLAIN_HEADS else 0
        self._states: list[tuple[Any, Any]] = []
        if self.length:
            cache = DynamicCache(config=model.config)
            ids = torch.tensor([list(prefix)], device=model.device)
            model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
            self._states = [(layer.keys, layer.values) for layer in cache.layers]

    def lend(self, rows: int) -> Any:
        """A cache for a batch of so many rows; ``None`` where there is no prefix."""
        from transformers import DynamicCache

        if not self.length:
            return None
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(self._states):
            shape = (rows, *keys.shape[1:])
            cache.update(keys.expand(shape), values.expand(shape), layer)
        return cache
