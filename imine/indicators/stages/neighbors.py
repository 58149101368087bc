"""The stage ``neighbors``: distances between sentence embeddings."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl

from imine.columns.neighbors import neighbor_rank
from imine.errors import RuleError
from imine.indicators.neighbors import ReferenceSet
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.stage import Column, Stage
from imine.progress import Progress, SilentProgress
from imine.records import content_keys


def _run(
    records: pl.DataFrame, names: list[str], settings: ScoreSettings, progress: Progress
) -> dict[str, Column]:
    from imine.indicators.neighbors import find_neighbors

    keys = content_keys(records)
    embeddings, cut = _embed(records, settings, progress, keys)
    if settings.reference is None:
        reference, own = embeddings, np.arange(len(keys))
        pool = {"n": len(keys), "sha256": _keys_sha256(keys)}
    else:
        place = {key: i for i, key in enumerate(settings.reference.keys)}
        reference = settings.reference.embeddings
        own = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
        pool = {}
    ranks = max(neighbor_rank(name) for name in names)
    found = find_neighbors(embeddings, reference, ranks, own, method=settings.neighbors, progress=progress)
    columns = {}
    for name in names:
        fingerprint = _plan(name, settings)
        fingerprint["reference"] |= pool
        rank = neighbor_rank(name)
        values = found.distance(rank) if name.startswith("knn_") else found.density(rank)
        columns[name] = (_neighbor_column(values, embeddings, cut, rank), fingerprint)
    return columns


def _plan(name: str, settings: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.neighbors import neighbor_fingerprint

    about: dict[str, Any] = {"kind": "self"}
    if chosen := settings.reference:
        about = {"kind": "set", "name": chosen.name, "n": len(chosen.keys), "sha256": chosen.sha256}
    return neighbor_fingerprint(name, _encoder(settings), about, settings.neighbors)


def _encoder(settings: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.embeddings import encoder_fingerprint
    from imine.indicators.encoders import read_recipe, resolve_dtype
    from imine.indicators.models import model_path, model_sha256, tokenizer_sha256

    folder = model_path(settings.encoder)
    return encoder_fingerprint(
        settings.encoder,
        model_sha256(folder),
        tokenizer_sha256(settings.encoder),
        read_recipe(folder),
        resolve_dtype(settings.encoder_dtype),
    )


def _check_reference(settings: ScoreSettings, encoder: dict[str, Any]) -> None:
    chosen = settings.reference
    if chosen is not None and chosen.encoder_sha256 != encoder["sha256"]:
        raise RuleError(
            f"the reference set {chosen.name!r} was embedded with weights {chosen.encoder_sha256[:16]}, the encoder "
            f"{settings.encoder} has {encoder['sha256'][:16]}: give the encoder of the set, or make the set again"
        )


def _neighbor_column(distance: Any, embeddings: Any, cut: Any, rank: int) -> pl.DataFrame:
    empty = pl.Series(~embeddings.any(axis=1), dtype=pl.Boolean)
    frame = pl.DataFrame({"value": distance, "empty": empty}).with_columns(pl.col("value").fill_nan(None))
    few = f"the reference set has fewer than {rank} other examples"
    no_text = pl.when(pl.col("empty")).then(pl.lit("the example has no text"))
    return frame.select(
        value=pl.when(~pl.col("empty")).then("value"),
        why=no_text.when(pl.col("value").is_null()).then(pl.lit(few)),
        cut=pl.Series(cut, dtype=pl.Int64),
    )


def embed_records(records: pl.DataFrame, settings: ScoreSettings, progress: Progress) -> Any:
    """Embeddings of records, float32 (rows, dimensions), from the cache where it has them."""
    return _embed(records, settings, progress, content_keys(records))[0]


def _embed(records: pl.DataFrame, settings: ScoreSettings, progress: Progress, keys: list[str]) -> Any:
    """Embeddings of records, and how many tokens of each were cut."""
    from imine.indicators.devices import find_devices
    from imine.indicators.embeddings import embed
    from imine.indicators.vectors import VectorStore

    encoder = _encoder(settings)
    store = VectorStore("embeddings", encoder, settings.cache)
    return embed(
        records,
        keys,
        encoder_name=settings.encoder,
        store=store,
        progress=progress,
        dtype=encoder["dtype"],
        devices=settings.devices or find_devices(),
    )


def make_reference(
    name: str, records: pl.DataFrame, settings: ScoreSettings, progress: Progress | None = None
) -> ReferenceSet:
    """A reference set of neighbours from records.

    Args:
        name: for people.
        records: the examples among which neighbours will be looked for.
        settings: for the encoder and the cache.
        progress: told of the embedding.
    """
    embeddings = embed_records(records, settings, progress or SilentProgress())
    return ReferenceSet.make(name, content_keys(records), embeddings, _encoder(settings)["sha256"])


def _keys_sha256(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]


def near_duplicates(
    records: pl.DataFrame,
    threshold: float,
    settings: ScoreSettings | None = None,
    progress: Progress | None = None,
) -> Any:
    """Groups of records whose embeddings are alike, see :func:`imine.indicators.neighbors.near_duplicate_groups`.

    Args:
        records: ``instruction``, ``input`` and ``output``.
        threshold: least cosine of two records of a group that nothing else links.
        settings: for the encoder and the cache.
        progress: told of the embedding.

    Returns:
        int64, (rows,): the position of the first row of each row's group.
    """
    from imine.indicators.neighbors import near_duplicate_groups

    embeddings = embed_records(records, settings or ScoreSettings(), progress or SilentProgress())
    return near_duplicate_groups(embeddings, threshold)


def _check(settings: ScoreSettings) -> None:
    """What can be known before any work: the library of the search, the encoder's folder, the reference's encoder."""
    from imine.indicators.neighbors import require_search

    require_search(settings.neighbors)
    _check_reference(settings, _encoder(settings))


STAGE = Stage("neighbors", _run, _plan, lambda settings: (settings.encoder,), _check)
