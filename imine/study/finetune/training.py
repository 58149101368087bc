"""Finetuning with DeepSpeed: all parameters or adapters, loss on response tokens only."""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from imine.errors import StudyError
from imine.indicators.responses import collate, trainable_tokens
from imine.indicators.templates import EncodedExample
from imine.study.deepspeed_json import zero_stage
from imine.study.finetune.adapters import with_adapters
from imine.study.finetune.engine import start_engine
from imine.study.finetune.ranks import Ranks, check_alone
from imine.study.finetune.schedule import micro_batches, step_batches
from imine.study.recipe import FinetuneConfig


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A finetuned model and what its training did.

    Attributes:
        model: the causal language model, its adapters in it; gone when the context ends.
        adapters: the ``PeftModel`` around ``model``; ``None`` where all parameters were trained.
        trained: number of parameters that were trained.
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
    adapters: Any = None
    trained: int = 0


def check_trainable(examples: Mapping[str, EncodedExample]) -> None:
    """Fail where an example has no token that a loss can be computed on.

    Args:
        examples: tokenised examples by id.

    Raises:
        StudyError: names the first of them.

    Examples:
        >>> check_trainable({"a": EncodedExample([5], [7], 0), "b": EncodedExample([5], [], 0)})
        Traceback (most recent call last):
        ...
        imine.errors.StudyError: 1 of 2 examples have no trainable token, the first with the id b; leave empty...
    """
    if empty := [id for id, example in examples.items() if trainable_tokens(example) < 1]:
        raise StudyError(
            f"{len(empty):,} of {len(examples):,} examples have no trainable token, the first with the id "
            f"{empty[0]}; leave empty responses out"
        )


@contextmanager
def finetuned(
    base: Any,
    examples: Sequence[EncodedExample],
    settings: FinetuneConfig,
    *,
    seed: int,
    pad_id: int,
    ranks: Ranks | None = None,
    in_place: bool = False,
    after_step: Callable[[float], None] | None = None,
) -> Iterator[Finetuned]:
    """Finetune a copy of a model; the copy lives as long as the context.

    The gradient of an optimizer step is that of the mean loss over the step's response tokens, whatever the
    split in micro-batches and over ranks.

    Args:
        base: a causal language model of transformers; not changed.
        examples: tokenised with the end-of-text token; of several ranks, each has all of them.
        settings: recipe.
        seed: of the order of the examples and of torch.
        pad_id: token for the padding.
        ranks: this process among those that train together; by default one alone.
        in_place: train ``base`` itself, and save the memory of a copy.
        after_step: called with the loss of each optimizer step.

    Raises:
        StudyError: an example has no trainable token, the loss is not finite, or a launcher started
            several ranks and ``ranks`` was not given.
        MissingExtraError: DeepSpeed, or for adapters peft, is not installed.
    """
    import torch

    if empty := [i for i, e in enumerate(examples) if trainable_tokens(e) < 1]:
        raise StudyError(
            f"example {empty[0]} of the subset has no trainable token; leave empty responses out"
        )
    if ranks is None:
        check_alone("this finetune")
        ranks = Ranks()
    began = time.monotonic()
    torch.manual_seed(seed)
    steps = step_batches(len(examples), settings, seed)
    model, adapters = _prepared(base, settings, in_place)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    engine = start_engine(model, settings, len(steps), ranks)
    try:
        if ranks.world > 1:
            # Ranks that drop out the same inputs would see less than the recipe says.
            torch.manual_seed(seed * ranks.world + ranks.rank)
        losses: list[float] = []
        padded = 0
        for step in steps:
            loss, width = _optimizer_step(engine, [examples[i] for i in step], settings, pad_id, ranks)
            if not math.isfinite(loss):
                raise StudyError(f"the loss is {loss} at step {len(losses) + 1}; lower learning_rate")
            losses.append(loss)
            padded += width
            if after_step:
                after_step(loss)
        tokens, response = _token_counts(examples, settings.epochs)
        seconds = time.monotonic() - began
        yield Finetuned(model.eval(), tuple(losses), tokens, response, padded, seconds, adapters, trained)
    finally:
        engine.destroy()
        del engine, model, adapters
        gc.collect()


def _prepared(base: Any, settings: FinetuneConfig, in_place: bool) -> tuple[Any, Any]:
    """The model to train, and the ``PeftModel`` around it where there are adapters."""
    if settings.lora is None:
        # A copy of the weights costs a tenth of a second; hooks that ZeRO leaves on parameters go with the copy.
        return (base if in_place else copy.deepcopy(base)).train(), None
    # Stage 3 takes frozen weights apart as well.
    adapters = with_adapters(base, settings.lora, share=zero_stage(settings) < 3, in_place=in_place)
    return adapters.get_base_model().train(), adapters


def _token_counts(examples: Sequence[EncodedExample], epochs: int) -> tuple[int, int]:
    """All tokens and the response tokens of a training."""
    every = sum(len(e.prompt) + len(e.response) for e in examples)
    return every * epochs, sum(trainable_tokens(e) for e in examples) * epochs


def _optimizer_step(
    engine: Any, examples: list[EncodedExample], settings: FinetuneConfig, pad_id: int, ranks: Ranks
) -> tuple[float, int]:
    """Train on the examples of one step; its mean loss, and its tokens with the padding, over all ranks."""
    targets = sum(trainable_tokens(e) for e in examples)
    lengths = [len(e.prompt) + len(e.response) for e in examples]
    groups = micro_batches(lengths, settings.micro_tokens, ranks.rank, ranks.world)
    shortest = lengths.index(min(lengths))
    sums, padded = [], 0
    for i, group in enumerate(groups):
        batch = collate([examples[j] for j in group or [shortest]], pad_id).to(engine.device)
        engine.set_gradient_accumulation_boundary(i == len(groups) - 1)
        loss = engine(batch)
        if group:
            sums.append(loss.detach())
            padded += batch.input_ids.numel()
        # Every micro-batch adds its sum over the step's tokens of all ranks: DeepSpeed must not average over
        # micro-batches again, and that it averages over ranks is undone. A missing one goes through for nothing.
        share = loss / (targets / ranks.world) if group else loss * 0.0
        engine.backward(share, scale_wrt_gas=False)
    engine.step()
    total, padded_sum = ranks.sums(sum(s.item() for s in sums), padded)
    return total / targets, int(padded_sum)
