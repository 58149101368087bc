"""A plain torch loop, one example at a time: the slow twin of the finetune, with tiny models and random examples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from imine.indicators.templates import EncodedExample
from imine.study.finetune import learning_rate_factor, step_batches
from imine.study.recipe import FinetuneConfig

PAD = 0


def tiny_model(kind: str = "llama") -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    common = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    if kind == "llama":
        config = transformers.LlamaConfig(
            **common, intermediate_size=64, num_key_value_heads=2, tie_word_embeddings=True
        )
        return transformers.LlamaForCausalLM(config).eval()
    config = transformers.CohereConfig(**common, intermediate_size=64, logit_scale=0.25, pad_token_id=0)
    return transformers.CohereForCausalLM(config).eval()


def examples(count: int, seed: int = 0) -> list[EncodedExample]:
    rng = np.random.default_rng(seed)
    return [
        EncodedExample(
            rng.integers(1, 200, rng.integers(3, 20)).tolist(),
            rng.integers(1, 200, rng.integers(1, 20)).tolist(),
            0,
        )
        for _ in range(count)
    ]


@dataclass
class Plain:
    model: Any
    losses: list[float]


def naive_loss_sum(model: Any, example: EncodedExample) -> Any:
    """The slow twin: one example, no padding, labels of -100 on the prompt."""
    import torch

    ids = torch.tensor([example.prompt + example.response])
    labels = torch.tensor([[-100] * len(example.prompt) + example.response])
    logits = model(input_ids=ids).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, labels[0, 1:], ignore_index=-100, reduction="sum")


def plain_loop(
    base: Any,
    data: list[EncodedExample],
    settings: FinetuneConfig,
    seed: int,
    adapt: Callable[[Any], Any] = lambda model: model,
) -> Plain:
    import torch

    torch.manual_seed(seed)
    model = adapt(copy.deepcopy(base))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps, losses = step_batches(len(data), settings, seed), []
    for number, step in enumerate(steps):
        factor = learning_rate_factor(number, len(steps), settings.warmup, settings.schedule)
        optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
        optimizer.zero_grad()
        loss = sum(naive_loss_sum(model, data[i]) for i in step) / sum(len(data[i].response) for i in step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        optimizer.step()
        losses.append(loss.item())
    return Plain(model, losses)


SETTINGS = FinetuneConfig(
    max_tokens=40, batch_size=4, micro_tokens=70, epochs=2, learning_rate=5e-3, weight_decay=0.01, clip=0.5
)
