"""Unit-length sentence embeddings of whole examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imine.indicators.cache import ScoreStore
from imine.indicators.models import LoadedModel, load_encoder
from imine.indicators.responses import bucket
from imine.indicators.tokens import prompt_text
from imine.progress import Progress

MAX_TOKENS = 256
# Padded tokens a batch.
_BATCH_TOKENS = 4096


def encoder_fingerprint(name: str, sha256: str, tokenizer_sha256: str) -> dict[str, Any]:
    """What makes an embedding: the encoder, the text and how much of it."""
    return {
        "name": name,
        "sha256": sha256,
        "tokenizer_sha256": tokenizer_sha256,
        "text": "instruction, input and output, joined by line breaks",
        "max_tokens": MAX_TOKENS,
        "pooling": "mean over tokens, unit length",
        "dtype": "float32",
    }


def embed(
    frame: pl.DataFrame,
    keys: list[str],
    *,
    encoder_name: str,
    store: ScoreStore,
    progress: Progress,
) -> NDArray[np.float32]:
    """Embeddings of instruction, input and output of every row; what the store has is not computed again.

    Long text: the first 256 tokens count, as in the encoder's own settings.

    Args:
        frame: records.
        keys: content key of each row.
        encoder_name: name or folder of the encoder.
        store: where finished rows are kept, as bytes of float32.
        progress: told of the rows done.

    Returns:
        (rows, dimensions); all zeros where a row has no text at all.
    """
    missing = store.missing(keys)
    if missing:
        texts = _texts(frame.select("instruction", "input", "output")[missing])
        encoder = load_encoder(encoder_name)
        progress.start("embeddings", len(texts))
        with store:
            for rows, vectors in _encode(encoder, texts):
                for i, vector in zip(rows, vectors, strict=True):
                    store.add(keys[missing[i]], vector.tobytes())
                progress.advance(len(rows))
        progress.finish()
    if not keys:
        return np.zeros((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(store.values[key][0] for key in keys), dtype=np.float32).reshape(
        len(keys), -1
    )


def _texts(frame: pl.DataFrame) -> list[str]:
    return [
        f"{prompt}\n{output}" if output else prompt
        for prompt, output in zip(prompt_text(frame).to_list(), frame["output"].to_list(), strict=True)
    ]


def _encode(encoder: LoadedModel, texts: list[str]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    import torch

    ids = encoder.tokenizer(texts, truncation=True, max_length=MAX_TOKENS, return_attention_mask=False)[
        "input_ids"
    ]
    device = encoder.model.device
    with torch.inference_mode():
        for rows in bucket([len(one) for one in ids], _BATCH_TOKENS):
            padded = encoder.tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt").to(
                device
            )
            states = encoder.model(**padded).last_hidden_state
            mask = padded["attention_mask"].unsqueeze(-1).to(states.dtype)
            pooled = (states * mask).sum(1) / mask.sum(1)
            empty = torch.tensor([not texts[i].strip() for i in rows], device=device)
            unit = torch.nn.functional.normalize(pooled, dim=1).masked_fill(empty.unsqueeze(1), 0.0)
            yield rows, unit.float().cpu().numpy()
