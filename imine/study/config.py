"""The study file: a checked TOML."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from imine.columns import COLUMNS, NOT_IN_RUNS, find_column, require_column
from imine.indicators.models import is_model_name
from imine.study.checked_toml import check_model, read_toml
from imine.study.deepspeed_json import content_sha256
from imine.study.designs.settings import DesignConfig
from imine.study.file_config import EvaluationConfig, PoolConfig
from imine.study.recipe import FinetuneConfig
from imine.study.section import Section

_NOT_IN_RECIPE = (
    ("finetune", "model"),
    ("finetune", "micro_tokens"),
    ("finetune", "zero_stage"),
    ("finetune", "offload"),
    ("finetune", "threads"),
    ("finetune", "workers"),
    ("finetune", "time_limit"),
)


class IndicatorsConfig(Section):
    """Which indicators are computed for the drawn rows.

    Attributes:
        names: columns of the scores, each once; perplexity and lengths are those of the model that is finetuned.
        encoder: sentence encoder of the nearest-neighbour indicators, an embedded model or a folder, relative
            to the study file.
    """

    names: tuple[str, ...] = Field(
        default=("input_length", "output_length", "mtld", "log_perplexity", "knn_6"), min_length=1
    )
    encoder: str = "all-minilm-l6-v2"

    @field_validator("names")
    @classmethod
    def _known_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in value if not find_column(name)]:
            raise ValueError(f"no indicator {', '.join(unknown)}; allowed: {', '.join(COLUMNS)}")
        if other := [name for name in value if name in NOT_IN_RUNS]:
            raise ValueError(f"{other[0]} is {NOT_IN_RUNS[other[0]]}")
        if twice := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"the indicator {twice[0]} stands twice")
        return value


class PilotConfig(Section):
    """What ``imine study pilot`` compares: every combination of the values, on subsets of one pool each.

    Attributes:
        learning_rates, epochs, batch_sizes: values of the recipe to try; that of ``finetune`` where none is named.
        pools: names of the pools to draw from; all where none is named.
        draws: subsets of each pool, each with rows and a seed of its own.
        examples: examples of a subset; those of the design where absent.
    """

    learning_rates: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    epochs: tuple[Annotated[int, Field(ge=1)], ...] = ()
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    pools: tuple[str, ...] = ()
    draws: int = Field(default=2, ge=2)
    examples: int | None = Field(default=None, ge=1)


class StudyConfig(Section):
    """A whole study file.

    Attributes:
        name: of the study.
        seed: everything random follows from it.
        out: folder of the results, relative to the study file.
        pools: at least one.
        evaluation: at least one.
    """

    name: Annotated[str, Field(min_length=1)]
    seed: int = Field(default=0, ge=0)
    out: Path
    pools: tuple[PoolConfig, ...] = Field(min_length=1)
    evaluation: tuple[EvaluationConfig, ...] = Field(min_length=1)
    design: DesignConfig
    finetune: FinetuneConfig = FinetuneConfig()
    indicators: IndicatorsConfig = IndicatorsConfig()
    pilot: PilotConfig = PilotConfig()

    @model_validator(mode="after")
    def _unique_names(self) -> StudyConfig:
        for key in ("pools", "evaluation"):
            names = [item.name for item in getattr(self, key)]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key}: the name {twice[0]} stands twice")
        self.design.check_names(tuple(pool.name for pool in self.pools), self.indicators.names)
        return self

    @model_validator(mode="after")
    def _known_pools(self) -> StudyConfig:
        names = [pool.name for pool in self.pools]
        if unknown := [name for name in self.pilot.pools if name not in names]:
            raise ValueError(f"pilot.pools: no pool {unknown[0]}; allowed: {', '.join(names)}")
        return self

    @property
    def design_indicators(self) -> tuple[str, ...]:
        """Indicators that a univariate or optimal design is about."""
        return self.design.indicators or self.indicators.names

    def recipe(self) -> dict[str, Any]:
        """What the finetunes depend on, as flat keys; what a started study must not change.

        Left out are where files and models lie (their content is compared), how many subsets there are, what
        is a matter of memory and speed alone, the indicators, which are computed apart from the finetunes, and the
        pilot, which is apart from the study.
        """
        whole = self.model_dump(mode="json")
        for section, key in _NOT_IN_RECIPE:
            del whole[section][key]
        del whole["out"], whole["indicators"], whole["pilot"]
        finetune = whole["finetune"]
        own, lora = finetune.pop("deepspeed"), finetune.pop("lora")
        # Without them, the recipe of a study that was started before there were these keys.
        finetune |= {"deepspeed (content)": content_sha256(own)} if own is not None else {}
        finetune |= {"lora": lora} if lora is not None else {}
        whole["design"] = self.design.recipe() | self._steering()
        for item in (*whole["pools"], *whole["evaluation"]):
            del item["path"]
        # Pools are drawn from in the order of the file.
        order = [pool.name for pool in self.pools]
        for key in ("pools", "evaluation"):
            whole[key] = {item.pop("name"): item for item in whole[key]}
        return dict(_flat(whole)) | {"pools (order)": order}

    def _steering(self) -> dict[str, Any]:
        """What the indicators depend on, where the rows depend on them."""
        if not self.design.needs_scores:
            return {}
        # A univariate design balances the other indicators.
        all_names, kind = self.indicators.names, self.design.kind
        names = all_names if kind == "univariate" else self.design_indicators
        steering: dict[str, Any] = {"indicators": list(self.design_indicators)}
        if kind == "univariate":
            steering["balanced"] = list(all_names)
        if any(require_column(name).group == "neighbors" for name in names):
            steering["reference_rows"] = self.design.reference_rows
            steering["encoder"] = self.indicators.encoder
        return steering


@dataclass(frozen=True, slots=True)
class Study:
    """A study file and where it lies.

    Attributes:
        config: its content.
        path: the file; paths in it are relative to its folder.
    """

    config: StudyConfig
    path: Path

    def resolve(self, path: Path) -> Path:
        """A path of the study file as seen from here."""
        return self.path.parent / path

    def resolve_model(self, name: str) -> str:
        """A model of the study file as seen from here: a name stays, a folder is resolved.

        Examples:
            >>> config = {"name": "a", "out": "o", "design": {"subsets": 2, "examples": 3}}
            >>> files = {"pools": [{"name": "p", "path": "p"}], "evaluation": [{"name": "e", "path": "e"}]}
            >>> study = Study(check_config(config | files), Path("studies/a.toml"))
            >>> study.resolve_model("smollm2-135m"), study.resolve_model("models/own")
            ('smollm2-135m', 'studies/models/own')
        """
        return name if is_model_name(name) else str(self.resolve(Path(name)))

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return self.resolve(self.config.out)


def load_study(path: str | Path) -> Study:
    """Read and check a study file.

    Args:
        path: a TOML file; docs/study.md has its keys, ``imine study new`` writes an example.

    Raises:
        StudyConfigError: it cannot be read, or a key is unknown, missing or has a value that is not allowed.
    """
    path = Path(path)
    raw = read_toml(path, "study file", "imine study new writes one")
    return Study(check_config(raw, str(path)), path)


def check_config(raw: dict[str, Any], where: str = "study") -> StudyConfig:
    """Check the content of a study file.

    Args:
        raw: nested dictionaries as TOML gives them.
        where: what the message names as the place.

    Raises:
        StudyConfigError: names every wrong key and what is allowed.

    Examples:
        >>> check_config({"name": "a", "out": "o", "design": {"subsets": 2, "example": 3}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        imine.errors.StudyConfigError: study:
          pools: missing
          evaluation: missing
          design.example: unknown key; allowed: kind, subsets, examples, response_tokens, alpha, weights, ...
    """
    return check_model(StudyConfig, raw, where)


def check_finetune(keys: dict[str, Any], where: str = "recipe") -> FinetuneConfig:
    """Check a training recipe apart from a study.

    Args:
        keys: those of ``[finetune]``.
        where: what the message names as the place.

    Raises:
        StudyConfigError: names every wrong key and what is allowed.

    Examples:
        >>> check_finetune({"epochs": 0})
        Traceback (most recent call last):
        ...
        imine.errors.StudyConfigError: recipe:
          finetune.epochs: input should be greater than or equal to 1 (given: 0)
    """
    return check_model(FinetuneConfig, keys, where, root=StudyConfig, under=("finetune",))


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix.rstrip("."), value)]
    return [pair for key, inner in value.items() for pair in _flat(inner, f"{prefix}{key}.")]


def recipe_sha256(recipe: dict[str, Any]) -> str:
    """Hash of a recipe, 16 hexadecimal digits.

    Examples:
        >>> recipe_sha256({"a": 1, "b": 2}) == recipe_sha256({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
