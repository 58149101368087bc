"""Options of a training recipe, for the commands that finetune apart from a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from imine.study.recipe import FinetuneConfig

_PANEL = "Recipe (by default that of --study, else docs/study.md)"


def _option(name: str, help: str) -> Any:
    return typer.Option(name, help=help, rich_help_panel=_PANEL, show_default=False)


Model = Annotated[str | None, _option("--model", "Causal language model: name or folder.")]
Template = Annotated[str | None, _option("--template", "Prompt template: alpaca, plain, chatml.")]
MaxTokens = Annotated[int | None, _option("--max-tokens", "Longest prompt and response together.")]
BatchSize = Annotated[int | None, _option("--batch-size", "Examples of an optimizer step, over all ranks.")]
MicroTokens = Annotated[int | None, _option("--micro-tokens", "Most tokens at once on a rank.")]
Epochs = Annotated[int | None, _option("--epochs", "Passes over the data.")]
LearningRate = Annotated[float | None, _option("--learning-rate", "Peak rate of AdamW.")]
Warmup = Annotated[float | None, _option("--warmup", "Share of the steps in which the rate rises.")]
Schedule = Annotated[str | None, _option("--schedule", "cosine, linear or constant.")]
WeightDecay = Annotated[float | None, _option("--weight-decay", "Decoupled weight decay.")]
Clip = Annotated[float | None, _option("--clip", "Largest norm of a step's gradient.")]
LoraRank = Annotated[int | None, _option("--lora-rank", "Train adapters of this rank, not the weights.")]
LoraAlpha = Annotated[
    float | None, _option("--lora-alpha", "With --lora-rank: adapters are scaled by alpha / rank.")
]
LoraDropout = Annotated[
    float | None, _option("--lora-dropout", "With --lora-rank: dropout before the adapters.")
]
LoraTargets = Annotated[
    str | None,
    _option(
        "--lora-targets", "With --lora-rank: matrices that get one, by commas: q_proj,v_proj; or all-linear."
    ),
]
ZeroStage = Annotated[int | None, _option("--zero-stage", "ZeRO stage of DeepSpeed: 0 to 3.")]
Offload = Annotated[
    str | None, _option("--offload", "What lies in the CPU's memory, by commas: optimizer,parameters.")
]
DeepSpeed = Annotated[Path | None, _option("--deepspeed", "Your own DeepSpeed JSON.")]
Dtype = Annotated[str | None, _option("--dtype", "float32 or bfloat16.")]
Threads = Annotated[int | None, _option("--threads", "CPU threads of a rank.")]


KEYS = frozenset(
    {
        "model",
        "template",
        "max_tokens",
        "batch_size",
        "micro_tokens",
        "epochs",
        "learning_rate",
        "warmup",
        "schedule",
        "weight_decay",
        "clip",
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "lora_targets",
        "zero_stage",
        "offload",
        "deepspeed",
        "dtype",
        "threads",
    }
)
"""Names of the arguments that these options fill."""


def recipe(study: Path | None, given: dict[str, Any]) -> FinetuneConfig:
    """A recipe: that of a study file, with what was given in its place.

    Args:
        study: a study file; the defaults where absent.
        given: keys of the recipe and their values, ``None`` where an option was not given. ``lora_rank`` and its
            like stand for the keys of ``lora``; ``targets`` and ``offload`` are words parted by commas.

    Raises:
        StudyConfigError: names the key and what is allowed.
    """
    from imine.errors import StudyConfigError
    from imine.study.config import check_finetune, load_study
    from imine.study.deepspeed_json import read_deepspeed_json

    keys: dict[str, Any] = {}
    if study:
        loaded = load_study(study)
        keys = loaded.config.finetune.model_dump(exclude_unset=True)
        keys["model"] = loaded.resolve_model(loaded.config.finetune.model)
    found = {key: value for key, value in given.items() if value is not None}
    lora = {key.removeprefix("lora_"): found.pop(key) for key in [*found] if key.startswith("lora_")}
    for words, key in ((lora, "targets"), (found, "offload")):
        if key in words:
            words[key] = [word.strip() for word in words[key].split(",") if word.strip()]
    if lora:
        found["lora"] = _adapters(lora, keys.get("lora"))
    if "deepspeed" in found:
        try:
            found["deepspeed"] = read_deepspeed_json(found["deepspeed"])
        except ValueError as error:
            raise StudyConfigError(f"--deepspeed: {error}") from error
    return check_finetune(keys | found)


def _adapters(given: dict[str, Any], there: dict[str, Any] | None) -> dict[str, Any]:
    """Keys of ``lora``: what was given, over those of the study file; they alone switch nothing to adapters."""
    from imine.errors import StudyConfigError

    if there is None and "rank" not in given:
        names = ", ".join(f"--lora-{key}" for key in given)
        raise StudyConfigError(
            f"{names}: no adapters are trained here; add --lora-rank (16 is customary), or name a --study whose recipe "
            "has lora"
        )
    return (there or {}) | given
