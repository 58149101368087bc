"""The bundled sample: 300 instruction rows of varied quality, written for imine.

What is in it, and how it was written, stands in ``README.md`` beside this file.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import polars as pl

__all__ = ["load_sample", "sample_path"]


def sample_path() -> Path:
    """Path of the sample, a JSONL file in UTF-8 with one row an example.

    The keys of a row are ``id``, ``instruction``, ``input`` ("" when there is none), ``output``,
    ``quality`` (the writer's label: ``good``, ``fair``, ``poor`` or ``broken``) and ``topic``, all strings.

    Returns:
        The path of ``instructions.jsonl`` in the installed package.

    Examples:
        >>> sample_path().name
        'instructions.jsonl'
        >>> sample_path().is_file()
        True
    """
    return Path(str(files("imine.sample"))) / "instructions.jsonl"


def load_sample() -> pl.DataFrame:
    """Read the sample as a records frame.

    Returns:
        A frame of 300 rows. The canonical columns come first (``id``, ``source``, which is ``"sample"``,
        ``instruction``, ``input``, ``output``), then ``quality`` and ``topic``; all strings, no nulls.

    Examples:
        >>> sample = load_sample()
        >>> sample.columns
        ['id', 'source', 'instruction', 'input', 'output', 'quality', 'topic']
        >>> sample["instruction"][0]
        'Why does a metal spoon feel colder than a wooden one when both have been in the same drawer?'
    """
    keys = ("id", "instruction", "input", "output", "quality", "topic")
    rows = pl.read_ndjson(sample_path(), schema=dict.fromkeys(keys, pl.String))
    return rows.select("id", pl.lit("sample").alias("source"), *keys[1:])
