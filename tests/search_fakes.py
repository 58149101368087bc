"""A trainer whose losses follow a known curve of the size, in the place of finetunes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imine.search.candidates import Candidates
from imine.study.design import rows_sha256
from imine.study.recipe import FinetuneConfig
from imine.study.trial import Trainer

Curve = Callable[[float], float]

# Of the binary logarithm of the size, 9 (512 rows) to 14 (16,384).
CURVES: dict[str, Curve] = {
    "falling": lambda x: 2.0 - 0.05 * (x - 9),
    "valley": lambda x: 1.8 + 0.02 * (x - 11.5) ** 2,
    "early valley": lambda x: 1.8 + 0.02 * (x - 9.75) ** 2,
    "double descent": lambda x: 2.0 - 0.03 * (x - 9) + 0.15 * math.exp(-(((x - 11.5) / 0.6) ** 2)),
    "rising": lambda x: 1.5 + 0.05 * (x - 9),
    "flat": lambda x: 1.7,
}


@dataclass(frozen=True)
class FakeTrainer(Trainer):
    """Losses of a mined subset follow a curve, those of a random one lie a little above it."""

    curve: Curve = CURVES["valley"]
    ranked: tuple[str, ...] = ()
    sd: float = 0.002
    gap: float = 0.03
    done: list[str] = field(default_factory=list)
    stop_after: int | None = None

    def baseline(self) -> dict[str, Any]:
        return {"kind": "baseline", **self._record(2.2, 0)}

    def run(self, run: int | str, ids: Sequence[str], seed: int) -> dict[str, Any]:
        if self.stop_after is not None and len(self.done) >= self.stop_after:
            raise KeyboardInterrupt
        self.done.append(str(run))
        mined = tuple(ids) == self.ranked[: len(ids)]
        loss = self.curve(math.log2(len(ids))) + (0.0 if mined else self.gap)
        loss += self.sd * float(np.random.default_rng([seed, len(ids), mined]).standard_normal())
        return {
            "kind": "run",
            "run": run,
            "seed": seed,
            "n_examples": len(ids),
            "rows_sha256": rows_sha256(ids),
            "steps": 1,
            "tokens": 100 * len(ids),
            "response_tokens": 50 * len(ids),
            "padded_tokens": 100 * len(ids),
            "train_losses": [loss],
            "seconds_train": 0.0,
            **self._record(loss, seed),
        }

    def _record(self, loss: float, seed: int) -> dict[str, Any]:
        parts = {name: examples(loss + shift, place) for place, (name, shift) in enumerate(SETS.items())}
        total = sum(sum(part["sums"]) for part in parts.values())
        tokens = sum(sum(part["tokens"]) for part in parts.values())
        return {
            "loss": total / tokens,
            "evaluation": parts,
            "seconds_evaluate": 0.0,
            "device": "none",
            "threads": 1,
            "peak_rss_mb": 1,
            "versions": {},
        }


SETS = {"seen": 0.0, "unseen": 0.1}


def examples(loss: float, seed: int, count: int = 40) -> dict[str, Any]:
    """Sums and tokens of an evaluation set with exactly this loss, some examples harder than others."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(20, 200, count)
    hardness = rng.normal(0, 0.3, count)
    hardness -= (hardness * tokens).sum() / tokens.sum()
    return {"loss": loss, "sums": ((loss + hardness) * tokens).tolist(), "tokens": tokens.tolist()}


def candidates(
    curve: Curve = CURVES["valley"],
    rows: int = 16384,
    recipe: Mapping[str, Any] | None = None,
    **trainer: Any,
) -> Candidates:
    """Rows that are worth less the later they rank."""
    ids = tuple(f"row{i}" for i in range(rows))
    fake = FakeTrainer(
        lm=None, settings=FinetuneConfig(), train={}, evaluation={}, curve=curve, ranked=ids, **trainer
    )
    tokens = dict.fromkeys(ids, 100)
    return Candidates(
        fake, ids, ids[::-1], tokens, 0, recipe or {"a": 1}, {"name": "fake", "rule": "made-up"}
    )
