"""How likely a causal language model finds responses: given their prompts, and alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import polars as pl

from imine.columns import require_column
from imine.indicators.batches import run_batches
from imine.indicators.cache import ScoreStore
from imine.indicators.devices import find_devices
from imine.indicators.models import LoadedModel, load_causal_lm, load_tokenizer
from imine.indicators.prefix import PrefixCache, shared_prefix
from imine.indicators.processes import Work, run_in_processes
from imine.indicators.responses import collate, response_sums, trainable_tokens
from imine.indicators.templates import EncodedExample, PromptTemplate, encode_examples, start_tokens
from imine.progress import Progress, SilentProgress

Given = Literal["prompt", "nothing"]
"""What a response is read after: its prompt, or nothing but the token that the tokenizer puts before every text."""

STORED = pl.Struct({"loss": pl.Float64, "tokens": pl.Int64, "cut": pl.Int64})
"""What the store keeps of a row: the mean loss, over how many tokens, and how many tokens were cut."""

# Padded tokens a batch.
_BATCH_TOKENS = {"cpu": 2048, "mps": 8192, "cuda": 32768}
# Leading tokens that tell one layout of a template from another, and the rows from which a prefix pays.
_HEAD_KEY = 24
_WORTH_A_PREFIX = 16
# Batches in what one of several processes does at a time.
_BATCHES_A_PIECE = 16

_NO_TOKENS = "the response has no tokens"
_ONE_TOKEN = "the response has a single token, and the tokenizer puts none before it that could predict it"
_NOT_FINITE = "the model's loss is not a finite number"


@dataclass(frozen=True, slots=True)
class LossSettings:
    """How the model is run.

    Attributes:
        model: name or folder of the model.
        template: prompt template.
        max_tokens: longest prompt and response together, see :func:`encode_examples`.
        dtype: number type of the weights, ``float32`` or ``bfloat16``.
        devices: one process each; empty for what is found.
        batch_tokens: most padded tokens of a batch; 0 for what suits the device.
    """

    model: str
    template: PromptTemplate
    max_tokens: int
    dtype: str = "float32"
    devices: tuple[str, ...] = ()
    batch_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Examples that are scored together.

    Attributes:
        given: what the responses are read after.
        rows: number of each example among those to be scored.
        examples: token ids.
        head: first tokens of all prompts, read once.
    """

    given: Given
    rows: list[int]
    examples: list[EncodedExample]
    head: list[int]


@dataclass(frozen=True, slots=True)
class PieceLosses:
    """Losses of one batch.

    Attributes:
        given: what the responses were read after.
        rows: number of each example among those to be scored.
        losses: mean negative log-likelihood of a response token, in nats; nulls where memory ran out.
        why: reason of that, else ``None``.
    """

    given: Given
    rows: list[int]
    losses: list[float | None]
    why: str | None


def loss_fingerprint(
    name: str,
    model_name: str,
    model_sha256: str,
    tokenizer_sha256: str,
    template: PromptTemplate,
    max_tokens: int,
    dtype: str,
    start_tokens: Sequence[int] = (),
) -> dict[str, Any]:
    """What makes a column of the stage ``likelihood``; start tokens only where the tokenizer has them."""
    # Values without this key were made when a prompt that was cut lost its start tokens.
    start = {"start_tokens": list(start_tokens)} if start_tokens else {}
    return {
        "indicator": name,
        "version": require_column(name).version,
        "model": {"name": model_name, "sha256": model_sha256},
        "tokenizer": {"name": model_name, "sha256": tokenizer_sha256},
        "template": {"name": template.name, "sha256": template.sha256},
        "max_tokens": max_tokens,
        "dtype": dtype,
        **start,
    }


def score_losses(
    frame: pl.DataFrame,
    keys: list[str],
    *,
    stores: Mapping[Given, ScoreStore],
    settings: LossSettings,
    progress: Progress,
) -> dict[Given, pl.DataFrame]:
    """Mean loss of every response; what the stores have is not computed again.

    Args:
        frame: records, with ``instruction``, ``input`` and ``output``.
        keys: content key of each row.
        stores: where finished rows are kept, of :data:`STORED`; what they are asked for is computed.
        settings: how the model is run.
        progress: told of the tokens done, of what is computed anew and why, and of rows that were cut.

    Returns:
        For each store one row a row of ``frame``: ``loss`` (Float64, nats a token), ``tokens`` (Int64, what it is the
        mean of), ``cut`` (Int64, tokens of prompt and response that did not fit), ``why`` (reason of a null loss).
    """
    rows = sorted({row for store in stores.values() for row in store.missing(keys, progress)})
    if rows:
        _compute(frame[rows], [keys[row] for row in rows], stores, settings, progress)
    columns = {given: store.column(keys).unnest("value") for given, store in stores.items()}
    if columns:
        _tell_cuts(next(iter(columns.values()))["cut"], settings.max_tokens, progress)
    return columns


def _compute(
    frame: pl.DataFrame,
    keys: list[str],
    stores: Mapping[Given, ScoreStore],
    settings: LossSettings,
    progress: Progress,
) -> None:
    """Losses of rows that some store misses, into the stores as they come."""
    devices = settings.devices or find_devices()
    lm = load_causal_lm(settings.model, settings.dtype, on=devices[0]) if len(devices) == 1 else None
    tokenizer = lm.tokenizer if lm else load_tokenizer(settings.model)
    columns = [frame[name].to_list() for name in ("instruction", "input", "output")]
    examples = encode_examples(
        tokenizer, settings.template, *columns, max_tokens=settings.max_tokens, add_eos=False
    )
    texts = {given: _after(given, examples, start_tokens(tokenizer)) for given in stores}
    rows = {given: [i for i, key in enumerate(keys) if key not in stores[given].values] for given in stores}
    pieces = [piece for given in stores for piece in _pieces(given, texts[given], rows[given])]
    progress.start("likelihood", sum(_length(e) for piece in pieces for e in piece.examples), "tokens")
    run = _run_here(lm, pieces, settings, progress) if lm else _run_there(pieces, devices, settings, progress)
    with ExitStack() as stack:
        for given, store in stores.items():
            stack.enter_context(store)
            _keep_unscorable(store, keys, texts[given], rows[given])
        for done in run:
            for i, loss in zip(done.rows, done.losses, strict=True):
                _keep(stores[done.given], keys[i], texts[done.given][i], loss, done.why)
                progress.advance(_length(texts[done.given][i]))
    progress.finish()


def _keep_unscorable(
    store: ScoreStore, keys: list[str], examples: list[EncodedExample], rows: list[int]
) -> None:
    for i in rows:
        if trainable_tokens(examples[i]) < 1:
            why = _ONE_TOKEN if examples[i].response else _NO_TOKENS
            store.add(keys[i], _kept(None, examples[i], 0), why)


def _kept(loss: float | None, example: EncodedExample, tokens: int) -> dict[str, Any]:
    return {"loss": loss, "tokens": tokens, "cut": example.truncated}


def _keep(store: ScoreStore, key: str, example: EncodedExample, loss: float | None, why: str | None) -> None:
    tokens = trainable_tokens(example)
    if loss is None:
        # Another machine, or this one at another time, may have the memory: say so, and do not keep it.
        store.values[key] = (_kept(None, example, 0), why)
    elif math.isfinite(loss):
        store.add(key, _kept(loss, example, tokens))
    else:
        store.add(key, _kept(None, example, 0), _NOT_FINITE)


def _after(given: Given, examples: list[EncodedExample], start: list[int]) -> list[EncodedExample]:
    """The examples, or their responses alone: the same tokens of them, so that the two can be compared."""
    if given == "prompt":
        return examples
    return [EncodedExample(start, e.response, e.truncated) for e in examples]


def _length(example: EncodedExample) -> int:
    return len(example.prompt) + len(example.response)


def _pieces(given: Given, examples: list[EncodedExample], rows: Sequence[int]) -> Iterator[Piece]:
    """Rows that share a long beginning of their prompts, with that beginning; truncated rows share none."""
    whole: dict[tuple[int, ...], list[int]] = {}
    rest = []
    for i in rows:
        example = examples[i]
        if trainable_tokens(example) < 1:
            continue
        if example.truncated or given == "nothing":
            rest.append(i)
        else:
            whole.setdefault(tuple(example.prompt[:_HEAD_KEY]), []).append(i)
    for some in whole.values():
        if len(some) >= _WORTH_A_PREFIX:
            head = examples[some[0]].prompt[: shared_prefix(examples, some)]
            yield Piece(given, some, [examples[i] for i in some], head)
        else:
            rest += some
    if rest:
        yield Piece(given, rest, [examples[i] for i in rest], [])


def piece_losses(
    lm: LoadedModel, piece: Piece, batch_tokens: int, progress: Progress
) -> Iterator[PieceLosses]:
    """Losses of the examples of a piece, the longest first, so that padding and time left stay honest.

    Args:
        lm: the model.
        piece: examples with at least one token to be predicted each.
        batch_tokens: most padded tokens of a batch.
        progress: told when memory ran out.
    """
    import torch

    with torch.inference_mode():
        cache = PrefixCache(lm.model, piece.head)
        rest = [EncodedExample(e.prompt[cache.length :], e.response, e.truncated) for e in piece.examples]

        def compute(rows: list[int]) -> list[float]:
            batch = collate([rest[k] for k in rows], lm.tokenizer.pad_token_id).to(lm.model.device)
            sums = response_sums(lm.model, batch, cache.lend(len(rows))).tolist()
            return [s / trainable_tokens(piece.examples[k]) for s, k in zip(sums, rows, strict=True)]

        lengths = [_length(e) for e in rest]
        for batch in run_batches(lengths, compute, max_tokens=batch_tokens, progress=progress):
            losses = [None] * len(batch.rows) if batch.values is None else batch.values
            yield PieceLosses(piece.given, [piece.rows[k] for k in batch.rows], losses, batch.why)


def example_losses(
    lm: LoadedModel, examples: list[EncodedExample], batch_tokens: int = 0, progress: Progress | None = None
) -> list[float | None]:
    """Mean loss of each example's response given its prompt, with a model that is loaded already.

    Args:
        lm: the model.
        examples: token ids.
        batch_tokens: most padded tokens of a batch; 0 for what suits the device.
        progress: told when memory ran out.

    Returns:
        In nats a token; ``None`` where there is nothing to predict or memory did not suffice.
    """
    found: list[float | None] = [None] * len(examples)
    budget = batch_tokens or batch_budget(lm.model.device.type)
    for piece in _pieces("prompt", examples, range(len(examples))):
        for done in piece_losses(lm, piece, budget, progress or SilentProgress()):
            for i, loss in zip(done.rows, done.losses, strict=True):
                found[i] = loss
    return found


def batch_budget(device: str) -> int:
    """Most padded tokens of a batch where nothing was said, by the type of the device.

    Examples:
        >>> batch_budget("cpu")
        2048
    """
    return _BATCH_TOKENS[device.partition(":")[0]]


def _run_here(
    lm: LoadedModel, pieces: list[Piece], settings: LossSettings, progress: Progress
) -> Iterator[PieceLosses]:
    for piece in pieces:
        yield from piece_losses(
            lm, piece, settings.batch_tokens or batch_budget(lm.model.device.type), progress
        )


def _run_there(
    pieces: list[Piece], devices: tuple[str, ...], settings: LossSettings, progress: Progress
) -> Iterator[PieceLosses]:
    budget = settings.batch_tokens or batch_budget(devices[0])
    small = [part for piece in pieces for part in _split(piece, budget * _BATCHES_A_PIECE)]
    small.sort(key=lambda piece: -sum(map(_length, piece.examples)))
    prepare = partial(_prepare, settings.model, settings.dtype, budget)
    for _, losses in run_in_processes(prepare, small, devices, progress):
        yield losses


def _prepare(model: str, dtype: str, batch_tokens: int, device: str) -> Work:
    """What each process does first: load the model on its device."""
    lm = load_causal_lm(model, dtype, on=device)
    work: Callable[[Piece, Progress], Iterator[PieceLosses]] = lambda piece, progress: piece_losses(  # noqa: E731
        lm, piece, batch_tokens, progress
    )
    return work


def _split(piece: Piece, tokens: int) -> Iterator[Piece]:
    """Parts of a piece with examples of similar length and about so many tokens."""
    order = sorted(range(len(piece.rows)), key=lambda k: -_length(piece.examples[k]))
    ends = np.cumsum([_length(piece.examples[k]) for k in order]) // tokens
    for part in range(int(ends[-1]) + 1):
        some = [k for k, end in zip(order, ends, strict=True) if end == part]
        if some:
            yield Piece(
                piece.given, [piece.rows[k] for k in some], [piece.examples[k] for k in some], piece.head
            )


def _tell_cuts(cut: pl.Series, max_tokens: int, progress: Progress) -> None:
    some = cut.filter(cut > 0)
    if some.len():
        progress.note(
            f"likelihood: {some.len():,} of {cut.len():,} rows were longer than {max_tokens:,} tokens and were cut, "
            f"by {float(np.median(some)):,.0f} tokens in the median"
        )
