"""How a reward model's input is laid out, and how long texts are cut to fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imine.errors import ModelError
from imine.indicators.gpt_neox_reward import MODEL_TYPE
from imine.indicators.judging import JudgeInput

MAX_TOKENS = 2048
"""Longest input of a reward model whose own limit is not shorter."""

_OPEN_ASSISTANT = "<|prompter|>{prompt}<|endoftext|><|assistant|>{response}<|endoftext|>"
# Positions of these begin after the padding's, so that two fewer tokens fit than they have positions.
_SHIFTED = ("roberta", "xlm-roberta", "camembert")
# Some templates print today's date: a score must not depend on the day.
_ONE_DAY = "{%- macro strftime_now(format) -%} 26 Jul 2024 {%- endmacro -%}"


@dataclass(frozen=True, slots=True)
class RewardLayout:
    """How prompt and response become the input of one reward model.

    Attributes:
        name: ``open-assistant``, ``chat-template`` or ``text-pair``.
        template: the turns' layout, or the tokenizer's own Jinja template; empty for a text pair.
        max_tokens: longest input, special tokens included.
    """

    name: str
    template: str
    max_tokens: int

    @property
    def sha256(self) -> str:
        """Content hash, 16 hexadecimal digits."""
        return hashlib.sha256(f"{self.name}\0{self.template}".encode()).hexdigest()[:16]


def reward_layout(folder: Path) -> RewardLayout:
    """The layout of a reward model, from its files alone: no weights are read.

    That is the turns of Open Assistant for its architecture; else the tokenizer's chat template, where it has one;
    else prompt and response as a pair of texts.

    Args:
        folder: the model's folder.

    Raises:
        ModelError: the model does not have exactly one output.
    """
    config = _json(folder / "config.json")
    limit = _max_tokens(config, _json(folder / "tokenizer_config.json"))
    if config.get("model_type") == MODEL_TYPE:
        return RewardLayout("open-assistant", _OPEN_ASSISTANT, limit)
    # transformers writes the labels' names where their number is not two.
    outputs = len(config.get("id2label") or ()) or config.get("num_labels") or 2
    if outputs != 1:
        raise ModelError(
            f"{folder} is no reward model: a reward is one number, and this model has {outputs} outputs "
            "(id2label of its config.json)"
        )
    template = _chat_template(folder)
    return RewardLayout("chat-template" if template else "text-pair", template, limit)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _max_tokens(config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    positions = config.get("max_position_embeddings") or config.get("n_positions") or MAX_TOKENS
    if config.get("model_type") in _SHIFTED:
        positions -= 2
    return int(min(MAX_TOKENS, positions, tokenizer.get("model_max_length") or MAX_TOKENS))


def _chat_template(folder: Path) -> str:
    """The template that transformers would take; a file of its own goes before the tokenizer's settings."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    found = _json(folder / "chat_template.json").get("chat_template") or _json(
        folder / "tokenizer_config.json"
    ).get("chat_template")
    if isinstance(found, list):
        found = next((one["template"] for one in found if one.get("name") == "default"), None)
    return str(found or "")


def encode_pairs(
    tokenizer: Any, layout: RewardLayout, prompts: Sequence[str], responses: Sequence[str]
) -> list[JudgeInput]:
    """Lay out and tokenise prompts with their responses.

    What does not fit is cut out of the texts before they are laid out, so that the layout stays whole: the response
    keeps its beginning, at least half of the room where it is that long; the prompt keeps its end.

    Args:
        tokenizer: the model's transformers tokenizer.
        layout: the model's layout.
        prompts, responses: texts, equally many; a blank response is not scored.
    """
    at = [i for i, response in enumerate(responses) if response.strip()]
    whole = _encode(tokenizer, layout, [prompts[i] for i in at], [responses[i] for i in at])
    rows = [JudgeInput([], why="the response is empty") for _ in responses]
    for i, row in zip(at, whole, strict=True):
        fits = len(row.ids) <= layout.max_tokens
        rows[i] = row if fits else _fit(tokenizer, layout, prompts[i], responses[i], len(row.ids))
    return rows


def _encode(
    tokenizer: Any, layout: RewardLayout, prompts: list[str], responses: list[str]
) -> list[JudgeInput]:
    if not prompts:
        return []
    if layout.name == "text-pair":
        encoded = tokenizer(prompts, responses, truncation=False)
    else:
        texts = [_laid_out(tokenizer, layout, *pair) for pair in zip(prompts, responses, strict=True)]
        encoded = tokenizer(texts, add_special_tokens=False, truncation=False)
    types = encoded.get("token_type_ids") or [None] * len(prompts)
    return [JudgeInput(list(a), b) for a, b in zip(encoded["input_ids"], types, strict=True)]


def _laid_out(tokenizer: Any, layout: RewardLayout, prompt: str, response: str) -> str:
    if layout.name == "open-assistant":
        # Not str.format: braces of the texts must survive.
        before, _, rest = layout.template.partition("{prompt}")
        between, _, after = rest.partition("{response}")
        return f"{before}{prompt}{between}{response}{after}"
    from jinja2 import TemplateError

    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    try:
        return str(
            tokenizer.apply_chat_template(turns, chat_template=_ONE_DAY + layout.template, tokenize=False)
        )
    except TemplateError as error:
        raise ModelError(f"the model's chat template takes no prompt and response: {error}") from error


def _fit(tokenizer: Any, layout: RewardLayout, prompt: str, response: str, length: int) -> JudgeInput:
    """The row with its texts cut; cutting may split a word anew, so what is still too long is cut further."""
    asked, said = (
        tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False)[
            "offset_mapping"
        ]
        for text in (prompt, response)
    )
    room = layout.max_tokens - (length - len(asked) - len(said))
    while room > 0:
        kept = min(len(said), max(room - len(asked), room // 2, 1))
        left = min(len(asked), room - kept)
        start = asked[len(asked) - left][0] if left else len(prompt)
        end = said[kept - 1][1] if kept else 0
        (row,) = _encode(tokenizer, layout, [prompt[start:]], [response[:end]])
        over = len(row.ids) - layout.max_tokens
        if over <= 0:
            return JudgeInput(row.ids, row.types, len(asked) - left + len(said) - kept)
        room -= over
    raise ModelError(
        f"the model's layout {layout.name!r} alone takes more than its {layout.max_tokens} tokens"
    )
