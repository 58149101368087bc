"""Completions of prompts by a causal model, in left-padded batches; what a row draws does not depend on its batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.errors import SettingsError
from imine.indicators.batches import run_batches
from imine.indicators.models import LoadedModel
from imine.progress import Progress

NOT_FINITE = "the model's logits are not finite numbers"

# Padded tokens a batch, those to come included.
_BATCH_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 65_536}


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a completion is drawn.

    Attributes:
        max_new_tokens: most tokens of a completion.
        temperature: 0 for the likeliest token always; else logits are divided by it and a token is drawn.
        top_p: draw among the likeliest tokens that together have at least this probability; 1 for all.
        seed: of the draws; with it and the prompt, a completion is the same in any batch.
        batch_tokens: most padded tokens of a batch; 0 for what suits the device.

    Examples:
        >>> Decoding(temperature=0.7).top_p
        1.0
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    batch_tokens: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise SettingsError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not 0 <= self.temperature < float("inf"):
            raise SettingsError(f"temperature must be 0 or above, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise SettingsError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.seed < 0 or self.batch_tokens < 0:
            raise SettingsError("seed and batch_tokens must not be negative")

    def fingerprint(self) -> dict[str, Any]:
        """What decides the text: without a temperature no seed and no top_p."""
        drawn = {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}
        return {"max_new_tokens": self.max_new_tokens} | (drawn if self.temperature else {"temperature": 0})


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote.

    Attributes:
        text: without special tokens, and without white space at both ends; ``None`` where there is none.
        tokens: number of tokens, the one that ends it left out.
        finished: whether the model ended it, as against the limit of tokens.
        why: reason of a missing text.
    """

    text: str | None
    tokens: int
    finished: bool
    why: str | None = None


def stop_tokens(lm: LoadedModel, folder: Path) -> list[int]:
    """Tokens that end a completion.

    That is the tokenizer's end-of-text token, and those of the model's ``generation_config.json`` that are special
    tokens of the tokenizer: chat models often end a turn with another one.

    Args:
        lm: the model.
        folder: where its files lie.
    """
    stops = {lm.tokenizer.eos_token_id}
    file = folder / "generation_config.json"
    if file.is_file():
        named = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
        stops |= {*(named if isinstance(named, list) else [named])} & {*lm.tokenizer.all_special_ids}
    return sorted(token for token in stops if token is not None)


def complete(
    lm: LoadedModel,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    decoding: Decoding,
    *,
    stops: Sequence[int],
    progress: Progress | None = None,
) -> Iterator[tuple[list[int], list[Completion] | None, str | None]]:
    """Complete prompts, the longest first.

    Args:
        lm: a causal language model.
        prompts: token ids of each prompt, at least one.
        names: names each prompt; with the seed it decides what is drawn.
        decoding: how tokens are drawn.
        stops: tokens that end a completion.
        progress: told when memory ran out.

    Yields:
        Positions of a batch with their completions; or, where even a single row took too much memory, with ``None``
        and the reason.
    """
    budget = decoding.batch_tokens or _BATCH_TOKENS.get(lm.model.device.type, 4096)
    lengths = [len(prompt) + decoding.max_new_tokens for prompt in prompts]

    def batch(rows: list[int]) -> list[Completion]:
        draws = row_draws([names[i] for i in rows], decoding) if decoding.temperature else None
        return _complete_batch(lm, [prompts[i] for i in rows], draws, decoding, stops)

    for result in run_batches(lengths, batch, max_tokens=budget, progress=progress):
        yield result.rows, result.values, result.why


def row_draws(names: Sequence[str], decoding: Decoding) -> NDArray[np.float64]:
    """Uniform numbers (rows, max_new_tokens) in [0, 1) that depend on the seed and the row's name alone.

    Examples:
        >>> alone, together = row_draws(["b"], Decoding()), row_draws(["a", "b"], Decoding())
        >>> alone.shape, bool((alone[0] == together[1]).all())
        ((1, 256), True)
    """
    words = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") for name in names]
    generators = (np.random.default_rng(np.random.SeedSequence([decoding.seed, word])) for word in words)
    return np.stack([generator.random(decoding.max_new_tokens) for generator in generators])


def left_padded(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Any, Any]:
    """Token ids and attention mask, int64 tensors (rows, width), the prompts at the right end."""
    import torch

    width = max(len(prompt) for prompt in prompts)
    ids = np.full((len(prompts), width), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def generate_plainly(lm: LoadedModel, prompts: Sequence[Sequence[int]], **how: Any) -> Any:
    """transformers' ``generate``, greedy, with nothing of the model's own generation settings in it.

    Args:
        lm: a causal language model.
        prompts: token ids.
        how: further arguments of ``generate``.
    """
    import torch
    from transformers import GenerationConfig

    pad = lm.tokenizer.pad_token_id
    # Penalties and samplers that a model ships with would otherwise be put in where nothing is said of them.
    lm.model.generation_config = GenerationConfig()
    ids, mask = left_padded(prompts, pad)
    config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        pad_token_id=pad,
        return_dict_in_generate=True,
        **{
            name: how.pop(name) for name in ("max_new_tokens", "eos_token_id", "output_logits") if name in how
        },
    )
    device = lm.model.device
    with torch.inference_mode():
        return lm.model.generate(
            input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=config, **how
        )


def _complete_batch(
    lm: LoadedModel,
    prompts: list[Sequence[int]],
    draws: NDArray[np.float64] | None,
    decoding: Decoding,
    stops: Sequence[int],
) -> list[Completion]:
    from imine.judging.drawing import choose_tokens

    width = max(len(prompt) for prompt in prompts)
    chooser = choose_tokens(len(prompts), width, draws, decoding, stops)
    made = generate_plainly(
        lm,
        prompts,
        max_new_tokens=decoding.max_new_tokens,
        eos_token_id=list(stops),
        logits_processor=[chooser],
    )
    rows = made.sequences[:, width:].tolist()
    return [
        _completion(lm, row, stops, bool(bad))
        for row, bad in zip(rows, chooser.not_finite.tolist(), strict=True)
    ]


def _completion(lm: LoadedModel, tokens: list[int], stops: Sequence[int], bad: bool) -> Completion:
    if bad:
        return Completion(None, 0, False, NOT_FINITE)
    end = next((i for i, token in enumerate(tokens) if token in stops), None)
    kept = tokens if end is None else tokens[:end]
    text = lm.tokenizer.decode(kept, skip_special_tokens=True).strip()
    return Completion(text, len(kept), end is not None)
