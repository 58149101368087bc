"""The architecture ``gpt_neox_reward_model`` of the Open Assistant reward models, which transformers does not have.

A GPT-NeoX trunk, its last hidden states pooled to one vector a text, and one linear layer to a number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

MODEL_TYPE = "gpt_neox_reward_model"
POOLINGS = ("last", "mean")


def pool(states: Any, mask: Any, pooling: str) -> Any:
    """One vector a text: the state of its last token, or the mean of the states of all.

    Args:
        states: tensor (rows, width, hidden).
        mask: tensor (rows, width), 1 for a token and 0 for padding, on either side; ``None`` for no padding.
        pooling: ``last`` or ``mean``.

    Returns:
        Tensor (rows, hidden); float32 for ``mean``.

    Examples:
        >>> import torch
        >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> right, left = torch.tensor([[1, 1, 0]]), torch.tensor([[0, 1, 1]])
        >>> pool(states, right, "last").item(), pool(states, left, "mean").item()
        (3.0, 6.0)
    """
    import torch

    if mask is None:
        mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
    if pooling == "mean":
        weights = mask.unsqueeze(-1).float()
        return (states.float() * weights).sum(1) / weights.sum(1)
    last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
    return states[torch.arange(len(states), device=states.device), last]


@lru_cache(maxsize=1)
def architecture() -> tuple[type, type]:
    """Classes of the configuration and of the model.

    The head's weights are ``out_proj``, the trunk's ``gpt_neox``, as in the published checkpoints
    (LAION-AI/Open-Assistant: model/model_training/models/reward_model.py).
    """
    import torch
    from huggingface_hub.dataclasses import strict
    from transformers import GPTNeoXConfig, GPTNeoXModel, GPTNeoXPreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    @strict
    class GPTNeoXRewardConfig(GPTNeoXConfig):
        model_type = MODEL_TYPE
        pooling: str | None = "last"

        def __post_init__(self, **kwargs: Any) -> None:
            self.pooling = self.pooling or "last"
            if self.pooling not in POOLINGS:
                raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {self.pooling!r}")
            super().__post_init__(**kwargs | {"num_labels": 1})

    class GPTNeoXRewardModel(GPTNeoXPreTrainedModel):
        config_class = GPTNeoXRewardConfig

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.gpt_neox = GPTNeoXModel(config)
            self.out_proj = torch.nn.Linear(config.hidden_size, 1)
            self.post_init()

        def forward(
            self,
            input_ids: Any = None,
            attention_mask: Any = None,
            inputs_embeds: Any = None,
            **kwargs: Any,
        ) -> SequenceClassifierOutput:
            trunk = self.gpt_neox(
                input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds, **kwargs
            )
            pooled = pool(trunk.last_hidden_state, attention_mask, self.config.pooling)
            return SequenceClassifierOutput(logits=self.out_proj(pooled.to(self.out_proj.weight.dtype)))

    return GPTNeoXRewardConfig, GPTNeoXRewardModel


def register_architecture() -> None:
    """Let transformers' auto classes find the architecture by its ``model_type``."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config, model = architecture()
    AutoConfig.register(MODEL_TYPE, config, exist_ok=True)
    AutoModelForSequenceClassification.register(config, model, exist_ok=True)
