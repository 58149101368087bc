"""Selecting records: score them where needed, check that scores and rule belong together, choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import polars as pl

from imine.columns import find_column
from imine.columns.lexical import other_name
from imine.errors import IndicatorUnavailableError, SelectionError
from imine.rules import Rule, load_rule
from imine.selection.checks import Mismatch, check_columns, check_made, check_planned, unchecked_notes
from imine.selection.intervals import require_covariance
from imine.selection.quotas import bounds_of, group_rows
from imine.selection.requests import TOKENS, Request, RequestOptions
from imine.selection.result import Selection
from imine.selection.selector import Vectors, column_of, select_scored

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.progress import Progress


def select(
    data: pl.DataFrame,
    rule: Rule | str | Path,
    *,
    scores: Scores | pl.DataFrame | None = None,
    embeddings: Vectors | None = None,
    allow_mismatch: bool = False,
    settings: Any = None,
    progress: Progress | None = None,
    after_scoring: Callable[[Scores], None] | None = None,
    **how: Unpack[RequestOptions],
) -> Selection:
    """Keep the records that a rule predicts the lowest log loss for.

    Args:
        data: records, as :func:`imine.read` gives them.
        rule: a rule, its name, or its file.
        scores: scores of these records, or a frame of ``id`` and the indicators, of which it is not known how
            they were made; by default they are computed, in the way that the rule expects.
        embeddings: unit vectors of the records, (rows, dimensions); by default they are made where near-duplicates or
            diversity are asked for.
        allow_mismatch: go on, with a warning that is stored in the result, where fingerprints of scores and
            rule differ.
        settings: how to score; by default as the rule expects.
        progress: told of the scoring.
        after_scoring: called with scores that were computed here, before anything is chosen by them: what fails
            later need not lose them.
        how: how much to keep and by what, exactly one of ``top``, ``fraction``, ``threshold`` and ``tokens``, and the
            other fields of :class:`imine.selection.Request`. A quota may be by a column of the records or the scores.

    Returns:
        The selection, with the kept and the rejected records, their columns as they came.

    Raises:
        IndicatorUnavailableError: the rule needs indicators that are neither in ``scores`` nor computed here.
        FingerprintMismatchError: scores and rule do not belong together; the message names every difference.
            What can be known of it before scoring is said before.
        SelectionError: a request that makes no sense, no records, or scores that do not fit them.

    Examples:
        >>> import polars as pl
        >>> data = pl.DataFrame({"id": ["a", "b"], "output": ["Yes.", "No."]})
        >>> made_up = pl.DataFrame({
        ...     "id": ["a", "b"], "reward": [0.1, 2.0], "output_length": [3, 3], "knn_6": [0.5, 0.5]
        ... })
        >>> chosen = select(data, "instructmining-v1", top=1, scores=made_up)
        >>> chosen.kept["output"].to_list()
        ['No.']
    """
    rule = rule if isinstance(rule, Rule) else load_rule(rule)
    request = Request(**how)
    scores = None if scores is None else _as_scores(scores, rule)
    check_available(rule, () if scores is None else scores.frame.columns)
    _check_records(data)
    _check_request(data, rule, request, scores)
    mismatch = Mismatch()
    if request.needs_embeddings and embeddings is None:
        settings = _settings(rule, settings)
        _check_encoder(settings)
    if scores is None:
        settings = _settings(rule, settings)
        mismatch = check_planned(rule, _planned(rule, settings), allow_mismatch)
        scores = _score(data, rule, request, settings, progress)
        if after_scoring is not None:
            after_scoring(scores)
    check_columns(rule, scores.frame)
    mismatch = check_made(rule, scores.fingerprints, allow_mismatch, mismatch)
    frame, join_notes = _scores_of(data, rule, scores.frame, _further(request))
    if request.needs_embeddings and embeddings is None:
        embeddings = _embed(data, settings, progress)
    selection = select_scored(frame, rule, embeddings=embeddings, **how)
    return replace(
        selection,
        scores=scores,
        records=data.drop("imine_reason", strict=False),
        fingerprints={n: f for n, f in scores.fingerprints.items() if n in rule.indicators},
        notes=(*mismatch.notes, *unchecked_notes(rule), *join_notes, *selection.notes),
    )


def _check_request(data: pl.DataFrame, rule: Rule, request: Request, scores: Scores | None) -> None:
    """Refuse, before any scoring, what the rule or the columns cannot give."""
    if request.needs_intervals:
        require_covariance(rule)
    scored = [*rule.indicators, TOKENS] if scores is None else scores.frame.columns
    if request.tokens is not None and request.token_column not in scored:
        column_of(data, request.token_column, "the token budget")
    quota = request.quota
    if quota is not None and quota.column not in scored:
        bounds_of(quota, group_rows(column_of(data, quota.column, "the quota")).names)


def _further(request: Request) -> list[str]:
    """Columns beside the indicators that the request names."""
    names = [request.quota.column] if request.quota is not None else []
    return list(dict.fromkeys([*names, *([request.token_column] if request.tokens is not None else [])]))


def _check_encoder(settings: Any) -> None:
    """Fail for want of an encoder before any scoring."""
    from imine.indicators.models import model_path

    model_path(settings.encoder)


def _embed(data: pl.DataFrame, settings: Any, progress: Progress | None) -> Any:
    from imine.indicators.stages.neighbors import embed_records
    from imine.progress import SilentProgress

    return embed_records(data, settings, progress or SilentProgress())


def check_available(rule: Rule, scored: Sequence[str] = ()) -> None:
    """Refuse a rule whose indicators are neither scored already nor computed by imine.

    Args:
        rule: the rule to be applied.
        scored: columns of the scores at hand.

    Raises:
        IndicatorUnavailableError: names the indicators, and what to do.

    Examples:
        >>> from imine.rules import load_rule
        >>> check_available(load_rule("instructmining-v1"))
    """
    absent = [name for name in rule.indicators if name not in scored and not find_column(name)]
    if not absent:
        return
    raise IndicatorUnavailableError(
        f"rule {rule.name!r} needs indicators that this version of imine cannot compute: {', '.join(absent)}. "
        "Nothing was done. Score them elsewhere into a parquet file with the columns id and "
        + ", ".join(absent)
        + ", and pass it on (imine select --scores FILE), or choose another rule (imine rules)."
    )


def _check_records(data: pl.DataFrame) -> None:
    if "id" not in data.columns:
        raise SelectionError(f"the records have no column id; they have: {', '.join(data.columns)}")
    if not data.height:
        raise SelectionError("there are no records to choose from")
    if nulls := data["id"].null_count():
        raise SelectionError(f"{nulls:,} records have no id (null)")
    twice = data.filter(pl.col("id").is_duplicated())["id"].unique().sort()
    if twice.len():
        shown = ", ".join(str(value) for value in twice.head(5))
        raise SelectionError(f"{twice.len():,} ids stand for more than one record: {shown}")


def _settings(rule: Rule, settings: Any) -> Any:
    from imine.indicators.score import settings_for_rule

    return settings_for_rule(rule) if settings is None else settings


def _planned(rule: Rule, settings: Any) -> dict[str, dict[str, Any]]:
    from imine.indicators.score import planned_fingerprints

    return planned_fingerprints(rule.indicators, settings)


def _score(
    data: pl.DataFrame, rule: Rule, request: Request, settings: Any, progress: Progress | None
) -> Scores:
    from imine.indicators.score import score

    names = list(rule.indicators)
    # Another column of tokens is the user's own.
    if request.tokens is not None and request.token_column == TOKENS and TOKENS not in names:
        names.append(TOKENS)
    return score(data, names, settings=settings, progress=progress)


def _as_scores(scores: Scores | pl.DataFrame, rule: Rule) -> Scores:
    """The scores, with the columns that the rule knows by their other name (``mtld`` is ``output_mtld``) under its."""
    from imine.indicators.score import Scores

    given = Scores(scores, {}, {}) if isinstance(scores, pl.DataFrame) else scores
    there = given.frame.columns
    others = {name: other_name(name) for name in rule.indicators if name not in there}
    names = {name: other for name, other in others.items() if other in there}
    if not names:
        return given
    parts = [(name + part, f"{other}{part}") for name, other in names.items() for part in ("", "__why")]
    frame = given.frame.with_columns(pl.col(other).alias(name) for name, other in parts if other in there)
    made = {name: given.fingerprints[other] for name, other in names.items() if other in given.fingerprints}
    return replace(given, frame=frame, fingerprints=given.fingerprints | made)


def _scores_of(
    data: pl.DataFrame, rule: Rule, scores: pl.DataFrame, further: Sequence[str]
) -> tuple[pl.DataFrame, list[str]]:
    """The rule's scores and further columns in the records' order, and notes.

    A record without scores is null with a reason. A further column is that of the scores where they have it, else
    the records' own.
    """
    if "id" not in scores.columns:
        raise SelectionError(f"the scores have no column id; they have: {', '.join(scores.columns)}")
    scores = scores.with_columns(pl.col("id").cast(pl.String), imine_scored=pl.lit(True))
    ids = data.select(pl.col("id").cast(pl.String))
    whys = [f"{name}__why" for name in rule.indicators]
    extra = [
        c for name in further for c in (name, f"{name}__why") if c not in ("id", *rule.indicators, *whys)
    ]
    wanted = [c for c in (*rule.indicators, *whys, *extra) if c in scores.columns]
    joined = ids.join(
        scores.select("id", *wanted, "imine_scored"), on="id", how="left", maintain_order="left"
    )
    if joined.height != data.height:
        raise SelectionError("the scores have more than one row for some ids; score again")
    absent = joined["imine_scored"].is_null()
    if absent.all():
        theirs = f"one of the scores is {scores['id'][0]!r}" if scores.height else "the scores have no rows"
        raise SelectionError(
            f"the scores are of other records: no id matches. One of the records is {ids['id'][0]!r}, {theirs}. "
            "Score these records, or give the scores that belong to them."
        )
    reason = pl.when(absent).then(pl.lit("the scores have no row for this id"))
    joined = joined.with_columns(
        reason.otherwise(pl.col(why) if why in wanted else pl.lit(None, dtype=pl.String)).alias(why)
        for why in whys
    )
    strangers = scores.height - (joined.height - int(absent.sum()))
    notes = [f"{strangers:,} rows of the scores are not among the records."] if strangers else []
    own = [data[name] for name in further if name not in joined.columns and name in data.columns]
    return joined.drop("imine_scored").with_columns(own), notes
