"""Finetuning with DeepSpeed: one process or several ranks, all parameters or adapters."""

from __future__ import annotations

from imine.study.deepspeed_json import deepspeed_config
from imine.study.finetune.ranks import Ranks, check_alone, check_training, launched_ranks
from imine.study.finetune.saving import check_new
from imine.study.finetune.schedule import learning_rate_factor, step_batches
from imine.study.finetune.single import finetune_records
from imine.study.finetune.training import Finetuned, check_trainable, finetuned

__all__ = [
    "Finetuned",
    "Ranks",
    "check_alone",
    "check_new",
    "check_trainable",
    "check_training",
    "deepspeed_config",
    "finetune_records",
    "finetuned",
    "launched_ranks",
    "learning_rate_factor",
    "step_batches",
]
