"""The thresholded selector: the rows of the lowest predicted log loss."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import SelectionError
from imine.rules import MeanPrediction, Rule
from imine.selection.choosing import Pool, choose
from imine.selection.intervals import half_widths
from imine.selection.notes import notes_on
from imine.selection.quotas import bounds_of, group_rows
from imine.selection.ranking import Array, Rows, check_ids, mean_of, outside_ranges, predict, rank, values_of
from imine.selection.reasons import Decided
from imine.selection.requests import Request, RequestOptions
from imine.selection.result import Selection

Vectors = npt.NDArray[np.float32]


def select_scored(
    scores: pl.DataFrame,
    rule: Rule,
    *,
    embeddings: Vectors | None = None,
    **how: Unpack[RequestOptions],
) -> Selection:
    """Keep the rows that a rule predicts the lowest log loss for; ties go by id.

    Args:
        scores: ``id``, one column an indicator of the rule, ``<indicator>__why`` with the reason of a null; also the
            columns that a quota or a token budget names.
        rule: the rule to rank by.
        embeddings: unit vectors of the rows, (rows, dimensions), of zeros where a row has no text; for
            near-duplicates and diversity.
        how: how much to keep and by what, the fields of :class:`imine.selection.Request`: exactly one of ``top``,
            ``fraction``, ``threshold`` and ``tokens``. More than have a prediction keeps all those, with a note.
            Levels of single examples are extrapolated, so a threshold has no absolute meaning; the order has.

    Returns:
        The decision on every row, with its reason.

    Raises:
        SelectionError: a request that makes no sense or cannot be met; no rows, no ``id``, ids that occur twice, or
            no column that the request names; embeddings that are no unit vectors.
        RuleError: an indicator of the rule has no column.

    Examples:
        >>> import polars as pl
        >>> from imine.rules import load_rule
        >>> made_up = pl.DataFrame({
        ...     "id": ["a", "b", "c"],
        ...     "reward": [2.0, 1.0, None],
        ...     "reward__why": [None, None, "the response is empty"],
        ...     "output_length": [100, 100, 0],
        ...     "knn_6": [0.5, 0.5, 0.7],
        ... })
        >>> chosen = select_scored(made_up, load_rule("instructmining-v1"), top=1)
        >>> chosen.kept_ids
        ['a']
        >>> print(*chosen.table["reason"].drop_nulls(), sep="\\n")
        predicted log loss 0.460357 above the cut 0.310557 (rank 2 of 2)
        no reward: the response is empty
    """
    request = Request(**how)
    _check_rows(scores)
    predicted = predict(scores, rule)
    half = _half(scores, rule, request)
    key = predicted if request.by == "prediction" else predicted + _required(half)
    ranking = rank(scores["id"], predicted, key)
    pool = _pool(scores, request, half, embeddings)
    needed = _columns(scores, rule, request)
    decided = Decided(scores.select(needed), rule, ranking, pool, choose(ranking, pool))
    return _selection(decided)


def _check_rows(scores: pl.DataFrame) -> None:
    if "id" not in scores.columns:
        raise SelectionError(f"the scores have no column id; they have: {', '.join(scores.columns)}")
    if not scores.height:
        raise SelectionError("the scores have no rows: there is nothing to choose from")
    check_ids(scores["id"])


def _half(scores: pl.DataFrame, rule: Rule, request: Request) -> Array | None:
    """Half widths where the decision or the report needs them."""
    banded = request.threshold is not None and request.band is None
    if request.by == "upper" or (banded and (request.cannot_tell or rule.covariance is not None)):
        return half_widths(scores, rule, request.level)
    return None


def _required(half: Array | None) -> Array:
    assert half is not None
    return half


def _columns(scores: pl.DataFrame, rule: Rule, request: Request) -> list[str]:
    names = [*rule.indicators, *([request.token_column] if request.tokens is not None else [])]
    wanted = ["id", *(c for name in names for c in (name, f"{name}__why"))]
    return list(dict.fromkeys(c for c in wanted if c in scores.columns))


def _pool(scores: pl.DataFrame, request: Request, half: Array | None, vectors: Vectors | None) -> Pool:
    groups = bounds = None
    if request.quota is not None:
        groups = group_rows(column_of(scores, request.quota.column, "the quota"))
        bounds = bounds_of(request.quota, groups.names)
    if request.needs_embeddings:
        vectors = _check_vectors(scores, vectors)
    return Pool(
        request=request,
        half=half,
        tokens=_tokens(scores, request),
        groups=groups,
        bounds=bounds,
        alike=_alike(request, vectors),
        vectors=vectors if request.diversity is not None else None,
    )


def column_of(scores: pl.DataFrame, name: str, what: str) -> pl.Series:
    """A column that something needs.

    Raises:
        SelectionError: it is not there; names what needs it.
    """
    if name not in scores.columns:
        raise SelectionError(f"{what} needs the column {name}; there are: {', '.join(scores.columns)}")
    return scores[name]


def _tokens(scores: pl.DataFrame, request: Request) -> Array | None:
    if request.tokens is None:
        return None
    column = column_of(scores, request.token_column, "the token budget")
    if not column.dtype.is_numeric():
        raise SelectionError(f"the token budget needs numbers in {request.token_column}; got {column.dtype}")
    tokens = values_of(scores, request.token_column)
    if (tokens < 0).any():
        raise SelectionError(f"{request.token_column} is negative in some rows: it is no number of tokens")
    return tokens


def _check_vectors(scores: pl.DataFrame, vectors: Vectors | None) -> Vectors:
    if vectors is None:
        raise SelectionError(
            "near-duplicates and diversity need the embeddings of the rows: give embeddings, or the records"
        )
    if vectors.ndim != 2 or len(vectors) != scores.height:
        raise SelectionError(
            f"embeddings must have one row a row of the scores, {scores.height:,}; got {vectors.shape}"
        )
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    # Half precision rounds a length by some 1e-3.
    wrong = np.flatnonzero(~((np.abs(lengths - 1.0) <= 0.01) | (lengths == 0.0)))
    if len(wrong):
        raise SelectionError(
            f"embeddings must be finite and of length 1, or 0 for a row without text: {len(wrong):,} are not; that of "
            f"{scores['id'][int(wrong[0])]} has length {lengths[wrong[0]]:g}"
        )
    return vectors


def _alike(request: Request, vectors: Vectors | None) -> Rows | None:
    if request.duplicates is None or vectors is None:
        return None
    from imine.indicators.neighbors import near_duplicate_groups

    return near_duplicate_groups(vectors, request.duplicates)


def _selection(decided: Decided) -> Selection:
    rule, ranking, choice = decided.rule, decided.ranking, decided.choice
    kept_mean, all_mean = _means(decided)
    outside = outside_ranges(decided.scores, rule)
    usable = ~np.isnan(ranking.predicted)
    anywhere = np.any(list(outside.values()), axis=0) & usable if outside else None
    return Selection(
        decided=decided,
        request=str(decided.pool.request),
        cut=choice.cut,
        kept_mean=kept_mean,
        all_mean=all_mean,
        out_of_range={name: int(np.count_nonzero(flags & usable)) for name, flags in outside.items()},
        outside_share=_share(anywhere, usable),
        kept_outside_share=_share(anywhere, choice.kept),
        in_band=choice.in_band,
        spread_ratio={n: r.spread_ratio for n, r in rule.ranges.items() if r.spread_ratio is not None},
        rule_name=rule.name,
        rule_sha256=rule.sha256,
        fingerprints={},
        notes=tuple(notes_on(decided, kept_mean)),
    )


def _share(flags: npt.NDArray[np.bool_] | None, rows: npt.NDArray[np.bool_]) -> float | None:
    of = np.count_nonzero(rows)
    return None if flags is None or not of else np.count_nonzero(flags & rows) / of


def _means(decided: Decided) -> tuple[MeanPrediction | None, MeanPrediction | None]:
    """Predictions at the means of the kept rows and of all with a prediction."""
    usable, kept = ~np.isnan(decided.ranking.predicted), decided.choice.kept
    means: list[dict[str, float]] = [{}, {}]
    for name in decided.rule.indicators:
        values = values_of(decided.scores, name)
        for rows, mean in zip((kept, usable), means, strict=True):
            if rows.any():
                mean[name] = mean_of(values, rows)
    level = decided.pool.request.level
    kept_mean, all_mean = (decided.rule.predict_mean(m, level=level) if m else None for m in means)
    return kept_mean, all_mean
