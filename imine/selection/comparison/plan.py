"""What a comparison will take, before anything is scored or trained."""

from __future__ import annotations

from dataclasses import dataclass

from imine.progress import Progress, SilentProgress
from imine.rules import load_rule
from imine.selection.comparison.budget import Budget, row_costs
from imine.selection.comparison.config import Comparison
from imine.selection.comparison.draws import draw_pool
from imine.selection.comparison.guard import check_unseen
from imine.selection.comparison.run import check_evaluation, encode
from imine.study.pools import load_data


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """Amounts of work.

    Attributes:
        runs: finetunes.
        train_tokens: of all finetunes and epochs, prompts included, if what is chosen were like the average of its
            pool; selectors of long responses take fewer prompts to the same response tokens.
        evaluate_tokens: of all evaluations, that of the base model included.
        candidates: rows to be scored, by pool.
        budgets: of every pool.
    """

    runs: int
    train_tokens: int
    evaluate_tokens: int
    candidates: dict[str, int]
    budgets: tuple[Budget, ...]

    def seconds(self, train_rate: float, evaluate_rate: float, workers: int = 1) -> float:
        """Time of training and evaluation, without scoring.

        Args:
            train_rate, evaluate_rate: tokens a second of one worker.
            workers: that work at the same time.

        Examples:
            >>> ComparisonPlan(3, 9000, 3300, {}, ()).seconds(90, 330, workers=2)
            55.0
        """
        return (self.train_tokens / train_rate + self.evaluate_tokens / evaluate_rate) / workers


def plan_comparison(comparison: Comparison, progress: Progress | None = None) -> ComparisonPlan:
    """Read and tokenise the data, check that the rule has not seen it, and count.

    Args:
        comparison: the comparison.
        progress: told how the files were understood.

    Raises:
        SelectionError: the rule was fitted on a pool or on a set to judge by, a pool does not fill a budget, or an
            evaluation set is a single row.
        StudyConfigError: a pool or a set is not there.
        ModelNotFoundError: the base model's tokenizer is not at hand.
    """
    from imine.indicators.models import load_tokenizer

    config, study = comparison.config, comparison.as_study()
    data = load_data(study, progress=progress or SilentProgress())
    check_evaluation(data)
    if "rule" in config.selectors:
        information = [part.name for part in config.evaluation if part.information]
        check_unseen(load_rule(comparison.rule), data.content, information, config.allow_fitted_pool)
    tokenizer = load_tokenizer(study.resolve_model(config.finetune.model))
    runs_each = len(config.selectors) * config.seeds
    budgets, train = [], 0.0
    for pool, records in data.pools.items():
        examples = encode(tokenizer, records, config.finetune)
        costs = row_costs(examples, config.budget.unit)
        tokens = sum(row_costs(examples, "total_tokens").values()) / sum(costs.values())
        budgets += draw_pool(config, pool, records["id"].to_list(), costs)[1]
        train += sum(b.total for b in budgets if b.pool == pool) * tokens * runs_each * config.finetune.epochs
    runs = runs_each * len(budgets)
    sets = [encode(tokenizer, rows, config.finetune) for rows in data.evaluation.values()]
    once = sum(sum(row_costs(rows, "total_tokens").values()) for rows in sets)
    candidates = {name: records.height for name, records in data.pools.items()}
    return ComparisonPlan(runs, round(train), once * (runs + 1), candidates, tuple(budgets))
