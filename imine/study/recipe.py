"""The training recipe of a study, a comparison or a single finetune."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from imine.indicators.templates import TEMPLATES
from imine.study.deepspeed_json import conflicts, offload_faults
from imine.study.section import Section


class LoraConfig(Section):
    """Adapters that are trained in the place of the weights.

    Attributes:
        rank: of the two matrices of an adapter.
        alpha: their product is scaled by ``alpha / rank``.
        dropout: share of an adapter's inputs that is left out in training.
        targets: names of the matrices that get one; ``all-linear`` for all but the output embedding.
    """

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(default=("all-linear",), min_length=1)


class FinetuneConfig(Section):
    """The training recipe, the same for every subset.

    Attributes:
        model: name of an embedded model, or a folder with a causal language model, relative to the study file.
        template: prompt template, one of :data:`imine.indicators.templates.TEMPLATES`.
        max_tokens: longest example, prompt and response together.
        batch_size: examples of an optimizer step.
        micro_tokens: most tokens of a micro-batch, padding included; memory and speed, not the result.
        epochs: passes over the subset.
        learning_rate: peak learning rate of AdamW.
        warmup: share of the steps in which the rate rises linearly to its peak.
        schedule: ``cosine``, ``linear`` or ``constant`` after the warm-up.
        weight_decay: decoupled weight decay, on all parameters.
        clip: largest norm of a step's gradient.
        lora: adapters in the place of all parameters.
        zero_stage: ZeRO stage of DeepSpeed.
        offload: ``optimizer`` (stage 1 or more) and ``parameters`` (stage 3) that lie in the CPU's memory.
        deepspeed: content of the user's own DeepSpeed JSON; in a study file its path, relative to it.
        dtype: ``float32``, or ``bfloat16`` for matrix products in bfloat16 with float32 weights.
        threads: CPU threads of a process; torch's own choice where absent.
        workers: processes that finetune, one run at a time each; one, or one a GPU, where absent; 0 for none but
            the one that asks.
        time_limit: seconds after which a run counts as hanging; where absent, twenty times what the finished runs
            make of its tokens, and at least ten minutes.
    """

    model: str = "smollm2-135m"
    template: str = "alpaca"
    max_tokens: int = Field(default=256, ge=16)
    batch_size: int = Field(default=8, ge=1)
    micro_tokens: int = Field(default=1024, ge=1)
    epochs: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0, allow_inf_nan=False)
    warmup: float = Field(default=0.1, ge=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    clip: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    lora: LoraConfig | None = None
    zero_stage: Literal[0, 1, 2, 3] = 0
    offload: tuple[Literal["optimizer", "parameters"], ...] = ()
    deepspeed: dict[str, Any] | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = Field(default=None, ge=1)
    workers: int | None = Field(default=None, ge=0)
    time_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @field_validator("template")
    @classmethod
    def _known_template(cls, value: str) -> str:
        if value not in TEMPLATES:
            raise ValueError(f"allowed: {', '.join(TEMPLATES)}")
        return value

    @model_validator(mode="after")
    def _agrees_with_deepspeed(self) -> FinetuneConfig:
        faults = [f"deepspeed: {line}" for line in conflicts(self)]
        if faults := faults or offload_faults(self):
            raise ValueError("; ".join(faults))
        return self
