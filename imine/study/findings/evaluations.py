"""Two evaluation sets compared: do they order the runs alike, and do they give the same rule?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from imine.regression.ols import fit_ols
from imine.regression.run_data import RunData
from imine.study.findings.numbers import Estimated, rank_correlation

_LOSS = "loss_"


@dataclass(frozen=True, slots=True)
class TermOnBoth:
    """A coefficient on two evaluation sets.

    Attributes:
        name: the indicator.
        a, b: its coefficient on either, with its interval.
        difference: a less b. Both losses are of the same runs, so it is regressed itself, with the right error.
        p: two-sided, of no difference.
    """

    name: str
    a: Estimated
    b: Estimated
    difference: Estimated
    p: float


@dataclass(frozen=True, slots=True)
class TwoSets:
    """Two evaluation sets.

    Attributes:
        names: of the sets.
        rank: rank correlation of the runs' losses.
        r2: of the rule on either.
        terms: coefficients side by side.
        f, p: test that all coefficients but the intercept are the same; df: its degrees of freedom.
    """

    names: tuple[str, str]
    rank: Estimated
    r2: tuple[float, float]
    terms: tuple[TermOnBoth, ...]
    f: float
    p: float
    df: tuple[int, int]


def evaluation_sets(frame: pl.DataFrame) -> list[str]:
    """Names of the evaluation sets: columns ``loss_<name>``.

    Examples:
        >>> evaluation_sets(pl.DataFrame({"loss": [1.0], "loss_a": [1.0], "baseline_loss_a": [1.0]}))
        ['a']
    """
    return [
        c.removeprefix(_LOSS)
        for c, dtype in frame.schema.items()
        if c.startswith(_LOSS) and dtype.is_numeric()
    ]


def compare_sets(data: RunData, level: float) -> tuple[TwoSets, ...]:
    """Every two evaluation sets of the runs.

    Args:
        data: the runs with the indicators.
        level: confidence level.
    """
    names = [name for name in evaluation_sets(data.frame) if data.frame[f"{_LOSS}{name}"].null_count() == 0]
    return tuple(_pair(data, a, b, level) for a, b in combinations(names, 2))


def _pair(data: RunData, a: str, b: str, level: float) -> TwoSets:
    losses = [np.log(data.frame[f"{_LOSS}{name}"].cast(pl.Float64).to_numpy()) for name in (a, b)]
    fits = [fit_ols(data.X, y, data.names) for y in (*losses, losses[0] - losses[1])]
    columns = [
        [Estimated(v, low, high) for v, (low, high) in zip(f.params, f.conf_int(level).tolist(), strict=True)]
        for f in fits
    ]
    terms = tuple(
        TermOnBoth(name, columns[0][i], columns[1][i], columns[2][i], float(fits[2].p[i]))
        for i, name in enumerate(data.names, 1)
    )
    apart = fits[2]
    return TwoSets(
        names=(a, b),
        rank=rank_correlation(losses[0], losses[1], level),
        r2=(fits[0].r2, fits[1].r2),
        terms=terms,
        f=apart.f,
        p=apart.f_p,
        df=(apart.df_model, apart.df_resid),
    )
