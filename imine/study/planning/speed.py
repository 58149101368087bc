"""Tokens a second, measured on a few steps or taken from the runs of a ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from imine.indicators.responses import bucket
from imine.indicators.templates import EncodedExample
from imine.study.ledger import Ledger
from imine.study.planning.counting import padded
from imine.study.planning.parts import Speed
from imine.study.recipe import FinetuneConfig

_MIB = 1024 * 1024


def measure_speed(
    lm: Any,
    examples: Sequence[EncodedExample],
    evaluation: Sequence[EncodedExample],
    settings: FinetuneConfig,
    *,
    steps: int = 2,
) -> Speed:
    """Time a few training steps and a few evaluations of the real base model on this device.

    One finetune of a single short example comes first and is not counted: it holds imports and first
    allocations. A second of the same kind gives the set-up of a finetune, a third of ``steps`` full steps the
    rate.

    Args:
        lm: base model with ``model`` and ``tokenizer``.
        examples: tokenised training examples, at least one; some of all lengths are used.
        evaluation: tokenised evaluation examples, at least one.
        settings: the training recipe.
        steps: optimizer steps to time.

    Raises:
        ValueError: no example, or no step.
        StudyError: the training fails.
    """
    from imine.study.evaluate import evaluate

    if not examples or not evaluation or steps < 1:
        raise ValueError("a measurement needs examples of both kinds and at least one step")
    once = settings.model_copy(update={"epochs": 1})
    short = [min(examples, key=lambda e: len(e.prompt) + len(e.response))]
    _finetune(lm, short, once)
    setup, _ = _finetune(lm, short, once)
    seconds, width = _finetune(lm, _spread(examples, steps * settings.batch_size), once)
    taken = _spread(evaluation, max(1, 4 * settings.micro_tokens // settings.max_tokens))
    lengths = [len(e.prompt) + len(e.response) for e in taken]
    began = time.monotonic()
    evaluate(
        lm.model,
        taken,
        pad_id=lm.tokenizer.pad_token_id,
        micro_tokens=settings.micro_tokens,
        dtype=settings.dtype,
    )
    read = time.monotonic() - began
    # On a busy machine the set-up can take longer than set-up and steps together did: then it counts as none.
    working = seconds - setup if seconds > setup else seconds
    peak, where = _peak(lm.model)
    return Speed(
        train=width / working,
        evaluate=padded(lengths, bucket(lengths, settings.micro_tokens)) / read,
        setup=setup,
        source=f"measured here: {steps} training steps, {len(taken)} evaluation rows",
        peak_mb=peak,
        where=where,
    )


def _finetune(lm: Any, examples: Sequence[EncodedExample], settings: FinetuneConfig) -> tuple[float, int]:
    from imine.study.finetune import finetuned

    with finetuned(lm.model, examples, settings, seed=0, pad_id=lm.tokenizer.pad_token_id) as tuned:
        return tuned.seconds, tuned.padded_tokens


def _spread(examples: Sequence[EncodedExample], count: int) -> list[EncodedExample]:
    """So many examples, evenly over all lengths."""
    ordered = sorted(examples, key=lambda e: len(e.prompt) + len(e.response))
    count = min(count, len(ordered))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]


def _peak(model: Any) -> tuple[float, str]:
    """Largest memory so far, in MiB: that of the accelerator where the model is on one."""
    import resource

    import torch

    device = next(model.parameters()).device
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB, "the accelerator"
    # The kernel counts KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "this process"


def speed_of_ledger(ledger: Ledger, evaluation_padded: int) -> Speed | None:
    """The speed of the runs that a ledger holds; ``None`` where it holds none.

    Args:
        ledger: of the study.
        evaluation_padded: padded tokens of one evaluation of all sets.

    Examples:
        >>> from pathlib import Path
        >>> run = {"kind": "run", "run": 0, "padded_tokens": 600, "seconds_train": 3.0,
        ...        "seconds_evaluate": 2.0, "peak_rss_mb": 900, "device": "cpu"}
        >>> speed_of_ledger(Ledger(Path("ledger.jsonl"), [run]), 1000)
        Speed(train=200.0, evaluate=500.0, setup=0.0, source='from 1 run of the ledger, on cpu', \
peak_mb=900, where='the process of the runs')
    """
    runs: Sequence[Mapping[str, Any]] = list(ledger.runs.values())
    if not runs:
        return None
    devices = ", ".join(sorted({run["device"] for run in runs}))
    return Speed(
        train=sum(run["padded_tokens"] for run in runs) / sum(run["seconds_train"] for run in runs),
        evaluate=evaluation_padded * len(runs) / sum(run["seconds_evaluate"] for run in runs),
        setup=0.0,
        source=f"from {len(runs)} run{'s' if len(runs) > 1 else ''} of the ledger, on {devices}",
        peak_mb=max(run["peak_rss_mb"] for run in runs),
        where="the process of the runs",
    )
