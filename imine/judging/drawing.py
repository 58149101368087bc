"""The next token of every row of a batch: the likeliest, or one drawn with the row's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.judging.completing import Decoding


class _Chooser:
    """A logits processor of transformers that leaves each row one token to be chosen greedily.

    Args:
        rows: rows of the batch.
        width: tokens of the padded prompts.
        draws: uniform numbers (rows, steps); ``None`` to leave the choice to the logits.
        decoding: temperature and top_p.
        stop: token that ends a row whose logits cannot be used.
    """

    def __init__(
        self, rows: int, width: int, draws: NDArray[np.float64] | None, decoding: Decoding, stop: int
    ) -> None:
        self._width, self._draws, self._decoding, self._stop = width, draws, decoding, stop
        self.not_finite = np.zeros(rows, dtype=np.bool_)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The logits (rows, vocabulary), with nothing but the chosen token above minus infinity where it was drawn."""
        import torch

        # Minus infinity is allowed: it rules a token out.
        bad = (scores.isnan() | scores.isposinf()).any(dim=1) | scores.isneginf().all(dim=1)
        self.not_finite |= bad.cpu().numpy()
        if self._draws is not None:
            step = input_ids.shape[1] - self._width
            draw = torch.from_numpy(self._draws[:, step]).float().to(scores.device)
            chosen = draw_tokens(scores.masked_fill(bad[:, None], 0.0), draw, self._decoding)
            scores = torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)
        if not bool(bad.any()):
            return scores
        ended = torch.full_like(scores, -torch.inf)
        ended[:, self._stop] = 0.0
        return torch.where(bad[:, None], ended, scores)


def choose_tokens(
    rows: int, width: int, draws: NDArray[np.float64] | None, decoding: Decoding, stops: Sequence[int]
) -> Any:
    """A logits processor for one batch; its ``not_finite`` says which rows had logits that cannot be used.

    Args:
        rows: rows of the batch.
        width: tokens of the padded prompts.
        draws: uniform numbers (rows, steps) in [0, 1); ``None`` for the likeliest token always.
        decoding: temperature and top_p.
        stops: tokens that end a completion.
    """
    return _Chooser(rows, width, draws, decoding, stops[0])


def draw_tokens(logits: Any, draw: Any, decoding: Decoding) -> Any:
    """Tokens drawn by inverting the distribution function over the tokens, the likeliest first.

    Args:
        logits: tensor (rows, vocabulary).
        draw: tensor (rows,) in [0, 1).
        decoding: temperature and top_p.

    Returns:
        int64 tensor (rows,).

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[0.0, 2.0, 1.0]]).expand(3, 3)  # probabilities 0.09, 0.67, 0.24
        >>> draw_tokens(logits, torch.tensor([0.5, 0.8, 0.95]), Decoding(temperature=1.0)).tolist()
        [1, 2, 0]
        >>> draw_tokens(logits, torch.tensor([0.5, 0.8, 0.95]), Decoding(temperature=1.0, top_p=0.8)).tolist()
        [1, 2, 2]
    """
    import torch

    sorted_logits, order = (logits.float() / decoding.temperature).sort(dim=1, descending=True, stable=True)
    summed = sorted_logits.softmax(dim=1).cumsum(dim=1)
    # As many tokens as it takes to reach top_p, at least one.
    kept = (summed < decoding.top_p).sum(dim=1, keepdim=True).clamp(max=logits.shape[1] - 1)
    total = summed.gather(1, kept)
    place = torch.searchsorted(summed, draw[:, None] * total, right=True)
    return order.gather(1, torch.minimum(place, kept))[:, 0]
