"""The study file: a checked TOML."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from imine.columns import COLUMNS, NOT_IN_RUNS, find_column
from imine.errors import FormatError, StudyConfigError
from imine.indicators.models import is_model_name
from imine.indicators.templates import TEMPLATES
from imine.records.conversations import Turns
from imine.records.layouts import parse_format

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
_Model = TypeVar("_Model", bound=BaseModel)


_NOT_IN_RECIPE = (
    ("design", "subsets"),
    ("design", "reference_rows"),
    ("finetune", "model"),
    ("finetune", "micro_tokens"),
    ("finetune", "zero_stage"),
    ("finetune", "threads"),
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileConfig(_Section):
    """A file and how it is read, as in :func:`imine.read`.

    Attributes:
        name: lower-case letters, digits and underscores.
        path: a file of any input format, relative to the study file.
        rows: at most this many rows, a seeded draw; all where absent.
        format: its format, where detection is wrong.
        map: columns by their names in the file.
        turns: what of a conversation becomes a record.
        on_bad_row: ``skip`` leaves rows that cannot be read out and writes them aside.
    """

    name: Name
    path: Path
    rows: int | None = Field(default=None, ge=1)
    format: str = "auto"
    map: dict[str, str] = Field(default_factory=dict)
    turns: Turns = "first"
    on_bad_row: Literal["fail", "skip"] = "fail"

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        try:
            parse_format(value)
        except FormatError as error:
            raise ValueError(str(error)) from None
        return value


class PoolConfig(FileConfig):
    """A pool that subsets are drawn from; its weights are recorded as ``w_<name>``.

    Attributes:
        alpha: this pool's Dirichlet concentration; that of the design where absent.
    """

    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class EvaluationConfig(FileConfig):
    """A set that every finetuned model is evaluated on; its loss is recorded as ``loss_<name>``."""


class DesignConfig(_Section):
    """How subsets are drawn.

    Attributes:
        kind: ``multivariate``: subsets mixed from the pools with random Dirichlet weights.
        subsets: number of subsets, one finetune each; may be raised later.
        examples: examples of a subset.
        alpha: Dirichlet concentration of every pool: small mixes are dominated by one pool, large ones even.
        reference_rows: candidates in the reference set of the nearest-neighbour indicators.
    """

    kind: Literal["multivariate"] = "multivariate"
    subsets: int = Field(ge=1)
    examples: int = Field(ge=1)
    alpha: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    reference_rows: int = Field(default=2000, ge=1)


class FinetuneConfig(_Section):
    """The training recipe, the same for every subset.

    Attributes:
        model: name of an embedded model, or a folder with a causal language model, relative to the study file.
        template: prompt template.
        max_tokens: longest example, prompt and response together.
        batch_size: examples of an optimizer step.
        micro_tokens: most tokens of a micro-batch, padding included; memory and speed, not the result.
        epochs: passes over the subset.
        learning_rate: peak learning rate of AdamW.
        warmup: share of the steps in which the rate rises linearly to its peak.
        schedule: ``cosine``, ``linear`` or ``constant`` after the warm-up.
        weight_decay: decoupled weight decay, on all parameters.
        clip: largest norm of a step's gradient.
        zero_stage: ZeRO stage of DeepSpeed.
        dtype: ``float32``, or ``bfloat16`` for matrix products in bfloat16 with float32 weights.
        threads: CPU threads; torch's own choice where absent.
    """

    model: str = "smollm2-135m"
    template: str = "alpaca"
    max_tokens: int = Field(default=256, ge=16)
    batch_size: int = Field(default=8, ge=1)
    micro_tokens: int = Field(default=1024, ge=1)
    epochs: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0, allow_inf_nan=False)
    warmup: float = Field(default=0.1, ge=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    clip: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    zero_stage: Literal[0, 1, 2, 3] = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = Field(default=None, ge=1)

    @field_validator("template")
    @classmethod
    def _known_template(cls, value: str) -> str:
        if value not in TEMPLATES:
            raise ValueError(f"allowed: {', '.join(TEMPLATES)}")
        return value


class IndicatorsConfig(_Section):
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


class StudyConfig(_Section):
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

    @model_validator(mode="after")
    def _unique_names(self) -> StudyConfig:
        for key in ("pools", "evaluation"):
            names = [item.name for item in getattr(self, key)]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key}: the name {twice[0]} stands twice")
        return self

    def recipe(self) -> dict[str, Any]:
        """What the finetunes depend on, as flat keys; what a started study must not change.

        Left out are where files and models lie (their content is compared), how many subsets there are, what
        is a matter of memory and speed alone, and the indicators, which are computed apart from the finetunes.
        """
        whole = self.model_dump(mode="json")
        for section, key in _NOT_IN_RECIPE:
            del whole[section][key]
        del whole["out"], whole["indicators"]
        for item in (*whole["pools"], *whole["evaluation"]):
            del item["path"]
        # Pools are drawn from in the order of the file.
        order = [pool.name for pool in self.pools]
        for key in ("pools", "evaluation"):
            whole[key] = {item.pop("name"): item for item in whole[key]}
        return dict(_flat(whole)) | {"pools (order)": order}


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
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyConfigError(f"there is no study file {path}; imine study new writes one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyConfigError(f"{path}: not a readable TOML file: {error}") from error
    raw.setdefault("out", f"{path.stem}-out")
    return Study(check_config(raw, str(path)), path)


def check_config(raw: dict[str, Any], where: str = "study") -> StudyConfig:
    """Check the content of a study file.

    Args:
        raw: nested dictionaries as TOML gives them.
        where: what the message names as the place.

    Raises:
        StudyConfigError: names every wrong key and what is allowed.

    Examples:
        >>> check_config({"name": "a", "out": "o", "design": {"subsets": 2, "example": 3}})
        Traceback (most recent call last):
        ...
        imine.errors.StudyConfigError: study:
          pools: missing
          evaluation: missing
          design.examples: missing
          design.example: unknown key; allowed: kind, subsets, examples, alpha, reference_rows
    """
    return check_model(StudyConfig, raw, where)


def check_model(kind: type[_Model], raw: dict[str, Any], where: str) -> _Model:
    """Check nested dictionaries against a model of their keys, as :func:`check_config` does.

    Args:
        kind: the model.
        raw: nested dictionaries.
        where: what the message names as the place.

    Raises:
        StudyConfigError: names every wrong key and what is allowed.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(item, kind) for item in error.errors()]
        raise StudyConfigError("\n  ".join([f"{where}:", *lines])) from None


def _describe(item: Any, root: type[BaseModel]) -> str:
    loc = item["loc"]
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    if item["type"] == "missing":
        return f"{key}: missing"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed: {', '.join(_section(loc[:-1], root).model_fields)}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = "" if isinstance(item["input"], dict | list) else f" (given: {item['input']!r})"
    return f"{key}: {message}{given}" if key else message


def _section(loc: tuple[Any, ...], section: type[BaseModel]) -> type[BaseModel]:
    for part in loc:
        if isinstance(part, str):
            kind = section.model_fields[part].annotation
            kinds = [k for k in (kind, *get_args(kind)) if isinstance(k, type)]
            section = next(k for k in kinds if issubclass(k, BaseModel))
    return section


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
