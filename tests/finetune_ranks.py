"""What every rank does in the tests of several; rank 0 writes what came of it. Start it with torchrun.

torchrun --standalone --nproc-per-node 2 -m tests.finetune_ranks FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from imine.study.evaluate import evaluate
from imine.study.finetune import finetune_records, finetuned, launched_ranks
from imine.study.finetune.ranks import leave_group
from imine.study.recipe import FinetuneConfig
from tests.plain_finetune import PAD, SETTINGS, examples, tiny_model
from tests.tiny import TEXT, save_llama

# The last step of an epoch has one example, so that a rank has none of its own.
EXAMPLES = 37
CASES: dict[str, dict[str, Any]] = {
    **{f"zero {stage}": {"zero_stage": stage} for stage in range(4)},
    "lora, zero 3, offloaded": {"lora": {"rank": 4}, "zero_stage": 3, "offload": ["optimizer", "parameters"]},
}


def settings_of(case: str) -> FinetuneConfig:
    return FinetuneConfig.model_validate(SETTINGS.model_dump(exclude_unset=True) | CASES[case])


def frame(count: int, first: int = 0) -> pl.DataFrame:
    ids = range(first, first + count)
    return pl.DataFrame(
        {
            "id": [str(i) for i in ids],
            "instruction": [f"{TEXT[i % 4]} {i}" for i in ids],
            "input": ["" for _ in ids],
            "output": [TEXT[i % 3][: 5 + 7 * (i % 5)] for i in ids],
        }
    )


def train(case: str) -> dict[str, Any]:
    ranks = launched_ranks()
    settings = settings_of(case)
    with finetuned(tiny_model(), examples(EXAMPLES), settings, seed=7, pad_id=PAD, ranks=ranks) as tuned:
        held_out = evaluate(tuned.model, examples(10, seed=1), pad_id=PAD)
        return {"losses": tuned.losses, "held_out": held_out.loss, "tokens": tuned.response_tokens}


def main(folder: Path) -> None:
    ranks = launched_ranks()
    results: dict[str, Any] = {case: train(case) for case in CASES}
    if ranks.first:
        save_llama(folder / "base")
    ranks.collect(None)
    settings = SETTINGS.model_copy(update={"model": str(folder / "base"), "zero_stage": 3})
    results["saved"] = finetune_records(
        frame(9), folder / "saved", settings, evaluation={"held": frame(5, 20)}, seed=3
    )
    if ranks.first:
        (folder / "results.json").write_text(json.dumps(results))
    leave_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
