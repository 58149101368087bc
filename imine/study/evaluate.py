"""Evaluation: response-token loss and accuracy of a model on a fixed set of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.indicators.responses import autocast, bucket, collate, response_sums_and_hits, trainable_tokens
from imine.indicators.templates import EncodedExample


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Losses of one evaluation set.

    Attributes:
        sums: float64 array (examples,): negative log-likelihood of the response, in nats.
        tokens: int64 array (examples,): response tokens, the end-of-text token included.
        right: int64 array (examples,): those of them that the model finds the likeliest; ``None`` where not counted.
    """

    sums: NDArray[np.float64]
    tokens: NDArray[np.int64]
    right: NDArray[np.int64] | None = None

    @property
    def loss(self) -> float:
        """Mean over all tokens of the set, in nats a token.

        Examples:
            >>> Evaluation(np.array([2.0, 9.0]), np.array([1, 3])).loss
            2.75
        """
        return float(self.sums.sum() / self.tokens.sum())

    @property
    def accuracy(self) -> float | None:
        """Share of all tokens of the set that the model finds the likeliest, given what precedes them.

        Examples:
            >>> Evaluation(np.array([2.0, 9.0]), np.array([1, 3]), np.array([1, 0])).accuracy
            0.25
        """
        return None if self.right is None else float(self.right.sum() / self.tokens.sum())


def pooled_loss(evaluations: Sequence[Evaluation]) -> float:
    """Mean over all tokens of several sets together, in nats a token.

    Examples:
        >>> short = Evaluation(np.array([2.0]), np.array([1]))
        >>> long = Evaluation(np.array([9.0]), np.array([3]))
        >>> pooled_loss([short, long])
        2.75
    """
    return float(sum(e.sums.sum() for e in evaluations) / sum(e.tokens.sum() for e in evaluations))


def pooled_accuracy(evaluations: Sequence[Evaluation]) -> float | None:
    """Accuracy over all tokens of several sets together; ``None`` where one of them did not count.

    Examples:
        >>> short = Evaluation(np.array([2.0]), np.array([1]), np.array([1]))
        >>> long = Evaluation(np.array([9.0]), np.array([3]), np.array([0]))
        >>> pooled_accuracy([short, long])
        0.25
    """
    counts = [e.right for e in evaluations if e.right is not None]
    if len(counts) < len(evaluations):
        return None
    return float(sum(right.sum() for right in counts) / sum(e.tokens.sum() for e in evaluations))


def evaluate(
    model: Any,
    examples: Sequence[EncodedExample],
    *,
    pad_id: int,
    micro_tokens: int = 1024,
    dtype: str = "float32",
) -> Evaluation:
    """Loss and accuracy on every example's response under a model, in evaluation mode.

    Args:
        model: a causal language model of transformers; its mode is put back afterwards.
        examples: tokenised with the end-of-text token.
        pad_id: token for the padding.
        micro_tokens: most tokens of a batch, padding included.
        dtype: ``float32``, or ``bfloat16`` for matrix products in bfloat16; sums are float64 in both.
    """
    import torch

    sums, right = np.zeros(len(examples)), np.zeros(len(examples), dtype=np.int64)
    lengths = [len(e.prompt) + len(e.response) for e in examples]
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(dtype, device):
            for group in bucket(lengths, micro_tokens):
                batch = collate([examples[i] for i in group], pad_id).to(device)
                sums[group], right[group] = (found.numpy() for found in response_sums_and_hits(model, batch))
    finally:
        model.train(was_training)
    tokens = np.array([trainable_tokens(e) for e in examples], dtype=np.int64)
    return Evaluation(sums, tokens, right)
