"""Losses of the finetunes of a search as arrays, read from the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.search.candidates import ARMS, run_name
from imine.study.ledger import Ledger

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What every finetuned model did on every evaluation example.

    Attributes:
        sizes: ascending.
        sums: by evaluation set, shape (arms, sizes, seeds, examples): negative log-likelihood in nats.
        tokens: by evaluation set, shape (examples,): response tokens.
        baseline: by evaluation set, shape (examples,): sums of the base model.
    """

    sizes: tuple[int, ...]
    sums: Mapping[str, Array]
    tokens: Mapping[str, Array]
    baseline: Mapping[str, Array]


def read_losses(ledger: Ledger, sizes: Sequence[int], seeds: int) -> Losses:
    """Losses of some sizes, all of whose finetunes the ledger has.

    Args:
        ledger: of a search.
        sizes: ascending.
        seeds: finetunes of every size and arm.
    """
    runs: Mapping[Any, dict[str, Any]] = ledger.runs
    assert ledger.baseline is not None
    evaluated = ledger.baseline["evaluation"]
    sums = {
        name: np.array(
            [
                [
                    [runs[run_name(arm, size, k)]["evaluation"][name]["sums"] for k in range(seeds)]
                    for size in sizes
                ]
                for arm in ARMS
            ],
            dtype=np.float64,
        )
        for name in evaluated
    }
    tokens = {name: np.array(part["tokens"], dtype=np.float64) for name, part in evaluated.items()}
    baseline = {name: np.array(part["sums"], dtype=np.float64) for name, part in evaluated.items()}
    return Losses(tuple(sizes), sums, tokens, baseline)


def pooled(losses: Losses, sets: Sequence[str]) -> Array:
    """Mean loss over all tokens of some sets together, in nats a token.

    Args:
        losses: of the finetunes.
        sets: names of evaluation sets.

    Returns:
        Shape (arms, sizes, seeds).
    """
    total: Array = sum((losses.sums[name].sum(axis=-1) for name in sets), np.zeros(()))
    return total / sum(losses.tokens[name].sum() for name in sets)


def pooled_baseline(losses: Losses, sets: Sequence[str]) -> float:
    """Mean loss of the base model over all tokens of some sets together, in nats a token."""
    total = sum(float(losses.baseline[name].sum()) for name in sets)
    return total / sum(float(losses.tokens[name].sum()) for name in sets)
