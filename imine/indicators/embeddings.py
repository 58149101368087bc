"""Unit-length sentence embeddings of whole examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imine.indicators.batches import run_batches
from imine.indicators.encoders import MAX_TOKENS, EncoderRecipe, read_recipe
from imine.indicators.models import LoadedModel, load_encoder, model_path
from imine.indicators.processes import Work, run_in_processes
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
    devices: Sequence[str] = (),
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings of instruction, input and output of every row; what the store has is not computed again.

    Long text: what is beyond the encoder's own length is cut off, and how many rows that concerns is noted.

    Args:
        frame: records.
        keys: content key of each row.
        encoder_name: name or folder of the encoder.
        store: where finished rows are kept.
        progress: told of the characters done, those beyond what can be read left out.
        dtype: ``float32`` or ``bfloat16``, of the encoder's weights and states.
        devices: where the encoder runs, one process each if there are several; empty for the one that is found.

    Returns:
        (rows, dimensions), of unit length; all zeros where a row has no text at all. And (rows,), how many tokens of
        each were cut.
    """
    recipe = read_recipe(model_path(encoder_name))
    missing = store.missing(keys, progress)
    if missing:
        records = frame.select("instruction", "input", "output")[missing]
        limit = _CHARACTERS * recipe.max_tokens
        progress.start("embeddings", _readable(records, limit), "characters")
        pieces = _Pieces(records, -(-len(missing) // max(1, len(devices))))
        prepare = partial(_prepare, encoder_name, recipe, dtype)
        with store:
            for piece, (rows, vectors, cut) in _run(prepare, pieces, devices, progress):
                at = pieces.rows(piece, rows)
                store.add([keys[missing[i]] for i in at], vectors, cut)
                progress.advance(sum(min(len(text), limit) for text in _texts(records[at])))
        progress.finish()
    vectors, cut = store.take(keys)
    if cut.any():
        progress.note(
            f"embeddings: {int((cut > 0).sum()):,} of {len(keys):,} rows are longer than {recipe.max_tokens} tokens of "
            f"{encoder_name}, only their first {recipe.max_tokens} count"
        )
    return vectors, cut


class _Pieces(Sequence[list[str]]):
    """Texts of a pool, so many rows at a time, made when they are asked for."""

    def __init__(self, records: pl.DataFrame, most: int) -> None:
        self._records, self._size = records, max(1, min(_ROWS_AT_ONCE, most))

    def __len__(self) -> int:
        return -(-self._records.height // self._size)

    @overload
    def __getitem__(self, piece: int) -> list[str]: ...
    @overload
    def __getitem__(self, piece: slice) -> list[list[str]]: ...
    def __getitem__(self, piece: int | slice) -> list[str] | list[list[str]]:
        if isinstance(piece, slice):
            return [self[i] for i in range(*piece.indices(len(self)))]
        if not 0 <= piece < len(self):
            raise IndexError(piece)
        return _texts(self._records[piece * self._size : (piece + 1) * self._size])

    def rows(self, piece: int, positions: list[int]) -> list[int]:
        """Rows of the pool at these positions of a piece."""
        return [piece * self._size + i for i in positions]


_Embedded = tuple[list[int], NDArray[np.float32], NDArray[np.int64]]


def _run(
    prepare: partial[Work], pieces: _Pieces, devices: Sequence[str], progress: Progress
) -> Iterator[tuple[int, _Embedded]]:
    if len(devices) > 1:
        yield from run_in_processes(prepare, pieces, devices, progress)
        return
    work = prepare(devices[0] if devices else None)
    for piece, texts in enumerate(pieces):
        for done in work(texts, progress):
            yield piece, done


def _prepare(encoder_name: str, recipe: EncoderRecipe, dtype: str, device: str | None) -> Work:
    """The encoder on a device, ready for pieces of texts: positions, embeddings and the tokens that were cut."""
    encoder = load_encoder(encoder_name, on=device)

    def work(texts: list[str], progress: Progress) -> Iterator[_Embedded]:
        ids, cut = _tokenize(encoder, texts, recipe)
        for rows, vectors in encode(encoder, ids, pooling=recipe.pooling, dtype=dtype, progress=progress):
            vectors[[not texts[i].strip() for i in rows]] = 0
            yield rows, vectors, cut[rows]

    return work


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
) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Token ids of each text, and how many of its tokens were cut."""
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
    sizes = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
    sizes -= encoder.tokenizer.num_special_tokens_to_add()
    whole = np.bincount(source, weights=sizes, minlength=len(texts)).astype(np.int64)
    return [encoded["input_ids"][i] for i in first], whole - sizes[first]


def encode(
    encoder: LoadedModel,
    ids: list[list[int]],
    *,
    pooling: str = "mean",
    dtype: str = "float32",
    progress: Progress | None = None,
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Unit-length pooled last hidden states, batch by batch, the longest first.

    Args:
        encoder: a sentence encoder.
        ids: token ids of each text.
        pooling: ``mean`` over tokens, ``cls`` (the first) or ``max``.
        dtype: ``float32`` or ``bfloat16``; pooling is done in float32.
        progress: told when memory ran out, after which batches are smaller.

    Yields:
        Positions in ``ids``, and their embeddings, float32 (positions, dimensions).

    Raises:
        MemoryError: not even a single text fits.
    """
    import torch

    model = encoder.model.to(getattr(torch, dtype))
    pad = encoder.tokenizer.pad_token_id or 0
    budget = _BATCH_TOKENS if model.device.type == "cpu" else _BATCH_TOKENS_ACCELERATOR

    def compute(rows: list[int]) -> NDArray[np.float32]:
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
            pooled: NDArray[np.float32] = (
                torch.nn.functional.normalize(_pool(states, inside, pooling), dim=1).cpu().numpy()
            )
        return pooled

    for done in run_batches([len(one) for one in ids], compute, max_tokens=budget, progress=progress):
        if done.why:
            raise MemoryError(f"embeddings: {done.why}")
        yield done.rows, done.values


def _pool(states: Any, inside: Any, pooling: str) -> Any:
    if pooling == "cls":
        return states[:, 0]
    if pooling == "max":
        return states.masked_fill(~inside.unsqueeze(-1), -float("inf")).amax(1)
    weights = inside.unsqueeze(-1).to(states)
    return (states * weights).sum(1) / weights.sum(1)
