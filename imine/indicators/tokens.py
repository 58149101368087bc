"""Lengths of prompt and response in tokens of a named tokenizer."""

from __future__ import annotations

from typing import Any

import polars as pl

from imine.columns import require_column

_ROWS_AT_ONCE = 2000


def prompt_text(frame: pl.DataFrame) -> pl.Series:
    """Instruction and input, joined by a line break where there is an input: more than white space, as in prompts."""
    joined = pl.concat_str("instruction", "input", separator="\n")
    absent = is_blank(pl.col("input"))
    return frame.select(pl.when(absent).then("instruction").otherwise(joined).alias("prompt"))["prompt"]


def is_blank(text: pl.Expr) -> pl.Expr:
    """Whether a text is white space at most: such an input counts as none, as in the prompt templates."""
    return text.str.strip_chars() == ""


def length_fingerprint(name: str, tokenizer_name: str, vocabulary_sha256: str) -> dict[str, Any]:
    """What makes a column of token counts."""
    return {
        "indicator": name,
        "version": require_column(name).version,
        "tokenizer": {"name": tokenizer_name, "sha256": vocabulary_sha256},
    }


def count_tokens(texts: pl.Series, tokenizer: Any) -> pl.Series:
    """Tokens of each text, special tokens apart.

    Args:
        texts: String, without nulls.
        tokenizer: a tokenizer of the library tokenizers, without truncation.

    Returns:
        Int64, one count a text.
    """
    counts: list[int] = []
    for part in texts.to_frame().iter_slices(_ROWS_AT_ONCE):
        encodings = tokenizer.encode_batch_fast(part.to_series().to_list(), add_special_tokens=False)
        counts += [len(encoding.ids) for encoding in encodings]
    return pl.Series(counts, dtype=pl.Int64)
