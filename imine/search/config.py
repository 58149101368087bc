"""What a search is told: a checked TOML file, or the options of the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from imine.errors import SearchError
from imine.indicators.models import is_model_name
from imine.rules import DEFAULT_RULE
from imine.search.strategies import StrategyName
from imine.study.checked_toml import check_model, read_toml
from imine.study.config import Study, StudyConfig, load_study
from imine.study.designs.settings import DesignConfig
from imine.study.file_config import EvaluationConfig, PoolConfig
from imine.study.recipe import FinetuneConfig

Size = Annotated[int, Field(ge=1)]


class SearchSettings(BaseModel):
    """How sizes are searched and judged.

    Attributes:
        strategy: ``blendsearch``, ``optuna`` or ``grid``.
        min: smallest size.
        max: largest size; all rows that the rule has a prediction for where absent.
        steps: sizes to a doubling; what lies between is not tried.
        sizes: the sizes themselves, instead of ``min``, ``max`` and ``steps``.
        start: sizes to try first.
        trials: sizes to try.
        seeds: finetunes of every size and arm.
        token_budget: tokens that all finetunes together may be trained on.
        search_on: evaluation sets whose loss is to become small; the first where absent.
        report_on: evaluation sets that the loss is told on besides; all others where absent.
        level: confidence level.
        margin: rise of the loss, in nats a token, below which a curve counts as falling.
        repeats: draws of the noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: StrategyName = "blendsearch"
    min: Size = 512
    max: Size | None = None
    steps: int = Field(default=4, ge=1, le=64)
    sizes: tuple[Size, ...] | None = Field(default=None, min_length=1)
    start: tuple[Size, ...] = ()
    trials: int = Field(default=12, ge=1)
    seeds: int = Field(default=3, ge=1)
    token_budget: int | None = Field(default=None, ge=1)
    search_on: tuple[str, ...] | None = Field(default=None, min_length=1)
    report_on: tuple[str, ...] | None = None
    level: float = Field(default=0.95, gt=0.5, lt=1)
    margin: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    repeats: int = Field(default=2000, ge=200)


class SearchConfig(BaseModel):
    """A whole search.

    Attributes:
        name: of the search.
        seed: everything random follows from it.
        out: folder of the results.
        rule: by name, or its file relative to the search file.
        scores: side-car with scores of the pools' rows; they are scored where it is absent.
        allow_mismatch: go on where fingerprints of scores and rule differ.
        study: a study file whose training recipe is taken, and its evaluation sets where none are named.
        pools: at least one.
        evaluation: at least one, of the search or of the study.
        finetune: the training recipe, where no study is named.
        search: how sizes are searched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)] = "search"
    seed: int = Field(default=0, ge=0)
    out: Path
    rule: str = DEFAULT_RULE
    scores: Path | None = None
    allow_mismatch: bool = False
    study: Path | None = None
    pools: tuple[PoolConfig, ...] = Field(min_length=1)
    evaluation: tuple[EvaluationConfig, ...] = ()
    finetune: FinetuneConfig | None = None
    search: SearchSettings = SearchSettings()

    @model_validator(mode="after")
    def _one_recipe(self) -> SearchConfig:
        if self.study is not None and self.finetune is not None:
            raise ValueError("name the recipe once: study, or the section finetune")
        if self.study is None and not self.evaluation:
            raise ValueError(
                "evaluation: missing; name at least one evaluation set, or a study that has some"
            )
        return self


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A checked search.

    Attributes:
        config: as it was given.
        study: its files and recipe in the shape of a study, whose design is not used.
        search_on: evaluation sets whose loss is to become small.
        report_on: the sets that are reported on besides.
    """

    config: SearchConfig
    study: Study
    search_on: tuple[str, ...]
    report_on: tuple[str, ...]

    @property
    def settings(self) -> SearchSettings:
        """How sizes are searched."""
        return self.config.search

    @property
    def rule(self) -> str:
        """The rule, its path as seen from here."""
        beside = self.study.resolve(Path(self.config.rule))
        return str(beside) if beside.exists() else self.config.rule


def load_search(path: str | Path, **given: Any) -> SearchPlan:
    """Read and check a search file.

    Args:
        path: a TOML file; docs/search.md has its keys.
        given: keys that take the place of those of the file: ``out``, ``allow_mismatch``, or those of its section
            ``search``.

    Raises:
        StudyConfigError: it cannot be read, or a key is unknown, missing or has a value that is not allowed.
        SearchError: ``search_on`` or ``report_on`` name other sets than there are.
    """
    path = Path(path)
    raw = read_toml(path, "search file", "docs/search.md shows one")
    if out := given.pop("out", None):
        raw["out"] = Path(out).resolve()
    if "allow_mismatch" in given:
        raw["allow_mismatch"] = given.pop("allow_mismatch")
    if isinstance(raw.get("search", {}), dict):
        raw["search"] = raw.get("search", {}) | given
    return make_plan(raw, path)


def make_plan(raw: dict[str, Any], where: Path) -> SearchPlan:
    """Check a search given as nested dictionaries.

    Args:
        raw: keys as in a search file.
        where: the file they come from; paths are relative to its folder.

    Raises:
        StudyConfigError: a key is unknown, missing or has a value that is not allowed.
        SearchError: ``search_on`` or ``report_on`` name other sets than there are.

    Examples:
        >>> sets = [{"name": name, "path": f"{name}.jsonl"} for name in ("a", "b")]
        >>> plan = make_plan({"out": "o", "pools": [{"name": "p", "path": "p"}], "evaluation": sets}, Path("s.toml"))
        >>> plan.search_on, plan.report_on
        (('a',), ('b',))
    """
    config = check_model(SearchConfig, raw, str(where))
    recipe, evaluation = config.finetune or FinetuneConfig(), config.evaluation
    if config.study is not None:
        source = load_study(where.parent / config.study)
        recipe = _recipe_of(source)
        evaluation = evaluation or tuple(_moved(item, source) for item in source.config.evaluation)
    shape = {
        "name": config.name,
        "seed": config.seed,
        "out": config.out,
        "pools": config.pools,
        "evaluation": evaluation,
        "design": DesignConfig(subsets=1, examples=1),
        "finetune": recipe,
    }
    study = check_model(StudyConfig, shape, str(where))
    names = [item.name for item in evaluation]
    search_on = _sets("search_on", config.search.search_on or tuple(names[:1]), names)
    others = tuple(name for name in names if name not in search_on)
    report_on = others if config.search.report_on is None else config.search.report_on
    return SearchPlan(config, Study(study, where), search_on, _sets("report_on", report_on, names, search_on))


def _recipe_of(source: Study) -> FinetuneConfig:
    recipe = source.config.finetune
    if is_model_name(recipe.model):
        return recipe
    return recipe.model_copy(update={"model": str(source.resolve(Path(recipe.model)).resolve())})


def _moved(item: EvaluationConfig, source: Study) -> EvaluationConfig:
    return item.model_copy(update={"path": source.resolve(item.path).resolve()})


def _sets(
    key: str, wanted: tuple[str, ...], names: list[str], searched: tuple[str, ...] = ()
) -> tuple[str, ...]:
    if unknown := [name for name in wanted if name not in names]:
        raise SearchError(f"{key}: no evaluation set {', '.join(unknown)}; there are: {', '.join(names)}")
    if both := [name for name in wanted if name in searched]:
        raise SearchError(
            f"{key}: {', '.join(both)} is searched on; the loss there is no report on a set that was not seen"
        )
    return tuple(name for name in names if name in wanted)
