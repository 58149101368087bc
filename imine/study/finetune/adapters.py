"""LoRA: small matrices beside a frozen model's, trained in its place (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

from imine.errors import StudyError
from imine.study.finetune.ranks import missing_training

if TYPE_CHECKING:
    from imine.study.recipe import LoraConfig


def with_adapters(base: Any, lora: LoraConfig, *, share: bool, in_place: bool = False) -> Any:
    """Put adapters beside the matrices of a copy of a model.

    Args:
        base: a causal language model of transformers; not changed.
        lora: rank, scale, dropout and places of the adapters.
        share: let the copy use the memory of the frozen weights, which nobody writes to.
        in_place: put them into ``base`` itself instead.

    Returns:
        The ``PeftModel``; its ``get_base_model()`` is the causal language model with the adapters in it.

    Raises:
        StudyError: a place is not in the model.
        MissingExtraError: peft is not installed.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        raise missing_training(error.name) from error
    targets: Any = "all-linear" if lora.targets == ("all-linear",) else list(lora.targets)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
    )
    copied = _sharing_copy if share else copy.deepcopy
    try:
        with warnings.catch_warnings():
            # peft uses what transformers is about to rename; nobody here can mend that.
            warnings.simplefilter("ignore", FutureWarning)
            return peft.get_peft_model(base if in_place else copied(base), config)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise StudyError(f"finetune.lora.targets: {reason}") from error


def _sharing_copy(base: Any) -> Any:
    """A copy whose parameters are new objects over the same memory: freezing them leaves the base as it is."""
    import torch

    parameters = {
        id(p): torch.nn.Parameter(p.detach(), requires_grad=p.requires_grad) for p in base.parameters()
    }
    return copy.deepcopy(base, parameters)
