"""One finetune and its evaluation: what a study, a size search and a comparison are all made of."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imine.errors import StudyError
from imine.indicators.templates import EncodedExample
from imine.study.design import rows_sha256
from imine.study.evaluate import Evaluation, evaluate, pooled_accuracy, pooled_loss
from imine.study.finetune import check_training, finetuned
from imine.study.machine import forget_peaks, machine_record, set_threads
from imine.study.recipe import FinetuneConfig


@dataclass(frozen=True, slots=True)
class Trainer:
    """Everything that does not change from one finetune to the next.

    Attributes:
        lm: base model with ``model``, ``tokenizer``, ``name`` and ``sha256``, as ``load_causal_lm`` gives it; or a
            :class:`~imine.study.base_model.NamedModel`, which is loaded where it is trained.
        settings: the training recipe.
        train: tokenised examples by id.
        evaluation: tokenised examples of each evaluation set.
    """

    lm: Any
    settings: FinetuneConfig
    train: Mapping[str, EncodedExample]
    evaluation: Mapping[str, Sequence[EncodedExample]]

    def prepare(self) -> None:
        """Set the threads and have the base model in memory: what a process does once, before its first run.

        Raises:
            MissingExtraError: DeepSpeed, torch or transformers is not installed.
            ModelNotFoundError: the model is not there.
            StudyError: its content is not what its hash says.
        """
        check_training()
        set_threads(self.settings.threads)
        self.lm.model  # noqa: B018 - a named model is loaded when it is first asked for

    def baseline(self) -> dict[str, Any]:
        """Evaluate the base model: a ``baseline`` record of the ledger.

        Raises:
            StudyError: a loss is not finite.
        """
        forget_peaks()
        return {"kind": "baseline", **self._evaluate(self.lm.model, None)}

    def run(self, run: int | str, ids: Sequence[str], seed: int) -> dict[str, Any]:
        """Finetune a copy of the base model and evaluate it: a ``run`` record of the ledger.

        Args:
            run: number or name of the run.
            ids: rows to train on.
            seed: of the order of the rows and of torch.

        Raises:
            StudyError: an example has no trainable token, or a loss is not finite.
        """
        forget_peaks()
        examples = [self.train[id] for id in ids]
        pad_id = self.lm.tokenizer.pad_token_id
        with finetuned(self.lm.model, examples, self.settings, seed=seed, pad_id=pad_id) as tuned:
            evaluation = self._evaluate(tuned.model, run)
            return {
                "kind": "run",
                "run": run,
                "seed": seed,
                "n_examples": len(examples),
                "rows_sha256": rows_sha256(ids),
                "steps": len(tuned.losses),
                "tokens": tuned.tokens,
                "response_tokens": tuned.response_tokens,
                "padded_tokens": tuned.padded_tokens,
                "train_losses": list(tuned.losses),
                "seconds_train": tuned.seconds,
                **evaluation,
            }

    def _evaluate(self, model: Any, run: int | str | None) -> dict[str, Any]:
        settings, began = self.settings, time.monotonic()
        results = {
            name: evaluate(
                model,
                rows,
                pad_id=self.lm.tokenizer.pad_token_id,
                micro_tokens=settings.micro_tokens,
                dtype=settings.dtype,
            )
            for name, rows in self.evaluation.items()
        }
        _check_finite(results, run)
        return {
            "loss": pooled_loss(list(results.values())),
            **_accuracy(pooled_accuracy(list(results.values()))),
            "evaluation": {name: _evaluation_record(result) for name, result in results.items()},
            "seconds_evaluate": time.monotonic() - began,
            **machine_record(model),
        }


def _check_finite(results: Mapping[str, Evaluation], run: int | str | None) -> None:
    what, advice = f"run {run}", "lower learning_rate, and name another folder with out or --out"
    if run is None:
        what, advice = "the base model", "check its weights, and finetune.dtype"
    for name, result in results.items():
        if not math.isfinite(result.loss):
            raise StudyError(f"{what}: the loss on evaluation set {name} is {result.loss}; {advice}")


def _evaluation_record(result: Evaluation) -> dict[str, Any]:
    record = {"loss": result.loss, **_accuracy(result.accuracy), "sums": result.sums.tolist()}
    record["tokens"] = result.tokens.tolist()
    return record if result.right is None else record | {"right": result.right.tolist()}


def _accuracy(value: float | None) -> dict[str, float]:
    return {} if value is None else {"accuracy": value}
