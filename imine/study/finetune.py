"""Finetuning with DeepSpeed in this process: full parameters, loss on response tokens only."""

from __future__ import annotations

import copy
import gc
import importlib.util
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from imine.errors import MissingExtraError, StudyError
from imine.indicators.responses import TokenBatch, autocast, bucket, collate, token_losses, trainable_tokens
from imine.indicators.templates import EncodedExample
from imine.study.config import FinetuneConfig

# Adding up the gradients of all weights takes about as long as this many tokens of a 135M model on a CPU.
_OVERHEAD = 64


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A finetuned model and what its training did.

    Attributes:
        model: the module; gone when the context ends.
        losses: mean response-token loss of each optimizer step, before the step, in nats.
        tokens: tokens that were trained on, prompts included and padding not, all epochs together.
        response_tokens: those of them that the loss is computed on.
        padded_tokens: ``tokens`` with the padding.
        seconds: wall time of the training, setting up the engine included.
    """

    model: Any
    losses: tuple[float, ...]
    tokens: int
    response_tokens: int
    padded_tokens: int
    seconds: float


def step_batches(count: int, settings: FinetuneConfig, seed: int) -> list[list[int]]:
    """Examples of every optimizer step: a fresh order each epoch, the last step of an epoch may be smaller.

    Args:
        count: number of examples.
        settings: for the batch size and the epochs.
        seed: seed of the run.

    Examples:
        >>> batches = step_batches(5, FinetuneConfig(batch_size=2, epochs=2), seed=1)
        >>> [len(batch) for batch in batches], sorted(sum(batches[:3], []))
        ([2, 2, 1, 2, 2, 1], [0, 1, 2, 3, 4])
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(count).tolist() for _ in range(settings.epochs)]
    size = settings.batch_size
    return [order[i : i + size] for order in orders for i in range(0, count, size)]


def learning_rate_factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """Share of the peak learning rate at a step, counted from 0.

    The warm-up rises linearly to the peak at its last step; the decay never quite reaches 0, since a step
    at rate 0 would be wasted.

    Examples:
        >>> [round(learning_rate_factor(s, 6, 0.3, "cosine"), 3) for s in range(6)]
        [0.5, 1.0, 0.905, 0.655, 0.345, 0.095]
    """
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising + bool(rising)) / (total - rising + 1)
    return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[schedule]


@contextmanager
def finetuned(
    base: Any,
    examples: Sequence[EncodedExample],
    settings: FinetuneConfig,
    *,
    seed: int,
    pad_id: int,
) -> Iterator[Finetuned]:
    """Finetune a copy of a model; the copy lives as long as the context.

    The gradient of an optimizer step is that of the mean loss over the step's response tokens, whatever the
    split in micro-batches.

    Args:
        base: a causal language model of transformers; not changed.
        examples: tokenised with the end-of-text token.
        settings: recipe.
        seed: of the order of the examples and of torch.
        pad_id: token for the padding.

    Raises:
        StudyError: an example has no trainable token, the loss is not finite, or a launcher started
            several ranks.
        MissingExtraError: DeepSpeed is not installed.
    """
    import torch

    if empty := [i for i, e in enumerate(examples) if trainable_tokens(e) < 1]:
        raise StudyError(
            f"example {empty[0]} of the subset has no trainable token; leave empty responses out"
        )
    began = time.monotonic()
    torch.manual_seed(seed)
    steps = step_batches(len(examples), settings, seed)
    # A copy of the weights costs a tenth of a second; hooks that ZeRO leaves on parameters go with the copy.
    model = copy.deepcopy(base).train()
    engine = _engine(_ResponseLoss(model, settings.dtype), settings, len(steps))
    try:
        losses: list[float] = []
        padded = 0
        for step in steps:
            loss, width = _optimizer_step(engine, [examples[i] for i in step], settings, pad_id)
            if not math.isfinite(loss):
                raise StudyError(f"the loss is {loss} at step {len(losses) + 1}; lower learning_rate")
            losses.append(loss)
            padded += width
        counts = np.array([(len(e.prompt) + len(e.response), trainable_tokens(e)) for e in examples])
        tokens, response = (counts.sum(axis=0) * settings.epochs).tolist()
        yield Finetuned(model.eval(), tuple(losses), tokens, response, padded, time.monotonic() - began)
    finally:
        engine.destroy()
        del engine, model
        gc.collect()


def _optimizer_step(
    engine: Any, examples: list[EncodedExample], settings: FinetuneConfig, pad_id: int
) -> tuple[float, int]:
    targets = sum(trainable_tokens(e) for e in examples)
    groups = bucket([len(e.prompt) + len(e.response) for e in examples], settings.micro_tokens, _OVERHEAD)
    total, padded = 0.0, 0
    for i, group in enumerate(groups):
        batch = collate([examples[j] for j in group], pad_id).to(engine.device)
        engine.set_gradient_accumulation_boundary(i == len(groups) - 1)
        loss = engine(batch)
        total += loss.item()
        padded += batch.input_ids.numel()
        # Every micro-batch adds its sum over the step's tokens: DeepSpeed must not average over them again.
        engine.backward(loss / targets, scale_wrt_gas=False)
    engine.step()
    return total / targets, padded


def _ResponseLoss(model: Any, dtype: str) -> Any:
    import torch

    class ResponseLoss(torch.nn.Module):
        """Summed response-token loss: what DeepSpeed takes for the model."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: TokenBatch) -> Any:
            with autocast(dtype, batch.input_ids.device):
                return token_losses(self.model, batch).sum()

    return ResponseLoss()


def _engine(module: Any, settings: FinetuneConfig, steps: int) -> Any:
    import torch

    deepspeed = _deepspeed()
    # Fused: a quarter of the time of the plain loop on a CPU, where memory is what it waits for.
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, settings.warmup, settings.schedule)
    )
    engine, *_ = deepspeed.initialize(
        model=module, optimizer=optimizer, lr_scheduler=schedule, config=deepspeed_config(settings)
    )
    if settings.zero_stage == 0:
        # A group of one has nothing to reduce, and copying all gradients there and back is not free.
        engine.enable_backward_allreduce = False
    return engine


def deepspeed_config(settings: FinetuneConfig) -> dict[str, Any]:
    """The DeepSpeed configuration of a recipe.

    Micro-batches vary in size and number, so their sizes here are nominal: the boundary of each optimizer
    step is set by hand.

    Examples:
        >>> deepspeed_config(FinetuneConfig(zero_stage=2))["zero_optimization"]["stage"]
        2
    """
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.clip,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
        # The default bucket of 5e8 numbers takes 2 GB whatever the model.
        "zero_optimization": {
            "stage": settings.zero_stage,
            "overlap_comm": False,
            "reduce_bucket_size": 50_000_000,
            "allgather_bucket_size": 50_000_000,
        },
    }


def check_training() -> None:
    """Fail, without importing anything, where DeepSpeed is not installed.

    Raises:
        MissingExtraError: with the install line.
    """
    if importlib.util.find_spec("deepspeed") is None:
        raise _missing("deepspeed")


def _missing(package: str | None) -> MissingExtraError:
    return MissingExtraError(
        f'{package} is not installed; finetuning needs the extra: pip install "imine[train]"'
    )


def _deepspeed() -> Any:
    """Import DeepSpeed and make this process a group of one: no launcher, no ports, no compiler."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise StudyError("a study runs in one process; start it without deepspeed or torchrun")
    os.environ.setdefault("LOCAL_RANK", "0")
    try:
        import deepspeed
    except ModuleNotFoundError as error:
        raise _missing(error.name) from error
    import logging

    import torch
    import torch.distributed as dist

    deepspeed.utils.logger.setLevel(logging.WARNING)
    # One process needs no shared-memory reduction, and DeepSpeed would compile it for a minute at first use.
    # The table is half private: where it is gone, the compiling is back and nothing else.
    operators = getattr(deepspeed.ops, "__compatible_ops__", None)
    if isinstance(operators, dict):
        operators["deepspeed_shm_comm"] = False
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    return deepspeed
