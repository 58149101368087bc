"""Candidates of every pool and the rows of every evaluation set, with the guard between them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from imine.errors import BadRowError, FormatError, StudyConfigError, StudyError
from imine.progress import Progress, SilentProgress
from imine.records import read_records
from imine.study.config import Study
from imine.study.designs.guard import near_prompts
from imine.study.file_config import EvaluationConfig, FileConfig, PoolConfig

_TEXT = ("instruction", "input", "output")


@dataclass(frozen=True, slots=True)
class StudyData:
    """The data of a study.

    Attributes:
        pools: candidates of each pool: ``id`` (unique in the study), ``pool``, ``source``, ``instruction``,
            ``input``, ``output``.
        evaluation: rows of each evaluation set, the same columns without ``pool``.
        content: hash of each file as it was read, 16 hexadecimal digits, by ``pools.<name>`` and
            ``evaluation.<name>``.
    """

    pools: dict[str, pl.DataFrame]
    evaluation: dict[str, pl.DataFrame]
    content: dict[str, str]

    @property
    def candidates(self) -> pl.DataFrame:
        """All candidates in one frame, pool after pool."""
        return pl.concat(self.pools.values())


def load_data(study: Study, *, out: Path | None = None, progress: Progress | None = None) -> StudyData:
    """Read pools and evaluation sets; leave out what must not be trained on.

    Left out, with the count said: rows of a pool with an empty response, rows whose prompt is the prompt of
    any row of an evaluation file (compared in lower case, white space folded), with ``design.guard = "near"``
    also rows with nearly such a prompt (see :mod:`imine.study.designs.guard`), and rows that repeat an id of
    their pool. Then each pool is cut to its ``rows`` by a seeded draw.

    Args:
        study: the study.
        out: folder for skipped bad rows, ``bad-<name>.jsonl`` of a pool and ``bad-evaluation-<name>.jsonl``
            of an evaluation set; they are only counted where absent.
        progress: told how each file was understood and what was left out.

    Raises:
        StudyConfigError: a file is not there.
        BadRowError: a file has a row that cannot be read, and such rows are not skipped.
        FormatError: the format of a file cannot be told.
        StudyError: nothing is left of a pool or an evaluation set.
    """
    say = progress or SilentProgress()
    config, content = study.config, {}
    evaluation, asked = {}, []
    for part in config.evaluation:
        key = f"evaluation.{part.name}"
        rows, content[key] = _read(study, key, part, out and out / f"bad-evaluation-{part.name}.jsonl", say)
        asked.append(rows.select(_TEXT))
        evaluation[part.name] = _evaluation_rows(rows, part, config.seed, say)
    guard = _Guard(pl.concat(asked), near=config.design.guard == "near")
    pools = {}
    for pool in config.pools:
        key = f"pools.{pool.name}"
        rows, content[key] = _read(study, key, pool, out and out / f"bad-{pool.name}.jsonl", say)
        pools[pool.name] = _pool_candidates(rows, pool, guard, config.seed, say)
    return StudyData(_unique_ids(pools, say), evaluation, content)


def _unique_ids(pools: dict[str, pl.DataFrame], say: Progress) -> dict[str, pl.DataFrame]:
    if not pl.concat([frame["id"] for frame in pools.values()]).is_duplicated().any():
        return pools
    say.note("some ids stand in several pools: every id of this study is written as <pool>/<id>")
    return {
        name: frame.with_columns(pl.format("{}/{}", pl.lit(name), "id").alias("id"))
        for name, frame in pools.items()
    }


def _read(
    study: Study, key: str, part: FileConfig, bad_rows_to: Path | None, say: Progress
) -> tuple[pl.DataFrame, str]:
    path = study.resolve(part.path)
    if not path.is_file():
        raise StudyConfigError(f"{study.path}: {key}.path: there is no file {path}")
    content = _file_hash(path)
    try:
        records = read_records(
            path, format=part.format, map=part.map or None, turns=part.turns, on_bad_row=part.on_bad_row
        )
    except (BadRowError, FormatError) as error:
        raise type(error)(
            f"{study.path}: {key}: {error}. In a study file these are the keys format, map and on_bad_row"
        ) from error
    for line in (*(decision.describe() for decision in records.decisions), *records.notes):
        say.note(line)
    if records.bad_rows:
        first, where = records.bad_rows[0], ""
        if bad_rows_to:
            records.write_bad_rows(bad_rows_to)
            where = f" and written to {bad_rows_to}"
        say.note(
            f"{key}: {len(records.bad_rows):,} bad rows were skipped{where}; "
            f"the first: line {first.line}: {first.reason}"
        )
    return records.frame, content


class _Guard:
    """What must not be trained on: the prompts of all rows of the evaluation files."""

    def __init__(self, evaluation: pl.DataFrame, *, near: bool) -> None:
        self._evaluation, self._near = evaluation, near
        self._prompts = list(set(_prompts(evaluation)))

    def known(self, rows: pl.DataFrame) -> pl.Series:
        """Rows with one of the prompts."""
        return pl.Series("prompt", _prompts(rows), dtype=pl.String).is_in(self._prompts)

    def near(self, rows: pl.DataFrame) -> pl.Series:
        """Rows with nearly one of the prompts; none where this was not asked for."""
        if not self._near:
            return pl.Series("near", [False] * rows.height, dtype=pl.Boolean)
        return near_prompts(rows, self._evaluation)


def _pool_candidates(
    rows: pl.DataFrame, pool: PoolConfig, guard: _Guard, seed: int, say: Progress
) -> pl.DataFrame:
    known = guard.known(rows)
    near = guard.near(rows) & ~known
    empty = rows["output"].str.strip_chars() == ""
    kept = rows.filter(~known & ~near & ~empty).unique("id", keep="first", maintain_order=True)
    repeated = rows.height - int((known | near | empty).sum()) - kept.height
    left_out = {
        "with an empty response": int(empty.sum()),
        "with a prompt of an evaluation set": int((known & ~empty).sum()),
        "with nearly a prompt of an evaluation set": int((near & ~empty).sum()),
        "with an id that stood before": repeated,
    }
    said = "".join(f"; {count:,} {what} left out" for what, count in left_out.items() if count)
    if not kept.height:
        raise StudyError(f"pool {pool.name}: no candidate is left of {rows.height:,} rows{said}")
    drawn = kept[seeded_order(kept.height, seed, "pool", pool.name)[: pool.rows]]
    say.note(f"pool {pool.name}: {drawn.height:,} candidates of {rows.height:,} rows{said}")
    return drawn.select("id", pl.lit(pool.name).alias("pool"), "source", *_TEXT)


def _evaluation_rows(rows: pl.DataFrame, part: EvaluationConfig, seed: int, say: Progress) -> pl.DataFrame:
    kept = rows.filter(pl.col("output").str.strip_chars() != "")
    if not kept.height:
        raise StudyError(f"evaluation set {part.name}: no row of {rows.height:,} has a response")
    drawn = kept[seeded_order(kept.height, seed, "evaluation", part.name)[: part.rows]]
    empty = rows.height - kept.height
    said = f"; {empty:,} with an empty response left out" if empty else ""
    say.note(f"evaluation set {part.name}: {drawn.height:,} of {rows.height:,} rows{said}")
    return drawn.select("id", "source", *_TEXT)


def seeded_order(count: int, seed: int, *purpose: str) -> list[int]:
    """A permutation of ``range(count)`` that depends on the seed and the purpose alone.

    Examples:
        >>> seeded_order(5, 0, "pool", "a") == seeded_order(5, 0, "pool", "a")
        True
        >>> sorted(seeded_order(5, 0, "pool", "b"))
        [0, 1, 2, 3, 4]
    """
    word = int.from_bytes(hashlib.sha256("\0".join(purpose).encode()).digest()[:8], "little")
    order: list[int] = np.random.default_rng(np.random.SeedSequence([seed, word])).permutation(count).tolist()
    return order


def _prompts(rows: pl.DataFrame) -> list[str]:
    return [fold(f"{a}\n{b}") for a, b in zip(rows["instruction"], rows["input"], strict=True)]


def fold(text: str) -> str:
    """Lower case, with every run of white space as one blank.

    Examples:
        >>> fold("  Name  three\\nFRUITS. ")
        'name three fruits.'
    """
    return " ".join(text.lower().split())


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
