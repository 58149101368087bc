"""A beginning that many prompts share, read by the model once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imine.indicators.responses import PLAIN_HEADS
from imine.indicators.templates import EncodedExample


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

        self.length = len(prefix) if model.config.model_type in PLAIN_HEADS else 0
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
