"""Memory and disk that a study takes."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from imine.study.deepspeed_json import zero_stage
from imine.study.design import Subset, design_frame
from imine.study.planning.parts import Amount, EvaluationPlan
from imine.study.recipe import FinetuneConfig

_FLOAT = 4
# Of a number in a ledger, with its comma: losses have up to 18 digits.
_ALIKE = 1.2345678901234567


def memory_of(
    parameters: int, vocabulary: int, settings: FinetuneConfig, trained: int | None = None
) -> tuple[Amount, ...]:
    """Memory of a finetune by part, without the activations, which the batches decide.

    Weights, gradients and optimizer count as float32 whatever ``dtype``, which is that of the matrix products. An
    optimizer that the user's DeepSpeed JSON names is counted as AdamW.

    Args:
        parameters: weights of the base model.
        vocabulary: entries of its output.
        settings: the recipe.
        trained: weights that are trained, those of the adapters where there are some; by default all.

    Examples:
        >>> parts = memory_of(1_000_000, 500, FinetuneConfig())
        >>> [(part.name, part.bytes) for part in parts[:4]]
        [('base weights', 4000000), ('weights', 4000000), ('gradients', 4000000), ('optimizer', 8000000)]
        >>> parts = memory_of(1_000_000, 500, FinetuneConfig(lora={}), trained=2_000)
        >>> [(part.name, part.bytes) for part in parts[:4]]
        [('base weights', 4000000), ('adapters', 8000), ('gradients', 8000), ('optimizer', 16000)]
    """
    weights, stage = _FLOAT * parameters, zero_stage(settings)
    own = weights if trained is None else _FLOAT * trained
    parts = [Amount("base weights", weights, "float32, kept from run to run")]
    if settings.lora is None or stage == 3:
        # Stage 3 takes weights apart that others would share.
        parts.append(Amount("weights", weights, "float32, the copy that is trained"))
    if settings.lora is not None:
        parts.append(Amount("adapters", own, "float32, beside the frozen weights"))
    parts += [
        Amount("gradients", own, "float32"),
        Amount("optimizer", 2 * own, "two moments of AdamW, float32"),
    ]
    if stage:
        parts.append(Amount("optimizer's weights", own, "ZeRO keeps a float32 copy of what it updates"))
    tokens = max(settings.micro_tokens, settings.max_tokens)
    logits = 3 * _FLOAT * tokens * vocabulary
    parts.append(Amount("logits, at most", logits, f"{tokens:,} tokens, with their softmax and gradient"))
    return tuple(parts)


def disk_of(
    subsets: Sequence[Subset],
    steps: int,
    evaluation: Sequence[EvaluationPlan],
    distinct: int,
    indicators: int,
    reference_rows: int,
) -> tuple[Amount, ...]:
    """Disk that the results take, by file.

    Args:
        subsets: the design.
        steps: optimizer steps of all runs.
        evaluation: the evaluation sets.
        distinct: rows that get indicators.
        indicators: their number.
        reference_rows: rows of the reference set.
    """
    runs = len(subsets)
    record = {
        "train_losses": [_ALIKE] * math.ceil(steps / max(runs, 1)),
        "evaluation": {
            part.name: {
                "loss": _ALIKE,
                "sums": [100 * _ALIKE] * part.once.rows,
                "tokens": [100] * part.once.rows,
                "right": [100] * part.once.rows,
            }
            for part in evaluation
        },
    }
    # The other fields of a record take about a thousand characters.
    line = len(json.dumps(record)) + 1000
    buffer = io.BytesIO()
    design_frame(subsets).write_parquet(buffer)
    found = [
        Amount("ledger.jsonl", line * (runs + 1), f"about {line:,} bytes a run"),
        Amount("design.parquet", buffer.tell(), "as it is written"),
        Amount("scores.parquet", distinct * (32 + 8 * indicators), "before compression"),
    ]
    if reference_rows:
        found.append(Amount("reference.npz", reference_rows * 384 * _FLOAT, "384 numbers a row"))
    return tuple(found)


def free_bytes(folder: Path) -> int:
    """Bytes free where a folder is or will be."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
