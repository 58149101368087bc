"""Scores of records: one column an indicator, a reason for every null, a fingerprint for every column."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.columns import COLUMNS, DEFAULT_INDICATORS, find_column, require_column
from imine.columns.lexical import MEASURES, SIDES, SLOW
from imine.errors import FormatError, ModelNotFoundError
from imine.files import replace_file
from imine.indicators.plugins import load_plugins
from imine.indicators.settings import ScoreSettings, settings_from_fingerprints
from imine.indicators.stages import STAGES, Column
from imine.progress import Progress, SilentProgress
from imine.records import content_ids

if TYPE_CHECKING:
    from imine.rules import Rule

_METADATA_KEY = "imine"
_NEEDED = ("instruction", "output")


@dataclass(frozen=True)
class Scores:
    """Score columns of records.

    Attributes:
        frame: ``id``, then for each indicator its column and ``<indicator>__why``, the reason of a null; where the
            indicator may cut long examples also ``<indicator>__cut``, how many tokens were cut.
        fingerprints: by indicator, what made the column.
        timings: by stage (lexical, tokens, likelihood, neighbors), seconds.
    """

    frame: pl.DataFrame
    fingerprints: dict[str, dict[str, Any]]
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def indicators(self) -> list[str]:
        """Names of the score columns."""
        return list(self.fingerprints)

    def write(self, path: str | Path) -> None:
        """Write a parquet side-car, the fingerprints in its key-value metadata, atomically."""
        metadata = {_METADATA_KEY: json.dumps({"fingerprints": self.fingerprints})}
        replace_file(path, lambda beside: self.frame.write_parquet(beside, metadata=metadata))

    @classmethod
    def read(cls, path: str | Path) -> Scores:
        """Read what :meth:`write` wrote, or a parquet file of scores from elsewhere, which has no fingerprints.

        Raises:
            FormatError: the file cannot be read, or has no column ``id``.
        """
        try:
            about = json.loads(pl.read_parquet_metadata(path).get(_METADATA_KEY, "{}"))
            frame = pl.read_parquet(path, memory_map=False, glob=False)
        except (OSError, json.JSONDecodeError, pl.exceptions.PolarsError) as error:
            raise FormatError(
                f"{path} is no side-car of scores: {error}. Make one with: imine score POOL -o scores.parquet"
            ) from error
        if "id" not in frame.columns or len(frame.columns) < 2:
            raise FormatError(
                f"{path} is no side-car of scores: it needs a column id and one column an indicator, "
                f"and has {', '.join(frame.columns)}"
            )
        return cls(frame.with_columns(pl.col("id").cast(pl.String)), about.get("fingerprints", {}))


def score(
    frame: pl.DataFrame,
    indicators: str | Sequence[str] | None = None,
    *,
    settings: ScoreSettings | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Score records.

    Args:
        frame: records: ``instruction`` and ``output``, also ``input`` and ``id`` where there are any (String).
        indicators: names of columns (``imine indicators`` lists them), or of groups of them (``lexical``,
            ``tokens``, ``likelihood``, ``neighbors``); ``None`` for :data:`imine.columns.DEFAULT_INDICATORS`.
        settings: models, template and reference set; the embedded defaults otherwise.
        progress: told of long stages; silent otherwise.

    Returns:
        One row a record, in their order.

    Raises:
        UnknownIndicatorError: an indicator that is not there.
        FormatError: a column is missing or not text.
        ModelNotFoundError: a model that is needed is not there; nothing was computed.

    Examples:
        >>> import imine, polars as pl
        >>> pool = pl.DataFrame({"instruction": ["Name a colour."], "output": ["Red, as the evening sky is red."]})
        >>> scores = imine.score(pool, ["output_words", "mtld"]).frame
        >>> scores["output_words"].to_list(), scores["mtld__why"].to_list()
        ([7], ['response has 7 words, fewer than 10'])
    """
    names = expand_indicators(indicators)
    settings = settings or ScoreSettings()
    records = _check(frame)
    check_models(names, settings)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(require_column(name).group, []).append(name)
    columns: dict[str, Column] = {}
    timings = {}
    for group, members in groups.items():
        start = time.perf_counter()
        columns |= STAGES[group].run(records, members, settings, progress or SilentProgress())
        timings[group] = time.perf_counter() - start
    return Scores(_assemble(records, names, columns), {n: columns[n][1] for n in names}, timings)


def settings_for_rule(rule: Rule) -> ScoreSettings:
    """The settings under which a rule's own scores were made: models, template, reference set.

    Raises:
        RuleError: the file of the rule's reference set is missing or another one.

    Examples:
        >>> from imine.rules import load_rule
        >>> settings_for_rule(load_rule("instructmining-v1")).model
        'smollm2-135m'
    """
    return settings_from_fingerprints(rule.fingerprints, rule.reference_path())


def expand_indicators(indicators: str | Sequence[str] | None) -> list[str]:
    """Names of columns for names of columns and groups, each once: the listed ones first, in the order of the specs.

    Args:
        indicators: names of columns or groups; ``input_lexical``, ``output_lexical`` and ``both_lexical`` are the
            lexical measures of that side, but for those that take longer than all others together (``mtld_ma_bid``,
            ``mtld_ma_wrap``, ``compression_ratio``), which are asked for by name. ``None`` for
            :data:`imine.columns.DEFAULT_INDICATORS`.

    Raises:
        UnknownIndicatorError: a name that is neither.

    Examples:
        >>> expand_indicators(["tokens", "mtld", "input_mtld"])
        ['mtld', 'input_length', 'output_length', 'input_mtld']
    """
    if indicators is None:
        return list(DEFAULT_INDICATORS)
    wanted: dict[str, None] = {}
    for name in [indicators] if isinstance(indicators, str) else indicators:
        wanted |= dict.fromkeys(_members(name) or [require_column(name).name])
    return [name for name in COLUMNS if name in wanted] + [name for name in wanted if name not in COLUMNS]


def _members(group: str) -> list[str]:
    if group == "plugins":
        load_plugins()
    side = group.removesuffix("_lexical")
    if side != group and side in SIDES:
        return [name for m in MEASURES if m not in SLOW and find_column(name := f"{side}_{m}")]
    return [spec.name for spec in COLUMNS.values() if spec.group == group and spec.name not in SLOW]


def check_models(names: Sequence[str], settings: ScoreSettings) -> None:
    """Fail before any work where what these indicators need is not there.

    Args:
        names: names of indicators.
        settings: for the models.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelNotFoundError: models are not there; the message names them all, the indicators and how to get them.
        ModelError: a model is not of the kind that it is needed for.
    """
    from imine.indicators.models import check_extra, model_path

    needs: dict[str, list[str]] = {}
    for name in names:
        for model in STAGES[require_column(name).group].models(settings):
            needs.setdefault(model, []).append(name)
    absent = []
    for model, indicators in needs.items():
        check_extra(", ".join(indicators))
        try:
            model_path(model)
        except ModelNotFoundError as error:
            absent.append(f"{', '.join(indicators)}: {error}")
    if absent:
        raise ModelNotFoundError("nothing was done, since models are missing.\n" + "\n".join(absent))
    for group in dict.fromkeys(require_column(name).group for name in names):
        STAGES[group].check(settings)


def planned_fingerprints(names: Sequence[str], settings: ScoreSettings) -> dict[str, dict[str, Any]]:
    """The fingerprints that :func:`score` would give these indicators, without scoring.

    Where the pool itself is the reference of the neighbours, its size and hash are not known yet and left out.

    Raises:
        ModelNotFoundError: a model that is needed is not there.

    Examples:
        >>> planned_fingerprints(["mtld"], ScoreSettings())["mtld"]["threshold"]
        0.72
    """
    check_models(names, settings)
    return {name: STAGES[require_column(name).group].plan(name, settings) for name in names}


def _check(frame: pl.DataFrame) -> pl.DataFrame:
    for name in _NEEDED:
        if name not in frame.columns:
            raise FormatError(f"the records have no column {name!r}; they have {', '.join(frame.columns)}")
    if "input" not in frame.columns:
        frame = frame.with_columns(input=pl.lit(""))
    elif frame["input"].dtype in (pl.String, pl.Null):
        frame = frame.with_columns(pl.col("input").cast(pl.String).fill_null(""))
    for name in ("instruction", "input", "output"):
        if frame[name].dtype != pl.String:
            raise FormatError(f"the column {name!r} must be text (String), not {frame[name].dtype}")
        if nulls := frame[name].null_count():
            row = int(frame[name].is_null().arg_max() or 0)
            raise FormatError(
                f"the column {name!r} has {nulls:,} nulls, the first in row {row}; give texts, '' for none"
            )
    if "id" not in frame.columns:
        frame = frame.with_columns(pl.Series("id", content_ids(frame)))
    return frame


def _assemble(records: pl.DataFrame, names: list[str], columns: dict[str, Column]) -> pl.DataFrame:
    series = [records["id"].cast(pl.String)]
    for name in names:
        values = columns[name][0]
        series += [values["value"].alias(name), values["why"].alias(f"{name}__why")]
        if "cut" in values.columns:
            series.append(values["cut"].alias(f"{name}__cut"))
    return pl.DataFrame(series)
