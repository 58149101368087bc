"""Coefficients of refits of a rule: from its runs drawn anew, or from its covariance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import SelectionError
from imine.rules import Rule
from imine.selection.ranking import Array


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """Coefficients of many refits.

    Attributes:
        kind: where they come from.
        coefficients: the intercept first, shape (refits, terms + 1).
        failed: refits that were left out.
        notes: what a reader should know.
    """

    kind: Literal["runs", "parametric"]
    coefficients: Array
    failed: int
    notes: tuple[str, ...]


def parametric_refits(rule: Rule, refits: int, seed: int) -> Refits:
    """Coefficients drawn from the normal distribution about the rule's own with its covariance.

    That is what refits on new losses at the same subsets would give if the rule's model were true.

    Raises:
        SelectionError: the rule has no covariance.

    Examples:
        >>> from imine.rules import Estimate, Term
        >>> rule = Rule(name="r", intercept=Estimate(coefficient=0.5), terms=(Term(name="mtld", coefficient=-0.1),),
        ...             covariance=((0.04, 0.0), (0.0, 0.01)), df_resid=20, sigma=0.1)
        >>> parametric_refits(rule, 4000, 0).coefficients.std(axis=0).round(2).tolist()
        [0.2, 0.1]
    """
    if rule.covariance is None:
        raise SelectionError(
            f"rule {rule.name!r} has no covariance: its stability can only be told from the runs it was fitted on"
        )
    b = np.array([rule.intercept.coefficient, *(term.coefficient for term in rule.terms)])
    draws = np.random.default_rng(seed).standard_normal((refits, len(b)))
    return Refits("parametric", b + _shaped(rule, draws), 0, _notes(rule))


def _shaped(rule: Rule, draws: Array) -> Array:
    """Normal draws with the rule's covariance, shape as ``draws``."""
    from imine.rules.predict import covariance_centre

    V = np.array(rule.covariance, dtype=np.float64)
    centre, level_variance = covariance_centre(rule, V)
    if centre.any():
        # The level at the runs' means and the slopes are independent; about zero the roots would lose digits.
        slopes = draws[:, 1:] @ _root(V[1:, 1:]).T
        level = np.sqrt(level_variance) * draws[:, 0]
        return np.column_stack([level - slopes @ centre, slopes])
    return np.asarray(draws @ _root(V).T)


def _root(V: Array) -> Array:
    """A square root of a covariance that may be singular, by its correlations: units do not matter."""
    sd = np.sqrt(np.diag(V))
    safe = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(V / np.outer(safe, safe))
    return np.asarray(sd[:, None] * vectors * np.sqrt(np.maximum(values, 0.0)))


def run_refits(rule: Rule, runs: pl.DataFrame | str | Path, refits: int, seed: int) -> Refits:
    """The rule's terms fitted to its runs drawn anew with replacement, with its weights.

    Runs of the same indicators repeat a subset, whose own error they share: they are drawn together. The terms stay:
    how steady their choice is, is what ``rule.stability`` tells.

    Raises:
        SelectionError: hardly any draw determines the coefficients.
        RegressionError: runs that cannot be read, or lack a column.

    Examples:
        >>> from imine.rules import Estimate, Term
        >>> rule = Rule(name="r", intercept=Estimate(coefficient=1.0), terms=(Term(name="mtld", coefficient=-0.1),))
        >>> frame = pl.DataFrame({"mtld": [1.0, 2.0, 3.0, 4.0], "loss": np.exp([0.9, 0.8, 0.7, 0.6])})
        >>> run_refits(rule, frame, 100, 0).coefficients.mean(axis=0).round(6).tolist()
        [1.0, -0.1]
    """
    from imine.regression.bootstrap.draws import block_sizes, draw_block
    from imine.regression.run_data import load_runs, prepare, runs_sha256

    frame, _ = load_runs(runs)
    data = prepare(frame, rule.indicators, rule.target, weights=rule.weights, drop_incomplete=True)
    sizes = block_sizes(refits)
    members = _repeats(data.X)
    draws = np.concatenate([draw_block(seed, i, len(members))[:size] for i, size in enumerate(sizes)])
    weights = np.ones(len(data.y)) if data.weights is None else data.weights
    rows = (np.concatenate([members[group] for group in draw]) for draw in draws)
    fitted = [_fit(data.X[drawn], data.y[drawn], weights[drawn]) for drawn in rows]
    good = [b for b in fitted if b is not None]
    if len(good) < max(2, refits // 2):
        raise SelectionError(
            f"{refits - len(good):,} of {refits:,} draws of the {len(data.y)} runs do not determine the coefficients: "
            "there are too few runs for this rule"
        )
    failed, notes = refits - len(good), [*data.notes, *_notes(rule)]
    if len(members) < len(data.y):
        notes.append(
            f"The {len(data.y)} runs are of {len(members)} subsets: runs that repeat a subset are drawn together."
        )
    if failed:
        notes.append(f"{failed:,} refits were left out: the drawn runs do not determine the coefficients.")
    known = rule.provenance.runs_sha256
    if known is not None and runs_sha256(frame) != known:
        notes.append("The runs are not those that the rule was fitted on (their hash differs).")
    return Refits("runs", np.array(good), failed, tuple(notes))


def _repeats(X: Array) -> list[npt.NDArray[np.int64]]:
    """Rows of each subset: those of the same indicators, subsets in the order of their first row."""
    _, first, group = np.unique(X, axis=0, return_index=True, return_inverse=True)
    return [np.flatnonzero(group.reshape(-1) == each) for each in np.argsort(first)]


def _fit(X: Array, y: Array, weights: Array) -> Array | None:
    """Weighted least squares about the means, in units of the columns' spread; ``None`` where it is not determined."""
    share = weights / weights.sum()
    means, level = share @ X, share @ y
    away = (X - means) * np.sqrt(share)[:, None]
    scale = np.sqrt((away * away).sum(axis=0))
    if not (scale > 1e-12 * np.abs(means)).all() or len(np.unique(X, axis=0)) <= X.shape[1]:
        return None
    slopes, _, found, _ = np.linalg.lstsq(away / scale, (y - level) * np.sqrt(share), rcond=1e-10)
    if found < X.shape[1]:
        return None
    slopes = slopes / scale
    return np.concatenate([[level - means @ slopes], slopes])


def _notes(rule: Rule) -> tuple[str, ...]:
    if rule.choice is None or not rule.choice.saw_losses:
        return ()
    return (
        "The terms are held as they are; the losses had a say in which they are, so the choice is less steady "
        "than this.",
    )
