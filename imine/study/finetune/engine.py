"""The DeepSpeed engine of a recipe."""

from __future__ import annotations

from typing import Any

from imine.indicators.responses import TokenBatch, autocast, token_losses
from imine.study.deepspeed_json import bf16_weights, deepspeed_config, own_adamw, zero_stage
from imine.study.finetune.ranks import Ranks, start_group
from imine.study.finetune.schedule import learning_rate_factor
from imine.study.recipe import FinetuneConfig


def start_engine(model: Any, settings: FinetuneConfig, steps: int, ranks: Ranks) -> Any:
    """Make the engine that trains a model; its forward pass gives the summed response-token loss of a batch.

    Args:
        model: a causal language model of transformers, in training mode; what needs no gradient stays as it is.
        settings: recipe.
        steps: optimizer steps of the whole training, for the schedule.
        ranks: this process.
    """
    deepspeed = start_group(ranks)
    config = deepspeed_config(settings)
    # With weights in bfloat16 there is nothing left to cast.
    module = _response_loss(model, "float32" if bf16_weights(settings) else settings.dtype)
    if zero_stage(settings) == 3:
        _partition(deepspeed, module, config)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = _adamw(trained, settings)
    schedule = _schedule(settings, steps)
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        model_parameters=None if optimizer else trained,
        lr_scheduler=schedule(optimizer) if optimizer else schedule,
        config=config,
    )
    if ranks.world == 1 and zero_stage(settings) == 0:
        # A group of one has nothing to reduce, and copying all gradients there and back is not free.
        engine.enable_backward_allreduce = False
    return engine


def _response_loss(model: Any, dtype: str) -> Any:
    import torch

    class ResponseLoss(torch.nn.Module):
        """Summed response-token loss: what DeepSpeed takes for the model."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: TokenBatch) -> Any:
            with autocast(dtype, batch.input_ids.device):
                return token_losses(self.model, batch).sum()

    return ResponseLoss()


def _adamw(trained: list[Any], settings: FinetuneConfig) -> Any:
    """torch's AdamW; ``None`` where the user's JSON names another optimizer, which DeepSpeed makes."""
    import torch

    more = own_adamw(settings)
    if more is None:
        return None
    # Fused: a quarter of the time of the plain loop on a CPU, where memory is what it waits for.
    return torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True, **more
    )


def _schedule(settings: FinetuneConfig, steps: int) -> Any:
    import torch

    def of(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, steps, settings.warmup, settings.schedule)
        )

    return of


def _partition(deepspeed: Any, module: Any, config: dict[str, Any]) -> None:
    """Spread the weights over the ranks, one parameter at a time: the whole model need not fit on a device."""
    import torch

    if config["bf16"]["enabled"]:
        for parameter in module.parameters():
            parameter.data = parameter.data.bfloat16()
    deepspeed.zero.Init(module=module, config_dict_or_path=config)
    device = torch.device(deepspeed.get_accelerator().current_device_name())
    for part in module.modules():
        for name, buffer in part._buffers.items():
            part._buffers[name] = buffer if buffer is None else buffer.to(device)
