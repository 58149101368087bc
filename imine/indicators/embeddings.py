"""Unit-length sentence embeddings of whole examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imine.indicators.encoders import MAX_TOKENS, EncoderRecipe, read_recipe
from imine.indicators.models import LoadedModel, load_encoder, model_path
from imine.indicators.responses import bucket
from imine.indicators.tokens import prompt_text
from imine.indicators.vectors import VectorStore
from imine.progress import Progress

__all__ = ["MAX_TOKENS", "embed", "encode", "encoder_fingerprint", "tokenize"]

# Padded tokens a batch: on a processor half and twice as many took longer, by a few per cent.
_BATCH_TOKENS = 2048
_BATCH_TOKENS_ACCELERATOR = 16_384
# Rows that are tokenised and sorted together: enough for batches without padding, whatever the size of the pool.
_ROWS_AT_ONCE = 8192
# Characters of a text that can matter to the progress, for each token that is read.
_CHARACTERS = 5


def encoder_fingerprint(
    name: str,
    sha256: str,
    tokenizer_sha256: str,
    recipe: EncoderRecipe | None = None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """What makes an embedding: the encoder, the text and how much of it."""
    return {
        "name": name,
        "sha256": sha256,
        "tokenizer_sha256": tokenizer_sha256,
        "text": "instruction, input and output, joined by line breaks",
        **(recipe or EncoderRecipe()).fingerprint(),
        "dtype": dtype,
    }


def embed(
    frame: pl.DataFrame,
    keys: list[str],
    *,
    encoder_name: str,
    store: VectorStore,
    progress: Progress,
    dtype: str = "float32",
) -> NDArray[np.float32]:
    """Embeddings of instruction, input and output of every row; what the store has is not computed again.

    Long text: what is beyond the encoder's own length is cut off, and how many rows that concerns is noted.

    Args:
        frame: records.
        keys: content key of each row.
        encoder_name: name or folder of the encoder.
        store: where finished rows are kept.
        progress: told of the characters done, those beyond what can be read left out.
        dtype: ``float32`` or ``bfloat16``, of the encoder's weights and states.

    Returns:
        (rows, dimensions), of unit length; all zeros where a row has no text at all.
    """
    recipe = read_recipe(model_path(encoder_name))
    missing = store.missing(keys, progress)
    if missing:
        encoder = load_encoder(encoder_name)
        records = frame.select("instruction", "input", "output")
        limit = _CHARACTERS * recipe.max_tokens
        progress.start("embeddings", _readable(records[missing], limit), "characters")
        with store:
            for start in range(0, len(missing), _ROWS_AT_ONCE):
                part = missing[start : start + _ROWS_AT_ONCE]
                _embed_part(
                    encoder, recipe, _texts(records[part]), [keys[i] for i in part], store, progress, dtype
                )
        progress.finish()
    vectors, cut = store.take(keys)
    if cut.any():
        progress.note(
            f"embeddings: {int(cut.sum()):,} of {len(keys):,} rows are longer than {recipe.max_tokens} tokens of "
            f"{encoder_name}, only their first {recipe.max_tokens} count"
        )
    return vectors


def _embed_part(
    encoder: LoadedModel,
    recipe: EncoderRecipe,
    texts: list[str],
    keys: list[str],
    store: VectorStore,
    progress: Progress,
    dtype: str,
) -> None:
    ids, cut = _tokenize(encoder, texts, recipe)
    for rows, vectors in encode(encoder, ids, pooling=recipe.pooling, dtype=dtype):
        empty = [not texts[i].strip() for i in rows]
        vectors[empty] = 0
        store.add([keys[i] for i in rows], vectors, cut[rows])
        progress.advance(sum(min(len(texts[i]), _CHARACTERS * recipe.max_tokens) for i in rows))


def _texts(frame: pl.DataFrame) -> list[str]:
    return [
        f"{prompt}\n{output}" if output else prompt
        for prompt, output in zip(prompt_text(frame).to_list(), frame["output"].to_list(), strict=True)
    ]


def _readable(records: pl.DataFrame, limit: int) -> int:
    return sum(
        sum(min(len(text), limit) for text in _texts(part)) for part in records.iter_slices(_ROWS_AT_ONCE)
    )


def tokenize(encoder: LoadedModel, texts: list[str], recipe: EncoderRecipe | None = None) -> list[list[int]]:
    """Token ids of each text, special tokens included, cut where the recipe cuts."""
    return _tokenize(encoder, texts, recipe or EncoderRecipe())[0]


def _tokenize(
    encoder: LoadedModel, texts: list[str], recipe: EncoderRecipe
) -> tuple[list[list[int]], NDArray[np.bool_]]:
    """Token ids, and whether a text was cut."""
    if recipe.lowercase:
        texts = [text.lower() for text in texts]
    if recipe.prompt:
        texts = [recipe.prompt + text for text in texts]
    encoded = encoder.tokenizer(
        texts, truncation=True, max_length=recipe.max_tokens, return_overflowing_tokens=True,
        return_attention_mask=False, return_token_type_ids=False,
    )  # fmt: skip
    # What did not fit comes as further rows of the same text, after its first.
    source = np.array(encoded["overflow_to_sample_mapping"], dtype=np.int64)
    counts = np.bincount(source, minlength=len(texts))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return [encoded["input_ids"][i] for i in first], counts > 1


def encode(
    encoder: LoadedModel, ids: list[list[int]], *, pooling: str = "mean", dtype: str = "float32"
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Unit-length pooled last hidden states, batch by batch, the longest first.

    Args:
        encoder: a sentence encoder.
        ids: token ids of each text.
        pooling: ``mean`` over tokens, ``cls`` (the first) or ``max``.
        dtype: ``float32`` or ``bfloat16``; pooling is done in float32.

    Yields:
        Positions in ``ids``, and their embeddings, float32 (positions, dimensions).
    """
    import torch

    model = encoder.model.to(getattr(torch, dtype))
    pad = encoder.tokenizer.pad_token_id or 0
    budget = _BATCH_TOKENS if model.device.type == "cpu" else _BATCH_TOKENS_ACCELERATOR
    for rows in bucket([len(one) for one in ids], budget):
        lengths = np.array([len(ids[i]) for i in rows])
        width = int(lengths.max())
        padded = np.full((len(rows), width), pad, dtype=np.int64)
        for line, i in zip(padded, rows, strict=True):
            line[: len(ids[i])] = ids[i]
        inside = torch.from_numpy(np.arange(width) < lengths[:, None]).to(model.device)
        # Attention is quicker without a mask, and most batches of a large pool need none.
        mask = None if (lengths == width).all() else inside.long()
        with torch.inference_mode():
            batch = torch.from_numpy(padded).to(model.device)
            states = model(input_ids=batch, attention_mask=mask).last_hidden_state.float()
            pooled = torch.nn.functional.normalize(_pool(states, inside, pooling), dim=1)
        yield rows, pooled.cpu().numpy()


def _pool(states: Any, inside: Any, pooling: str) -> Any:
    if pooling == "cls":
        return states[:, 0]
    if pooling == "max":
        return states.masked_fill(~inside.unsqueeze(-1), -float("inf")).amax(1)
    weights = inside.unsqueeze(-1).to(states)
    return (states * weights).sum(1) / weights.sum(1)
