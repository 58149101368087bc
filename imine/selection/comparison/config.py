"""The comparison file: a checked TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from imine.errors import ImineError
from imine.selection.comparison.selectors import find_selector
from imine.study.checked_toml import check_model, read_toml
from imine.study.config import Study, StudyConfig
from imine.study.designs.settings import DesignConfig
from imine.study.file_config import FileConfig
from imine.study.recipe import FinetuneConfig

Unit = Literal["response_tokens", "total_tokens", "rows"]
DrawFrom = Literal["parts"] | Annotated[float, Field(gt=0, le=1)]

_OF_A_FILE = set(FileConfig.model_fields)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PoolConfig(FileConfig):
    """A pool that every selector chooses from.

    Attributes:
        draw_from: what of this pool a seed chooses from, where it is not that of the comparison.
    """

    draw_from: DrawFrom | None = None


class EvaluationConfig(FileConfig):
    """A set that every finetuned model is evaluated on.

    Attributes:
        information: shown beside the others, without a say in the verdicts' correction for the number of
            comparisons; a set that the rule was fitted on may only be this.
    """

    information: bool = False


class BudgetConfig(_Section):
    """How much every selector chooses.

    Attributes:
        unit: what is equal among the selectors: ``response_tokens`` (those that are trained on, after cutting to
            the recipe's ``max_tokens``), ``total_tokens`` (with the prompt) or ``rows``.
        sizes: rows; for tokens, as many as so many average candidates of the pool have.
        tokens: tokens themselves, instead of ``sizes``.
    """

    unit: Unit = "response_tokens"
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    tokens: tuple[Annotated[int, Field(ge=1)], ...] = ()

    @model_validator(mode="after")
    def _one_of_two(self) -> BudgetConfig:
        if bool(self.sizes) == bool(self.tokens):
            raise ValueError("give sizes or tokens, one of the two")
        if self.tokens and self.unit == "rows":
            raise ValueError("tokens are given, and the unit is rows; give sizes, or another unit")
        amounts = self.amounts
        if len(set(amounts)) < len(amounts):
            raise ValueError(f"every amount once; got {', '.join(map(str, amounts))}")
        return self

    @property
    def amounts(self) -> tuple[int, ...]:
        """The budgets as they were asked for."""
        return self.sizes or self.tokens


class ComparisonConfig(_Section):
    """A whole comparison file.

    Attributes:
        name: of the comparison.
        seed: everything random follows from it.
        out: folder of the results, relative to the file.
        rule: name or file of the rule of the selector ``rule``; a file relative to the comparison file.
        selectors: names of selectors, ``random`` among them; aliases are written out.
        seeds: finetunes of every selector at every budget.
        draw_from: what a seed chooses from: 1 the whole pool; a share, another random part of the pool for every
            seed, the same for all selectors; ``parts``, the pool is split at random into as many parts as seeds.
        level: confidence level of the intervals; the verdicts go by p-values below 1 minus it.
        repeats: bootstrap resamples.
        tie: largest difference of an example's loss that counts as a tie, in nats a token.
        allow_fitted_pool: go on, with a mark on all results, where the rule was fitted on a pool.
    """

    name: Annotated[str, Field(min_length=1)]
    seed: int = Field(default=0, ge=0)
    out: Path
    rule: str = ""
    selectors: tuple[str, ...] = ("rule", "random", "length_high")
    seeds: int = Field(default=5, ge=2, le=1000)
    draw_from: DrawFrom = 1.0
    level: float = Field(default=0.95, gt=0.5, lt=1)
    repeats: int = Field(default=20_000, ge=1000)
    tie: float = Field(default=0.005, ge=0, allow_inf_nan=False)
    allow_fitted_pool: bool = False
    pools: tuple[PoolConfig, ...] = Field(min_length=1)
    evaluation: tuple[EvaluationConfig, ...] = Field(min_length=1)
    budget: BudgetConfig
    finetune: FinetuneConfig = FinetuneConfig()
    encoder: str = "all-minilm-l6-v2"

    @field_validator("selectors")
    @classmethod
    def _known_selectors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            names = tuple(find_selector(name).name for name in value)
        except ImineError as error:
            raise ValueError(str(error)) from None
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the selector {twice[0]} stands twice")
        if "random" not in names or len(names) < 2:
            raise ValueError("random must be among them, which all others are compared with, and one other")
        return names

    @model_validator(mode="after")
    def _fits_together(self) -> ComparisonConfig:
        for key in ("pools", "evaluation"):
            names = [item.name for item in getattr(self, key)]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key}: the name {twice[0]} stands twice")
        if "rule" in self.selectors and not self.rule:
            raise ValueError("rule: missing, and the selector rule is asked for")
        if all(part.information for part in self.evaluation):
            raise ValueError("evaluation: all sets are for information; one must be there to judge by")
        return self

    def draw_of(self, pool: str) -> float | str:
        """What of a pool a seed chooses from."""
        own = next(part.draw_from for part in self.pools if part.name == pool)
        return self.draw_from if own is None else own


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison file and where it lies.

    Attributes:
        config: its content.
        path: the file; paths in it are relative to its folder.
    """

    config: ComparisonConfig
    path: Path

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return self.path.parent / self.config.out

    @property
    def rule(self) -> str:
        """Name or file of the rule, as seen from here."""
        beside = self.path.parent / self.config.rule
        is_file = beside.is_file() or (beside / "rule.json").is_file()
        return str(beside) if self.config.rule and is_file else self.config.rule

    def as_study(self) -> Study:
        """Pools, evaluation sets and recipe in the shape of a study, whose reader and guard are used.

        Its design is that of one subset, which is never drawn.
        """
        config = self.config
        pools, evaluation = (
            [part.model_dump(include=_OF_A_FILE) for part in parts]
            for parts in (config.pools, config.evaluation)
        )
        whole = {
            "name": config.name,
            "seed": config.seed,
            "out": config.out,
            "pools": pools,
            "evaluation": evaluation,
            "design": DesignConfig(subsets=1, examples=1),
            "finetune": config.finetune,
        }
        return Study(StudyConfig.model_validate(whole), self.path)

    def recipe(self) -> dict[str, Any]:
        """What a started comparison must not change, as flat keys: data, recipe, budgets' unit and draws.

        Selectors, amounts and seeds may be added; where pools are split into parts, the number of seeds decides
        what the parts are and belongs to it.
        """
        config = self.config
        kept = {k: v for k, v in self.as_study().config.recipe().items() if not k.startswith("design.")}
        kept |= {"budget.unit": config.budget.unit, "draw_from": config.draw_from}
        kept |= {f"pools.{pool.name}.draw_from": pool.draw_from for pool in config.pools if pool.draw_from}
        if any(config.draw_of(pool.name) == "parts" for pool in config.pools):
            kept["seeds"] = config.seeds
        return kept


def load_comparison(path: str | Path) -> Comparison:
    """Read and check a comparison file.

    Args:
        path: a TOML file; docs/comparison.md has its keys.

    Raises:
        StudyConfigError: it cannot be read, or a key is unknown, missing or has a value that is not allowed.
    """
    path = Path(path)
    raw = read_toml(path, "comparison file", "docs/comparison.md has one")
    return Comparison(check_comparison(raw, str(path)), path)


def check_comparison(raw: Mapping[str, Any], where: str = "comparison") -> ComparisonConfig:
    """Check the content of a comparison file.

    Args:
        raw: nested dictionaries as TOML gives them.
        where: what the message names as the place.

    Raises:
        StudyConfigError: names every wrong key and what is wrong with it.

    Examples:
        >>> files = {"pools": [{"name": "p", "path": "p"}], "evaluation": [{"name": "e", "path": "e"}]}
        >>> check_comparison({"name": "a", "out": "o", "budget": {"sizes": [8]}, "seeds": 1} | files)
        Traceback (most recent call last):
        ...
        imine.errors.StudyConfigError: comparison:
          seeds: input should be greater than or equal to 2 (given: 1)
    """
    return check_model(ComparisonConfig, raw, where)
