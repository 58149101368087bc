"""The procedure of the InstructMining paper, as read in ``docs/choosing.md``."""

from __future__ import annotations

from imine.regression.choosing.best_subset import subset_table
from imine.regression.choosing.models import Model, Models
from imine.regression.choosing.settings import scope
from imine.regression.choosing.stepwise import EXACT, first_model
from imine.regression.choosing.subsets import SubsetTable
from imine.regression.choosing.trace import Action, Candidate, Step, Trace, partial_p


def highest_r2_then_significant(models: Models) -> tuple[tuple[int, ...], Trace]:
    """Take the model with the highest R2, keep its significant terms, and fit those once more.

    No term can lower R2, so the model with the highest R2 is that of all candidates, or of the best
    ``max_terms`` of them.

    Returns:
        The chosen columns, and the p-values before and after the cut.
    """
    columns, taken_out = first_model(models)
    columns, table = _highest_r2(models, columns)
    whole = models.fit(columns)
    forced, _ = scope(models.problem.names, models.settings)
    level = models.settings.p_enter
    if whole.rss <= 0.0:
        return columns, Trace("p", (*taken_out, _listing(models, whole, "stay", EXACT)), EXACT, table)
    kept = tuple(c for c, p in _p_values(models, whole).items() if c in forced or p < level)
    cut = f"{len(kept)} of {len(columns)} terms have p below {level:g} or are forced in"
    why = "the terms that are kept are fitted once more and not cut again"
    last = (_listing(models, whole, "keep", cut), _listing(models, models.fit(kept), "stay", why))
    return kept, Trace("p", (*taken_out, *last), why, table)


def _highest_r2(models: Models, columns: tuple[int, ...]) -> tuple[tuple[int, ...], SubsetTable | None]:
    most = models.settings.max_terms
    if most is None or len(columns) <= most:
        return columns, None
    table = subset_table(models, "p")
    best = table.terms(table.best())
    return tuple(sorted(models.problem.names.index(name) for name in best)), table


def _p_values(models: Models, model: Model) -> dict[int, float]:
    df = models.runs - len(model.columns) - 1
    without = {c: models.fit([other for other in model.columns if other != c]).rss for c in model.columns}
    return {c: partial_p(rss, model.rss, df) for c, rss in without.items()}


def _listing(models: Models, model: Model, action: Action, why: str) -> Step:
    names = models.problem.names
    rows = tuple(Candidate("keep", names[c], p, model.rss, p) for c, p in _p_values(models, model).items())
    return Step(tuple(names[c] for c in model.columns), rows, action, "", why)
