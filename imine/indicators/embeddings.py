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
        progress: told of the tokens done: the longest rows come first.

    Returns:
        (rows, dimensions); all zeros where a row has no text at all.
    """
    missing = store.missing(keys)
    if missing:
        texts = _texts(frame.select("instruction", "input", "output")[missing])
        encoder = load_encoder(encoder_name)
        ids = tokenize(encoder, texts)
        progress.start("embeddings", sum(map(len, ids)), "tokens")
        with store:
            for rows, vectors in encode(encoder, ids):
                for i, vector in zip(rows, vectors, strict=True):
                    store.add(
                        keys[missing[i]], vector.tobytes() if texts[i].strip() else bytes(vector.nbytes)
                    )
                progress.advance(sum(len(ids[i]) for i in rows))
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


def tokenize(encoder: LoadedModel, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, special tokens included, cut where the encoder's own settings cut."""
    encoded = encoder.tokenizer(texts, truncation=True, max_length=MAX_TOKENS, return_attention_mask=False)
    return list(encoded["input_ids"])


def encode(encoder: LoadedModel, ids: list[list[int]]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Unit-length mean of the last hidden states, batch by batch, the longest first.

    Args:
        encoder: a sentence encoder.
        ids: token ids of each text.

    Yields:
        Positions in ``ids``, and their embeddings, float32 (positions, dimensions).
    """
    import torch

    with torch.inference_mode():
        for rows in bucket([len(one) for one in ids], _BATCH_TOKENS):
            padded = encoder.tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            states = encoder.model(**padded.to(encoder.model.device)).last_hidden_state
            mask = padded["attention_mask"].unsqueeze(-1).to(states)
            pooled = (states * mask).sum(1) / mask.sum(1)
            yield rows, torch.nn.functional.normalize(pooled, dim=1).float().cpu().numpy()
