"""The scores that selectors need: the rule's in the rule's way, the others' with the comparison's own model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.errors import FingerprintMismatchError
from imine.progress import Progress
from imine.rules import Rule, compare_fingerprints, describe_differences
from imine.selection.comparison.config import Comparison
from imine.selection.comparison.selectors import Selector, find_selector

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.indicators.settings import ScoreSettings

Scorer = Callable[[pl.DataFrame, Sequence[str], Any], "Scores"]
"""From records, names of columns and settings to scores."""


@dataclass(frozen=True, slots=True)
class PoolScores:
    """Scores of a pool's candidates.

    Attributes:
        by_selector: ``id`` and ``score`` by selector; ``random`` has none.
        notes: for the reader.
        terms: ``id`` and the rule's indicators; ``None`` without a rule.
    """

    by_selector: dict[str, pl.DataFrame]
    notes: tuple[str, ...]
    terms: pl.DataFrame | None = None


def own_settings(comparison: Comparison) -> ScoreSettings:
    """How the baselines are scored: model, template and cutting of the recipe, neighbours within the pool itself."""
    from imine.indicators.settings import ScoreSettings

    study, recipe = comparison.as_study(), comparison.config.finetune
    return ScoreSettings(
        model=study.resolve_model(recipe.model),
        template=recipe.template,
        max_tokens=recipe.max_tokens,
        encoder=study.resolve_model(comparison.config.encoder),
    )


def check_scoring(comparison: Comparison, rule: Rule | None) -> None:
    """Fail before any work where a model that is needed for the scores is not there.

    Raises:
        ModelNotFoundError: names the models and how to get them.
        IndicatorUnavailableError: the rule needs an indicator that imine does not compute.
    """
    from imine.indicators.score import check_models, settings_for_rule
    from imine.selection import check_available

    if names := own_columns(comparison):
        check_models(names, own_settings(comparison))
    if rule is not None:
        check_available(rule)
        check_models(rule.indicators, settings_for_rule(rule))


def own_columns(comparison: Comparison) -> list[str]:
    """Score columns of the selectors other than ``rule``, each once."""
    found = [find_selector(name).column for name in comparison.config.selectors]
    return list(dict.fromkeys(column for column in found if column))


def score_pool(
    comparison: Comparison,
    rule: Rule | None,
    records: pl.DataFrame,
    scorer: Scorer | None,
    progress: Progress,
) -> PoolScores:
    """Score a pool's candidates for every selector of a comparison.

    Args:
        comparison: for selectors and settings.
        rule: the rule; ``None`` where it is not among the selectors.
        records: candidates of one pool.
        scorer: by default imine's own.
        progress: told of the scoring.

    Raises:
        FingerprintMismatchError: the rule's indicators cannot be made in the rule's way.
    """
    from imine.indicators.score import score, settings_for_rule

    def run(names: Sequence[str], settings: ScoreSettings) -> Scores:
        if scorer is not None:
            return scorer(records, names, settings)
        return score(records, list(names), settings=settings, progress=progress)

    selectors = [find_selector(name) for name in comparison.config.selectors]
    scored: dict[str, pl.DataFrame] = {}
    notes: list[str] = []
    terms = None
    if columns := own_columns(comparison):
        own = run(columns, own_settings(comparison)).frame
        scored |= {s.name: own.select("id", score=s.column) for s in selectors if s.column}
    if rule is not None:
        from imine.rules.predict import predict_rows

        made = run(rule.indicators, settings_for_rule(rule))
        predicted = predict_rows(rule, made.frame, level=None)
        scored["rule"] = predicted.select("id", score="predicted_log_loss")
        terms = made.frame.select("id", *rule.indicators)
        if differences := compare_fingerprints(rule.fingerprints, made.fingerprints):
            raise FingerprintMismatchError(
                f"the scores were not made as rule {rule.name!r} expects:\n{describe_differences(differences)}\n"
                "Put the models there that the rule was fitted with, or fit it anew (imine fit)"
            )
    notes += [_missing(s, scored[s.name], records) for s in selectors if s.name in scored]
    return PoolScores(scored, tuple(note for note in notes if note), terms)


def _missing(selector: Selector, scores: pl.DataFrame, records: pl.DataFrame) -> str:
    score = pl.col("score").cast(pl.Float64)
    usable = int(scores.select(score.is_finite().fill_null(False).sum()).item())
    over = 0 if selector.below is None else int(scores.select((score >= selector.below).sum()).item())
    lacking, pool = records.height - usable, records["pool"][0]
    said = [f"{lacking:,} have no score"] if lacking else []
    said += [f"{over:,} have a score of {selector.below:g} or more"] if over else []
    if not said:
        return ""
    return f"Pool {pool}, selector {selector.name}: of {records.height:,} candidates {', '.join(said)}; never chosen."
