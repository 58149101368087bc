"""Candidates with indicators, for tests of designs."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from imine.study.config import StudyConfig, check_config
from imine.study.designs.candidates import Candidates

NAMES = ("output_words", "mtld", "log_perplexity")


def config(design: dict[str, Any], pools: tuple[str, ...] = ("a", "b", "c"), **more: Any) -> StudyConfig:
    raw = {
        "name": "s",
        "out": "out",
        "pools": [{"name": name, "path": name} for name in pools],
        "evaluation": [{"name": "e", "path": "e"}],
        "design": design,
        "indicators": {"names": list(NAMES)},
    }
    return check_config(raw | more)


def pools(*sizes: int) -> dict[str, list[str]]:
    return {name: [f"{name}{i}" for i in range(size)] for name, size in zip("abcdef", sizes, strict=False)}


def candidates(*sizes: int, seed: int = 0, longest: int = 60) -> Candidates:
    rng = np.random.default_rng(seed)
    return Candidates.from_pools(pools(*sizes), rng.integers(1, longest + 1, sum(sizes)).tolist())


def scores(own: Candidates, seed: int = 0) -> pl.DataFrame:
    """Three correlated indicators that differ between pools; the second is missing in a tenth of the rows."""
    rng = np.random.default_rng(seed)
    n = len(own.ids)
    common = rng.standard_normal(n) + 0.7 * own.pool
    words = np.exp(3.0 + 0.6 * common + 0.3 * rng.standard_normal(n))
    mtld = 60.0 + 10.0 * common + 12.0 * rng.standard_normal(n)
    perplexity = 2.0 - 0.3 * common + rng.standard_t(4, n)
    columns = {"id": own.ids, "output_words": words, "mtld": mtld, "log_perplexity": perplexity}
    missing = pl.Series(rng.random(n) < 0.1)
    return pl.DataFrame(columns).with_columns(pl.when(~missing).then("mtld").alias("mtld"))
