"""One finetune of records into a model folder, alone or on the ranks that a launcher started."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from imine.errors import StudyError
from imine.indicators.templates import TEMPLATES, EncodedExample, encode_examples
from imine.progress import Progress, SilentProgress
from imine.study.deepspeed_json import deepspeed_config, zero_stage
from imine.study.design import rows_sha256
from imine.study.evaluate import Evaluation, evaluate
from imine.study.finetune.ranks import (
    Ranks,
    check_same,
    check_training,
    in_group,
    launched_ranks,
    leave_group,
    start_group,
)
from imine.study.finetune.saving import check_new, save_finetuned
from imine.study.finetune.schedule import deal
from imine.study.finetune.training import Finetuned, check_trainable, finetuned
from imine.study.machine import machine_record, set_threads
from imine.study.recipe import FinetuneConfig


def finetune_records(
    records: pl.DataFrame,
    out: Path,
    settings: FinetuneConfig,
    *,
    evaluation: Mapping[str, pl.DataFrame] | None = None,
    seed: int = 0,
    content: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Finetune a model on records and save it with its tokenizer and a record of what made it.

    Started by ``torchrun`` or ``deepspeed``, every rank calls this with the same arguments; rank 0 writes.

    Args:
        records: ``id, instruction, input, output``; rows with an empty response are left out.
        out: new folder for the model (safetensors), or the adapter where the recipe has ``lora``.
        settings: the recipe; its ``model`` is a name or a folder.
        evaluation: records of each evaluation set; the model is evaluated on them before and after.
        seed: of the order of the examples and of torch.
        content: hash of each file that was read, for the record.
        progress: told of every step; say nothing on ranks other than 0.

    Returns:
        The content of ``finetune.json`` in the folder; docs/finetune.md describes it.

    Raises:
        StudyError: the folder is there already, an example has no trainable token, a loss is not finite, or the
            ranks do not have the same data.
        ModelNotFoundError: the model is not there.
        MissingExtraError: DeepSpeed, peft, torch or transformers is not installed.
    """
    from imine.indicators.models import check_extra, model_path

    check_training(settings.lora is not None)
    check_extra("finetuning")
    model_path(settings.model)
    check_new(out)
    ranks = launched_ranks()
    leave = not in_group()
    start_group(ranks)
    try:
        files = dict(content or {})
        check_same(ranks, "files", [f"{name} {files[name]}" for name in sorted(files)])
        work = _Single(records, dict(evaluation or {}), settings, seed, ranks, progress or SilentProgress())
        return work.go(out, files)
    finally:
        if leave and ranks.world > 1:
            leave_group()


def encode_records(tokenizer: Any, rows: pl.DataFrame, settings: FinetuneConfig) -> list[EncodedExample]:
    """Records as a recipe trains on them.

    Args:
        tokenizer: of transformers.
        rows: ``instruction, input, output``.
        settings: for the template and the longest example.
    """
    texts = [rows[column].to_list() for column in ("instruction", "input", "output")]
    template = TEMPLATES[settings.template]
    return encode_examples(tokenizer, template, *texts, max_tokens=settings.max_tokens, add_eos=True)


class _Single:
    def __init__(
        self,
        records: pl.DataFrame,
        evaluation: dict[str, pl.DataFrame],
        settings: FinetuneConfig,
        seed: int,
        ranks: Ranks,
        progress: Progress,
    ) -> None:
        set_threads(settings.threads)
        self.settings, self.seed, self.ranks, self.say = settings, seed, ranks, progress
        self.rows = self._with_response("the data", records)
        check_same(ranks, "data", [rows_sha256(self.rows["id"].to_list())])
        self.lm: Any = self._load()
        check_same(ranks, "weights of the base model", [self.lm.sha256])
        self.train = self._encoded(self.rows)
        check_trainable(dict(zip(self.rows["id"], self.train, strict=True)))
        self.sets = {
            name: self._encoded(self._with_response(name, rows)) for name, rows in evaluation.items()
        }

    def go(self, out: Path, content: dict[str, str]) -> dict[str, Any]:
        """Evaluate, train, evaluate, save."""
        before = self._baseline()
        with finetuned(
            self.lm.model,
            self.train,
            self.settings,
            seed=self.seed,
            pad_id=self.lm.tokenizer.pad_token_id,
            ranks=self.ranks,
            in_place=True,
            after_step=lambda loss: self.say.advance(1),
        ) as tuned:
            self.say.finish()
            after = self._evaluate(tuned.model)
            record = self._record(tuned, before, after, content)
            self.say.note(f"saving to {out}")
            save_finetuned(tuned, self.lm.tokenizer, out, record, self.ranks)
        return record

    def _with_response(self, what: str, rows: pl.DataFrame) -> pl.DataFrame:
        kept = rows.filter(pl.col("output").str.strip_chars() != "")
        if not kept.height:
            raise StudyError(f"{what}: no row of {rows.height:,} has a response")
        if kept.height < rows.height:
            self.say.note(f"{what}: {rows.height - kept.height:,} rows with an empty response left out")
        return kept

    def _load(self) -> Any:
        from imine.indicators.models import load_causal_lm

        # Stage 3 takes the model apart on its way to the accelerators, which one of them need not hold.
        on = "cpu" if zero_stage(self.settings) == 3 else None
        if on is None and self.ranks.world > 1:
            on = str(self.ranks.device())
        return load_causal_lm(self.settings.model, on=on)

    def _encoded(self, rows: pl.DataFrame) -> list[EncodedExample]:
        return encode_records(self.lm.tokenizer, rows, self.settings)

    def _baseline(self) -> dict[str, Evaluation]:
        """Evaluation of the base model; announces the training that comes next."""
        pad_id, found = self.lm.tokenizer.pad_token_id, {}
        if self.sets and zero_stage(self.settings) == 3:
            # What a forward pass without gradients leaves of spread weights cannot be trained on: load them anew.
            with finetuned(
                self.lm.model, [], self.settings, seed=0, pad_id=pad_id, ranks=self.ranks, in_place=True
            ) as base:
                found = self._evaluate(base.model)
            self.lm = None
            self.lm = self._load()
        elif self.sets:
            found = self._evaluate(self.lm.model)
        self.say.start("training", self._steps, "steps")
        return found

    @property
    def _steps(self) -> int:
        return -(-len(self.train) // self.settings.batch_size) * self.settings.epochs

    def _evaluate(self, model: Any) -> dict[str, Evaluation]:
        found = {name: self._evaluate_set(model, rows) for name, rows in self.sets.items()}
        for name, result in found.items():
            if not math.isfinite(result.loss):
                raise StudyError(f"the loss on evaluation set {name} is {result.loss}; lower learning_rate")
        return found

    def _evaluate_set(self, model: Any, rows: list[EncodedExample]) -> Evaluation:
        """Every rank takes its part of a set; in stage 3 each takes all, since all must make the same passes."""
        options: dict[str, Any] = {
            "pad_id": self.lm.tokenizer.pad_token_id,
            "micro_tokens": self.settings.micro_tokens,
            "dtype": self.settings.dtype,
        }
        if self.ranks.world == 1 or zero_stage(self.settings) == 3:
            return evaluate(model, rows, **options)
        shares = deal([len(e.prompt) + len(e.response) for e in rows], self.ranks.world)
        mine = evaluate(model, [rows[i] for i in shares[self.ranks.rank]], **options)
        sums, tokens = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
        for share, part in zip(shares, self.ranks.collect((mine.sums, mine.tokens)), strict=True):
            sums[share], tokens[share] = part
        return Evaluation(sums, tokens)

    def _record(
        self,
        tuned: Finetuned,
        before: Mapping[str, Evaluation],
        after: Mapping[str, Evaluation],
        content: dict[str, str],
    ) -> dict[str, Any]:
        machines = self.ranks.collect(machine_record(tuned.model))
        return {
            "kind": "finetune",
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "model": {"name": Path(self.lm.name).name, "sha256": self.lm.sha256},
            # Where files lie is nobody's business.
            "recipe": self.settings.model_dump(mode="json", exclude={"model", "deepspeed"}),
            "deepspeed": deepspeed_config(self.settings),
            "seed": self.seed,
            "data": {
                "rows": self.rows.height,
                "rows_sha256": rows_sha256(self.rows["id"].to_list()),
                "files": content,
            },
            "ranks": self.ranks.world,
            "devices": [machine["device"] for machine in machines],
            "peak_rss_mb": [machine["peak_rss_mb"] for machine in machines],
            "peak_device_mb": self.ranks.collect(_peak_device_mb()),
            "threads": machines[0]["threads"],
            "versions": machines[0]["versions"],
            "trained_parameters": tuned.trained,
            "steps": len(tuned.losses),
            "tokens": tuned.tokens,
            "response_tokens": tuned.response_tokens,
            "padded_tokens": tuned.padded_tokens,
            "seconds_train": tuned.seconds,
            "train_losses": list(tuned.losses),
            "evaluation": {name: _compared(before[name], after[name]) for name in after},
        }


def _compared(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    return {
        "examples": len(after.tokens),
        "tokens": int(after.tokens.sum()),
        "loss_before": before.loss,
        "loss": after.loss,
        "sums": after.sums.tolist(),
    }


def _peak_device_mb() -> int | None:
    """Most memory of this rank's accelerator that torch held, in MiB; ``None`` on a CPU."""
    import torch

    return torch.cuda.max_memory_reserved() // 2**20 if torch.cuda.is_available() else None
