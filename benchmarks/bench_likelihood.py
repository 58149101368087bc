"""The stage ``likelihood`` against the bare model and against the usual loop, on real rows, in one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pools import TEXTS, Pool, text_bytes

from imine.bench.plugin import Paired
from imine.errors import ModelNotFoundError
from imine.indicators.devices import choose_dtype, find_devices
from imine.indicators.likelihood import batch_budget, example_losses
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.indicators.templates import TEMPLATES, EncodedExample, encode_examples

MAX_TOKENS = 256
# What the loop of single examples is held to: never slower, and quicker where the hardware has bfloat16 units.
_LOOP_TARGETS = {("cpu", "float32"): ">= 1.0", ("cpu", "bfloat16"): ">= 2.5", ("cuda", "bfloat16"): ">= 8.0"}


@pytest.fixture(scope="module")
def rows(pool: Pool, data_folder: Path | None, quick: bool, note: Callable[[str], None]) -> pl.DataFrame:
    """Rows of alpaca where it is at hand, else of the pool."""
    file = None if data_folder is None else data_folder / "alpaca.parquet"
    frame, source = pool.rows, pool.source
    if file is not None and file.is_file():
        frame, source = pl.read_parquet(file).select(pl.col(TEXTS).cast(pl.String).fill_null("")), "alpaca"
    count = (8 if quick else 48) if find_devices() == ("cpu",) else 2000
    note(f"likelihood: {count} rows of {source}, alpaca template, at most {MAX_TOKENS} tokens")
    return frame.filter(pl.col("output") != "").sample(count, seed=0)


@pytest.fixture(scope="module")
def lm(note: Callable[[str], None]) -> LoadedModel:
    device = find_devices()[0]
    dtype = choose_dtype("auto", (device,))
    note(f"likelihood: smollm2-135m in {dtype} on {device.partition(':')[0]}")
    try:
        return load_causal_lm(dtype=dtype, on=device)
    except ModelNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def examples(lm: LoadedModel, rows: pl.DataFrame) -> list[EncodedExample]:
    texts = [rows[name].to_list() for name in TEXTS]
    return encode_examples(lm.tokenizer, TEMPLATES["alpaca"], *texts, max_tokens=MAX_TOKENS, add_eos=False)


def packed(lm: LoadedModel, examples: list[EncodedExample]) -> Callable[[], object]:
    """Forward passes of the bare model over as many tokens in full batches: no padding, no loss."""
    import torch

    tokens = sum(len(e.prompt) + len(e.response) for e in examples)
    flat = torch.tensor(
        [token for e in examples for token in (*e.prompt, *e.response)], device=lm.model.device
    )
    high = batch_budget(lm.model.device.type) // MAX_TOKENS
    whole = flat[: tokens - tokens % MAX_TOKENS].view(-1, MAX_TOKENS).split(high)
    last = flat[tokens - tokens % MAX_TOKENS :][None]

    def run() -> None:
        with torch.inference_mode():
            for ids in (*whole, last):
                if ids.numel():
                    finish(lm.model(input_ids=ids, use_cache=False).logits)

    return run


def loop(lm: LoadedModel, examples: list[EncodedExample]) -> Callable[[], object]:
    """What is usually written: one example at a time in float32, transformers' own loss with a mask of -100."""
    import torch

    exact = (
        load_causal_lm(dtype="float32", on=str(lm.model.device)).model
        if lm.model.dtype != torch.float32
        else lm.model
    )

    def run() -> None:
        with torch.inference_mode():
            for e in examples:
                ids = torch.tensor([e.prompt + e.response], device=exact.device)
                labels = torch.tensor([[-100] * len(e.prompt) + e.response], device=exact.device)
                exact(input_ids=ids, labels=labels, use_cache=False).loss.item()

    return run


def finish(logits: Any) -> None:
    """Wait for an accelerator, which works on behind the program."""
    if logits.device.type == "cuda":
        import torch

        torch.cuda.synchronize()


def bench_loss_against_packed(
    paired: Paired, lm: LoadedModel, rows: pl.DataFrame, examples: list[EncodedExample]
) -> None:
    """Losses of rows as they are against the bare model on as many tokens in full batches, type and device the same."""
    paired(
        lambda: example_losses(lm, examples),
        packed(lm, examples),
        name="bare model, packed",
        rows=len(examples),
        bytes=text_bytes(rows, TEXTS),
        target=">= 0.8",
    )


def bench_loss_against_loop(
    paired: Paired, lm: LoadedModel, rows: pl.DataFrame, examples: list[EncodedExample]
) -> None:
    """Losses of rows against the loop of single examples in float32."""
    dtype = str(lm.model.dtype).removeprefix("torch.")
    paired(
        lambda: example_losses(lm, examples),
        loop(lm, examples),
        name="loop of examples, float32",
        rows=len(examples),
        bytes=text_bytes(rows, TEXTS),
        target=_LOOP_TARGETS.get((lm.model.device.type, dtype), ">= 1.0"),
    )
