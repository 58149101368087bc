"""Cross-validation of a whole procedure, choice included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.after_choosing import Procedure
from imine.regression.after_choosing.splitting import checked, choose
from imine.regression.ols import fit_ols
from imine.regression.repeats import run_repeats
from imine.regression.results import Array
from imine.regression.validation.schemes import Held, KFold, Scheme
from imine.regression.validation.scores import Predicted, Score, score


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One fit and the runs that it did not see.

    Attributes:
        label: of the fold: its number, the run, or the group left out.
        repeat: from 0.
        n_fitted: runs that the procedure saw.
        rows: rows left out.
        chosen: names of the terms chosen without them.
        predicted: predictions for them.
        score: of this fold alone.
    """

    label: str
    repeat: int
    n_fitted: int
    rows: npt.NDArray[np.int64]
    chosen: tuple[str, ...]
    predicted: Predicted
    score: Score


@dataclass(frozen=True, slots=True)
class Spread:
    """A quantity over repeats.

    Attributes:
        mean: over the repeats in which it is defined; ``None`` when in none.
        sd: standard deviation; ``None`` for fewer than two.
        repeats: in how many it is defined.
    """

    mean: float | None
    sd: float | None
    repeats: int


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidation:
    """A procedure judged on runs that it did not see.

    Attributes:
        names: candidates.
        folds: every fold of every repeat.
        repeats: one score a repeat, over all of its left-out runs together. Predictions of different folds come
            from different fits: with small folds a rank correlation of them is too low, below zero even where
            there is no relation, because leaving out a high run lowers its prediction.
        chosen_share: how often each candidate was chosen, over all folds, shape (candidates,).
    """

    names: tuple[str, ...]
    folds: tuple[Fold, ...]
    repeats: tuple[Score, ...]
    chosen_share: Array

    def spread(self, quantity: Callable[[Score], float | None]) -> Spread:
        """Mean and standard deviation of a quantity over the repeats.

        Args:
            quantity: what to take of a score, such as ``lambda s: s.level.r2``.
        """
        return _spread([quantity(found) for found in self.repeats])

    def over_folds(self, quantity: Callable[[Score], float | None]) -> Spread:
        """Mean and standard deviation of a quantity over the single folds.

        Args:
            quantity: what to take of a score.
        """
        return _spread([quantity(fold.score) for fold in self.folds])

    def summary(self) -> str:
        """Plain text: rank agreement and level error apart, over the repeats."""
        rows: list[tuple[str, str, Callable[[Score], float | None]]] = [
            ("rank", "Spearman", lambda s: s.rank.spearman),
            ("rank", "Kendall", lambda s: s.rank.kendall),
            ("level", "R2 about the mean of the fitted runs", lambda s: s.level.r2),
            ("level", "RMSE", lambda s: s.level.rmse),
            ("level", "bias", lambda s: s.level.bias),
            ("level", "calibration slope", lambda s: s.level.slope),
            ("level", "calibration intercept", lambda s: s.level.intercept),
            ("interval", f"coverage at {self.repeats[0].intervals.level:g}", lambda s: s.intervals.coverage),
            ("interval", "mean width", lambda s: s.intervals.mean_width),
        ]
        lines = [f"{len(self.folds)} fits, {len(self.repeats)} repeats"]
        for kind, title, quantity in rows:
            found = self.spread(quantity)
            value = "undefined" if found.mean is None else f"{found.mean:.4g}"
            within = "" if found.sd is None else f" (sd {found.sd:.2g})"
            lines.append(f"{kind:<9}{title:<38}{value}{within}")
        shares = sorted(zip(self.chosen_share, self.names, strict=True), key=lambda pair: -pair[0])
        lines.append("chosen   " + ", ".join(f"{name} {share:.0%}" for share, name in shares if share > 0))
        return "\n".join(lines)


def cross_validate(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    names: Sequence[str],
    procedure: Procedure | None = None,
    *,
    scheme: Scheme | None = None,
    level: float = 0.95,
    workers: int = 1,
) -> CrossValidation:
    """Leave runs out, choose and fit without them, predict them.

    Args:
        X: candidates, shape (runs, candidates).
        y: log loss, shape (runs,).
        names: one a column.
        procedure: ``procedure(X, y) -> column indices``, called anew on the fitted runs of every fold; ``None``
            keeps all candidates.
        scheme: ``KFold``, ``LeaveOneOut``, ``LeaveOneGroupOut`` or the like; ten folds by default.
        level: of the prediction intervals. They take the chosen terms as given, as ``OlsResults.predict`` does:
            their coverage here shows what that costs.
        workers: number of processes; the results do not depend on it.

    Raises:
        RegressionError: a fold leaves too few or too uniform runs to fit on; the message names the fold.
        ValueError: arguments that are not allowed.

    Examples:
        >>> from imine.regression.after_choosing import ForwardStepwise
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 4))
        >>> y = X[:, 2] + 0.5 * rng.normal(size=60)
        >>> found = cross_validate(X, y, list("abcd"), ForwardStepwise(steps=1), scheme=KFold(5))
        >>> round(found.repeats[0].level.r2, 2), found.chosen_share.tolist()
        (0.81, [0.0, 0.0, 1.0, 0.0])
    """
    X, y = checked(X, y, names)
    held = (scheme or KFold()).folds(len(y))
    refuse_empty(held, len(y))
    folds = run_repeats(partial(_fold, X, y, tuple(names), procedure, level), held, workers)
    repeats = [
        score(_together([fold.predicted for fold in folds if fold.repeat == repeat]))
        for repeat in sorted({fold.repeat for fold in folds})
    ]
    share = [sum(name in fold.chosen for fold in folds) / len(folds) for name in names]
    return CrossValidation(tuple(names), tuple(folds), tuple(repeats), np.array(share))


def refuse_empty(held: Sequence[Held], n_runs: int) -> None:
    """Raise ``RegressionError`` for a fold that leaves out nothing or everything."""
    wrong = [fold.label for fold in held if not 0 < len(fold.rows) < n_runs]
    if wrong or not held:
        raise RegressionError(
            f"each fold must leave out some runs and keep some; not so: {', '.join(wrong) or 'there is no fold'}"
        )


def _fold(
    X: Array, y: Array, names: tuple[str, ...], procedure: Procedure | None, level: float, held: Held
) -> Fold:
    fitted = np.setdiff1d(np.arange(len(y)), held.rows)
    try:
        chosen = list(range(len(names))) if procedure is None else choose(procedure, X[fitted], y[fitted])
        labels = [names[column] for column in chosen]
        results = fit_ols(X[fitted][:, chosen], y[fitted], labels)
    except RegressionError as error:
        raise RegressionError(f"leaving out {held.label}: {error}") from None
    found = results.predict(X[held.rows][:, chosen], interval="observation", level=level)
    baseline = np.full(len(held.rows), math.fsum(y[fitted]) / len(fitted))
    predicted = Predicted(y[held.rows], found.mean, found.low, found.high, baseline, level)
    return Fold(held.label, held.repeat, len(fitted), held.rows, tuple(labels), predicted, score(predicted))


def _together(parts: Sequence[Predicted]) -> Predicted:
    fields = ("truth", "mean", "low", "high", "baseline")
    joined = {field: np.concatenate([getattr(part, field) for part in parts]) for field in fields}
    return Predicted(**joined, level=parts[0].level)


def _spread(values: Sequence[float | None]) -> Spread:
    defined = np.array([value for value in values if value is not None])
    return Spread(
        float(defined.mean()) if len(defined) else None,
        float(defined.std(ddof=1)) if len(defined) > 1 else None,
        len(defined),
    )
