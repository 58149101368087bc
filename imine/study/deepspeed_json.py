"""The DeepSpeed configuration of a recipe, the user's own JSON in it where there is one."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imine.study.recipe import FinetuneConfig

AUTO = "auto"
"""What stands in a JSON for the value of the recipe."""

# Stages of ZeRO from which optimizer and parameters can lie in the memory of the CPU.
_OFFLOAD = {"optimizer": ("offload_optimizer", 1), "parameters": ("offload_param", 3)}
# DeepSpeed's schedulers and the schedules of a recipe that they stand for.
_SCHEDULERS = {"WarmupLR": "constant", "WarmupDecayLR": "linear", "WarmupCosineLR": "cosine"}
_SECTIONS = ("zero_optimization", "optimizer", "scheduler", "bf16", "fp16", "amp", "torch_autocast")
# What torch's AdamW is told, and what says no more than that it is AdamW.
_ADAMW = frozenset({"lr", "weight_decay", "betas", "eps", "torch_adam", "adam_w_mode"})
# Ways to split a model or a text over ranks; the loss of a step counts on each rank having its own examples.
_SPLITS = ("tensor_parallel", "pipeline", "expert_parallel")


def deepspeed_config(settings: FinetuneConfig) -> dict[str, Any]:
    """The DeepSpeed configuration of a recipe.

    Micro-batches vary in size and number, so their sizes here are nominal: the boundary of each optimizer
    step is set by hand. Of the user's own JSON everything is kept that is not the recipe's; an ``"auto"`` takes the
    recipe's value, or DeepSpeed's default where the recipe has none.

    Args:
        settings: the recipe; its ``deepspeed`` holds the content of the user's JSON.

    Examples:
        >>> from imine.study.recipe import FinetuneConfig
        >>> deepspeed_config(FinetuneConfig(zero_stage=2))["zero_optimization"]["stage"]
        2
        >>> own = {"gradient_clipping": "auto", "zero_optimization": {"stage": 1, "overlap_comm": True}}
        >>> config = deepspeed_config(FinetuneConfig(deepspeed=own, clip=0.5))
        >>> config["gradient_clipping"], config["zero_optimization"]["stage"]
        (0.5, 1)
    """
    own = _without_auto(copy.deepcopy(settings.deepspeed or {}))
    own.pop("scheduler", None)
    own.pop("train_batch_size", None)
    optimizer = own.pop("optimizer", None)
    if optimizer is not None and own_adamw(settings) is None:
        rates = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
        own["optimizer"] = optimizer | {"params": _params(optimizer) | rates}
    zero = {
        "stage": settings.zero_stage,
        "overlap_comm": False,
        # The default bucket of 5e8 numbers takes 2 GB whatever the model.
        "reduce_bucket_size": 50_000_000,
        "allgather_bucket_size": 50_000_000,
        **{_OFFLOAD[what][0]: {"device": "cpu"} for what in settings.offload},
    }
    return {
        "steps_per_print": None,
        "zero_allow_untested_optimizer": True,
        # An offloaded optimizer is torch's fused AdamW too, which runs on the CPU and needs no compiler there.
        "zero_force_ds_cpu_optimizer": False,
        **own,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.clip,
        "bf16": own.get("bf16", {}) | {"enabled": bf16_weights(settings)},
        "zero_optimization": _under(zero, own.get("zero_optimization", {})),
    }


def _under(recipe: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's values where the user's object has none, in objects within as well."""
    merged = dict(recipe)
    for key, value in own.items():
        inner = recipe.get(key)
        merged[key] = inner | value if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def zero_stage(settings: FinetuneConfig) -> int:
    """The ZeRO stage: that of the JSON where it has one, else the recipe's.

    Examples:
        >>> from imine.study.recipe import FinetuneConfig
        >>> zero_stage(FinetuneConfig(deepspeed={"zero_optimization": {"stage": 3}}))
        3
    """
    return int(deepspeed_config(settings)["zero_optimization"]["stage"])


def bf16_weights(settings: FinetuneConfig) -> bool:
    """Whether DeepSpeed keeps the weights in bfloat16 beside float32 masters, which only a JSON can ask for."""
    return settings.dtype == "bfloat16" and _look(settings.deepspeed, "bf16.enabled") in (True, AUTO)


def own_adamw(settings: FinetuneConfig) -> dict[str, Any] | None:
    """What the JSON says of AdamW beyond the recipe; ``None`` where it names another optimizer.

    Examples:
        >>> from imine.study.recipe import FinetuneConfig
        >>> params = {"lr": "auto", "betas": [0.9, 0.95]}
        >>> own_adamw(FinetuneConfig(deepspeed={"optimizer": {"type": "AdamW", "params": params}}))
        {'betas': (0.9, 0.95)}
    """
    optimizer = (settings.deepspeed or {}).get("optimizer")
    if optimizer is None:
        return {}
    if str(optimizer.get("type", AUTO)).lower() not in ("adamw", AUTO):
        return None
    params = _params(optimizer)
    found: dict[str, Any] = {"betas": tuple(params["betas"])} if "betas" in params else {}
    return found | ({"eps": params["eps"]} if "eps" in params else {})


def _params(section: Mapping[str, Any]) -> dict[str, Any]:
    """What an optimizer or a scheduler is told, less what is left to the recipe."""
    given = section.get("params")
    return _without_auto(given) if isinstance(given, dict) else {}


def _without_auto(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_auto(inner) for key, inner in value.items() if inner != AUTO}


def conflicts(settings: FinetuneConfig) -> list[str]:
    """Where the JSON and the recipe contradict each other, or the JSON asks for what no finetune here can do.

    Args:
        settings: the recipe with the content of the JSON.

    Returns:
        A line for each, naming the key of the JSON and that of the recipe.

    Examples:
        >>> from imine.study.recipe import FinetuneConfig
        >>> conflicts(FinetuneConfig.model_construct(deepspeed={"gradient_clipping": 2}))
        ['gradient_clipping is 2 there and clip is 1.0 in the recipe']
    """
    own = settings.deepspeed or {}
    if wrong := [key for key in _SECTIONS if not isinstance(own.get(key, {}), dict)]:
        return [f"{wrong[0]} must be an object with keys there, not {json.dumps(own[wrong[0]])}"]
    for key in ("optimizer.params", "scheduler.params"):
        if not isinstance(found := _look(own, key) or {}, dict) and found != AUTO:
            return [f"{key} must be an object with keys there, not {json.dumps(found)}"]
    lines = [
        f"{key} is {json.dumps(_look(own, key))} there and {name} is {json.dumps(wanted)} in the recipe"
        for key, name, wanted in _agreements(settings)
        if _look(own, key) not in (None, AUTO, wanted)
    ]
    return [*lines, *_misplaced(own, settings), *_impossible(own)]


def _agreements(settings: FinetuneConfig) -> Iterator[tuple[str, str, Any]]:
    """Keys of the JSON, the recipe's names for them, and its values."""
    yield "gradient_clipping", "clip", settings.clip
    yield "train_batch_size", "batch_size", settings.batch_size
    yield "optimizer.params.lr", "learning_rate", settings.learning_rate
    yield "optimizer.params.weight_decay", "weight_decay", settings.weight_decay
    if settings.dtype != "bfloat16":
        yield "bf16.enabled", "dtype", False
    if "zero_stage" in settings.model_fields_set:
        yield "zero_optimization.stage", "zero_stage", settings.zero_stage
    for what in settings.offload:
        yield f"zero_optimization.{_OFFLOAD[what][0]}.device", "offload", "cpu"


def _misplaced(own: Mapping[str, Any], settings: FinetuneConfig) -> Iterator[str]:
    """What the recipe decides in its own way."""
    for key in ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
        if own.get(key, AUTO) != AUTO:
            yield f"{key} is {own[key]} there, but micro_tokens = {settings.micro_tokens} cuts micro-batches"
    if own_adamw(settings) is not None:
        for key in sorted({*_params(own.get("optimizer", {}))} - _ADAMW):
            yield f"optimizer.params.{key} stands there, but AdamW takes lr, betas, eps and weight_decay here"
    if scheduler := own.get("scheduler"):
        kind, warmup = scheduler.get("type"), settings.warmup
        same = _SCHEDULERS.get(kind) == settings.schedule or kind == AUTO
        if not same or _params(scheduler):
            yield (
                f"scheduler is {json.dumps(scheduler)} there, but schedule is {settings.schedule!r} and warmup is "
                f"{warmup} in the recipe"
            )


def _impossible(own: Mapping[str, Any]) -> Iterator[str]:
    for key in ("fp16", "amp", "torch_autocast"):
        if _look(own, f"{key}.enabled") not in (None, False, AUTO):
            yield f"{key} is enabled there, but dtype of the recipe is float32 or bfloat16 and decides alone"
    for key in _SPLITS:
        if key in own:
            yield f"{key} stands there, but every rank trains the whole model on examples of its own"
    if own.get("sequence_parallel_size", 1) != 1:
        yield "sequence_parallel_size is not 1 there, but every rank trains on examples of its own"


def offload_faults(settings: FinetuneConfig) -> list[str]:
    """Where ``offload`` asks for more than the stage of ZeRO can do."""
    stage = zero_stage(settings)
    return [
        f"offload of the {what} needs zero_stage {least}{' or more' if least < 3 else ''}, not {stage}"
        for what in settings.offload
        if stage < (least := _OFFLOAD[what][1])
    ]


def _look(own: Any, path: str) -> Any:
    for key in path.split("."):
        own = own.get(key) if isinstance(own, dict) else None
    return own


def read_deepspeed_json(path: Path) -> dict[str, Any]:
    """Content of a DeepSpeed JSON.

    Raises:
        ValueError: it cannot be read, or is no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a DeepSpeed configuration is a JSON object, not {type(content).__name__}")
    return content


def content_sha256(content: Mapping[str, Any]) -> str:
    """Hash of what a JSON says, 16 hexadecimal digits; blanks and the order of keys do not count.

    Examples:
        >>> content_sha256({"a": 1, "b": 2}) == content_sha256({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
