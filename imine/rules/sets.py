"""The sets that two rules choose from the same rows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.rules.rule import Rule
from imine.rules.text import or_dash

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.progress import Progress
    from imine.selection import Selection


@dataclass(frozen=True, slots=True)
class SetComparison:
    """What two rules choose from the same rows.

    Attributes:
        top: rows that each was to choose.
        rows: rows to choose from.
        predicted_first, predicted_second, predicted_both: rows that have a prediction.
        kept_first, kept_second, kept_both: rows that were chosen; by both.
        spearman, kendall: rank correlations of the predictions over the rows that both predict; ``None`` where
            fewer than two do, or a rule predicts the same for all.
    """

    top: int
    rows: int
    predicted_first: int
    predicted_second: int
    predicted_both: int
    kept_first: int
    kept_second: int
    kept_both: int
    spearman: float | None
    kendall: float | None

    @property
    def jaccard(self) -> float | None:
        """Rows chosen by both over rows chosen by either; ``None`` where nothing was chosen."""
        either = self.kept_first + self.kept_second - self.kept_both
        return self.kept_both / either if either else None

    @property
    def by_chance(self) -> float | None:
        """Rows that two random choices of these sizes would have in common, on average.

        Each of them among the rows with a prediction by that rule; ``None`` where a rule predicts none.
        """
        if not self.predicted_first or not self.predicted_second:
            return None
        shares = self.kept_first / self.predicted_first * (self.kept_second / self.predicted_second)
        return shares * self.predicted_both

    def lines(self) -> list[str]:
        """The comparison in words."""
        return [
            f"Chosen: {self.kept_first:,} and {self.kept_second:,} of {self.rows:,} rows "
            f"(the lowest {self.top:,} of {self.predicted_first:,} and {self.predicted_second:,} with a prediction).",
            f"In both: {self.kept_both:,} (by chance {or_dash(self.by_chance, ',.1f')}), "
            f"Jaccard {or_dash(self.jaccard, '.3f')}.",
            f"Rank correlation of the predictions over {self.predicted_both:,} rows that both predict: "
            f"Spearman {or_dash(self.spearman, '.3f')}, Kendall {or_dash(self.kendall, '.3f')}.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """All numbers by name."""
        return asdict(self) | {"jaccard": self.jaccard, "by_chance": self.by_chance}


def compare_sets(
    first: Rule,
    second: Rule,
    scores: Scores | pl.DataFrame | None,
    pool: pl.DataFrame | None,
    top: int,
    allow_mismatch: bool,
    progress: Progress | None,
) -> SetComparison:
    """Let two rules choose from the same scores or records; see :func:`imine.rules.compare_rules`.

    Args:
        first, second: the rules.
        scores: to choose from; or ``None``.
        pool: records to choose from where there are no scores.
        top: rows that each chooses.
        allow_mismatch: go on where the scores were made in another way than a rule expects.
        progress: told of the scoring.

    Examples:
        >>> from imine.rules import load_rule
        >>> first = load_rule("instructmining-v1")
        >>> columns = {"reward": [0.1, 2.0, 1.0], "output_length": [9, 9, 900], "knn_6": [0.5, 0.5, 0.5]}
        >>> made_up = pl.DataFrame({"id": ["a", "b", "c"], **columns})
        >>> compare_sets(first, first, made_up, None, 2, False, None).kept_both
        2
    """
    a, b = (_select(rule, scores, pool, top, allow_mismatch, progress) for rule in (first, second))
    predicted = [
        selection.table.select("id", "predicted_log_loss").drop_nulls("predicted_log_loss")
        for selection in (a, b)
    ]
    both = predicted[0].join(predicted[1], on="id", suffix="_second")
    x, y = both["predicted_log_loss"], both["predicted_log_loss_second"]
    spearman, kendall = _rank_correlations(x, y)
    return SetComparison(
        top=top,
        rows=a.table.height,
        predicted_first=predicted[0].height,
        predicted_second=predicted[1].height,
        predicted_both=both.height,
        kept_first=len(a.kept_ids),
        kept_second=len(b.kept_ids),
        kept_both=len(set(a.kept_ids) & set(b.kept_ids)),
        spearman=spearman,
        kendall=kendall,
    )


def _select(
    rule: Rule,
    scores: Scores | pl.DataFrame | None,
    pool: pl.DataFrame | None,
    top: int,
    allow_mismatch: bool,
    progress: Progress | None,
) -> Selection:
    from imine.selection import select, select_scored
    from imine.selection.checks import Mismatch, check_columns, check_made

    if scores is None:
        assert pool is not None
        return select(pool, rule, top=top, allow_mismatch=allow_mismatch, progress=progress)
    if isinstance(scores, pl.DataFrame):
        return select_scored(scores, rule, top=top)
    check_columns(rule, scores.frame)
    check_made(rule, scores.fingerprints, allow_mismatch, Mismatch())
    return select_scored(scores.frame, rule, top=top)


def _rank_correlations(x: pl.Series, y: pl.Series) -> tuple[float | None, float | None]:
    from scipy.stats import kendalltau, spearmanr

    if x.n_unique() < 2 or y.n_unique() < 2:
        return None, None
    found = [float(measure(x.to_numpy(), y.to_numpy()).statistic) for measure in (spearmanr, kendalltau)]
    spearman, kendall = (value if math.isfinite(value) else None for value in found)
    return spearman, kendall
