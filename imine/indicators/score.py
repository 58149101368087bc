"""Scores of records: one column an indicator, a reason for every null, a fingerprint for every column."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from imine.columns import COLUMNS
from imine.errors import FormatError, UnknownIndicatorError
from imine.indicators.settings import ScoreSettings, settings_from_fingerprints
from imine.progress import Progress, SilentProgress
from imine.records import content_ids, content_keys

if TYPE_CHECKING:
    from imine.rules import Rule

_METADATA_KEY = "imine"
_NEEDED = ("instruction", "output")

# Values, one a row and in their order, as columns ``value`` and ``why``; and the fingerprint.
_Column = tuple[pl.DataFrame, dict[str, Any]]


@dataclass(frozen=True)
class Scores:
    """Score columns of records.

    Attributes:
        frame: ``id``, then for each indicator its column and ``<indicator>__why``, the reason of a null.
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
        path = Path(path)
        scratch = path.with_name(f".{path.name}.tmp")
        self.frame.write_parquet(scratch, metadata={_METADATA_KEY: json.dumps({"fingerprints": self.fingerprints})})
        os.replace(scratch, path)

    @classmethod
    def read(cls, path: str | Path) -> Scores:
        """Read what :meth:`write` wrote.

        Raises:
            FormatError: the file is no parquet side-car of imine.
        """
        try:
            metadata = pl.read_parquet_metadata(path)
            about = json.loads(metadata[_METADATA_KEY])
            return cls(pl.read_parquet(path, memory_map=False), about["fingerprints"])
        except (OSError, KeyError, json.JSONDecodeError, pl.exceptions.PolarsError) as error:
            raise FormatError(
                f"{path} is no side-car of scores (parquet with imine's fingerprints): {error!r}. "
                "Make one with: imine score POOL -o scores.parquet"
            ) from error


def score(
    frame: pl.DataFrame,
    indicators: Sequence[str] | None = None,
    *,
    settings: ScoreSettings | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Score records.

    Args:
        frame: records: ``instruction`` and ``output``, also ``input`` and ``id`` where there are any (String).
        indicators: names of :data:`imine.columns.COLUMNS`, or of a group of them (``lexical``, ``tokens``,
            ``likelihood``, ``neighbors``); ``None`` for all.
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
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(COLUMNS[name].group, []).append(name)
    check_models(list(groups), settings)
    columns: dict[str, _Column] = {}
    timings = {}
    for group, members in groups.items():
        start = time.perf_counter()
        columns |= _GROUPS[group](records, members, settings, progress or SilentProgress())
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


def expand_indicators(indicators: Sequence[str] | None) -> list[str]:
    """Names of columns for names of columns and groups, each once, in the order of the specs.

    Raises:
        UnknownIndicatorError: a name that is neither.

    Examples:
        >>> expand_indicators(["tokens", "mtld"])
        ['mtld', 'input_length', 'output_length']
    """
    if indicators is None:
        return list(COLUMNS)
    groups = {spec.group for spec in COLUMNS.values()}
    wanted: set[str] = set()
    for name in indicators:
        if name in COLUMNS:
            wanted.add(name)
        elif name in groups:
            wanted |= {spec.name for spec in COLUMNS.values() if spec.group == name}
        else:
            raise UnknownIndicatorError(
                f"no indicator {name!r}; there are {', '.join(COLUMNS)}, and the groups {', '.join(sorted(groups))}"
            )
    return [name for name in COLUMNS if name in wanted]


def check_models(groups: Sequence[str], settings: ScoreSettings) -> None:
    """Fail before any work where a model that these groups need is not there.

    Raises:
        ModelNotFoundError: it is not there; the message says how to get it.
    """
    from imine.indicators.models import model_path

    if "tokens" in groups or "likelihood" in groups:
        model_path(settings.model)
    if "neighbors" in groups:
        model_path(settings.encoder)


def _check(frame: pl.DataFrame) -> pl.DataFrame:
    for name in _NEEDED:
        if name not in frame.columns:
            raise FormatError(f"the records have no column {name!r}; they have {', '.join(frame.columns)}")
    if "input" not in frame.columns:
        frame = frame.with_columns(input=pl.lit(""))
    for name in ("instruction", "input", "output"):
        if frame[name].dtype != pl.String:
            raise FormatError(f"the column {name!r} must be text (String), not {frame[name].dtype}")
        if nulls := frame[name].null_count():
            row = int(frame[name].is_null().arg_max() or 0)
            raise FormatError(f"the column {name!r} has {nulls:,} nulls, the first in row {row}; give texts, '' for none")
    if "id" not in frame.columns:
        frame = frame.with_columns(pl.Series("id", content_ids(frame)))
    return frame


def _assemble(records: pl.DataFrame, names: list[str], columns: dict[str, _Column]) -> pl.DataFrame:
    series = [records["id"].cast(pl.String)]
    for name in names:
        values = columns[name][0]
        series += [values["value"].alias(name), values["why"].alias(COLUMNS[name].why)]
    return pl.DataFrame(series)


def _lexical(records: pl.DataFrame, names: list[str], _: ScoreSettings, __: Progress) -> dict[str, _Column]:
    from imine.indicators.lexical import lexical_fingerprint, score_lexical

    scored = score_lexical(records, names)
    return {
        n: (scored.select(value=n, why=f"{n}__why"), lexical_fingerprint(n)) for n in names
    }


def _tokens(records: pl.DataFrame, names: list[str], settings: ScoreSettings, _: Progress) -> dict[str, _Column]:
    from imine.indicators.models import load_tokenizer, tokenizer_sha256
    from imine.indicators.tokens import count_tokens, length_fingerprint, prompt_text

    tokenizer = load_tokenizer(settings.model)
    sha256 = tokenizer_sha256(tokenizer)
    columns = {}
    for name in names:
        texts = prompt_text(records) if name == "input_length" else records["output"]
        values = pl.DataFrame({"value": count_tokens(texts, tokenizer)}).with_columns(why=pl.lit(None, pl.String))
        columns[name] = (values, length_fingerprint(name, settings.model, sha256))
    return columns


def _likelihood(
    records: pl.DataFrame, names: list[str], settings: ScoreSettings, progress: Progress
) -> dict[str, _Column]:
    from imine.indicators.cache import ScoreStore
    from imine.indicators.likelihood import perplexity_fingerprint, score_perplexity
    from imine.indicators.models import model_path, model_sha256

    template = settings.prompt_template()
    sha256 = model_sha256(model_path(settings.model))
    fingerprint = perplexity_fingerprint(settings.model, sha256, template, settings.max_tokens)
    values = score_perplexity(
        records,
        content_keys(records),
        model_name=settings.model,
        template=template,
        max_tokens=settings.max_tokens,
        store=ScoreStore("perplexity", fingerprint, pl.Float64, settings.cache),
        progress=progress,
    )
    return dict.fromkeys(names, (values, fingerprint))


def _neighbors(
    records: pl.DataFrame, names: list[str], settings: ScoreSettings, progress: Progress
) -> dict[str, _Column]:
    from imine.indicators.neighbors import knn_distance, neighbor_fingerprint

    keys = content_keys(records)
    embeddings, encoder = embed_records(records, settings, progress, keys)
    if settings.reference is None:
        reference, own = embeddings, np.arange(len(keys))
        about = {"kind": "self", "n": len(keys), "sha256": _keys_sha256(keys)}
    else:
        chosen = settings.reference
        place = {key: i for i, key in enumerate(chosen.keys)}
        reference, own = chosen.embeddings, np.array([place.get(key, -1) for key in keys], dtype=np.int64)
        about = {"kind": "set", "name": chosen.name, "n": len(chosen.keys), "sha256": chosen.sha256}
    columns = {}
    for name in names:
        rank = int(name.removeprefix("knn_"))
        distance = knn_distance(embeddings, reference, rank, own)
        columns[name] = (
            _neighbor_column(distance, embeddings, rank),
            neighbor_fingerprint(name, encoder, about),
        )
    return columns


def _neighbor_column(distance: Any, embeddings: Any, rank: int) -> pl.DataFrame:
    empty = pl.Series(~embeddings.any(axis=1))
    frame = pl.DataFrame({"value": distance, "empty": empty}).with_columns(pl.col("value").fill_nan(None))
    few = f"the reference set has fewer than {rank} other examples"
    return frame.select(
        value=pl.when(~pl.col("empty")).then("value"),
        why=pl.when(pl.col("empty")).then(pl.lit("the example has no text"))
        .when(pl.col("value").is_null()).then(pl.lit(few)),
    )  # fmt: skip


def embed_records(
    records: pl.DataFrame, settings: ScoreSettings, progress: Progress, keys: list[str] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Embeddings of records, float32 (rows, dimensions), and the fingerprint of the encoder."""
    from imine.indicators.cache import ScoreStore
    from imine.indicators.embeddings import embed, encoder_fingerprint
    from imine.indicators.models import model_path, model_sha256

    encoder = encoder_fingerprint(settings.encoder, model_sha256(model_path(settings.encoder)))
    store = ScoreStore("embedding", encoder, pl.Binary, settings.cache)
    keys = content_keys(records) if keys is None else keys
    return embed(records, keys, encoder_name=settings.encoder, store=store, progress=progress), encoder


def _keys_sha256(keys: list[str]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]


_GROUPS: dict[str, Callable[[pl.DataFrame, list[str], ScoreSettings, Progress], dict[str, _Column]]] = {
    "lexical": _lexical,
    "tokens": _tokens,
    "likelihood": _likelihood,
    "neighbors": _neighbors,
}
