"""Prompt templates, and the one place where an example becomes prompt and response tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol


class PromptTemplate(Protocol):
    """What lays out instruction and input as a prompt: a :class:`Template`, or one of Jinja."""

    @property
    def name(self) -> str:
        """Name that goes into the fingerprint, beside the hash."""

    @property
    def sha256(self) -> str:
        """Hash of all that decides the layout, 16 hexadecimal digits."""

    def render(self, instruction: str, input: str = "") -> str:
        """The prompt of one example."""


@dataclass(frozen=True, slots=True)
class Template:
    """How instruction and input are laid out as a prompt.

    Attributes:
        name: name that goes into the fingerprint, beside the hash of the two texts.
        with_input: layout with ``{instruction}`` and ``{input}``.
        without_input: layout with ``{instruction}``, for an empty input.
    """

    name: str
    with_input: str
    without_input: str

    def render(self, instruction: str, input: str = "") -> str:
        """The prompt of one example.

        Examples:
            >>> TEMPLATES["plain"].render("Add.", "1 2")
            'Add.\\n1 2\\n'
        """
        layout = self.with_input if input.strip() else self.without_input
        # Not str.format: the user's own braces must survive.
        head, _, rest = layout.partition("{instruction}")
        middle, field, tail = rest.partition("{input}")
        return f"{head}{instruction}{middle}{input if field else ''}{tail}"

    @property
    def sha256(self) -> str:
        """Content hash, 16 hexadecimal digits."""
        return hashlib.sha256(f"{self.with_input}\0{self.without_input}".encode()).hexdigest()[:16]


_ALPACA = (
    "Below is an instruction that describes a task{more}. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n"
)
_CHATML = "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n"

TEMPLATES = {
    t.name: t
    for t in (
        Template(
            "alpaca",
            _ALPACA.replace("{more}", ", paired with an input that provides further context")
            + "### Input:\n{input}\n\n### Response:\n",
            _ALPACA.replace("{more}", "") + "### Response:\n",
        ),
        Template("plain", "{instruction}\n{input}\n", "{instruction}\n"),
        Template("chatml", _CHATML.replace("{instruction}", "{instruction}\n{input}"), _CHATML),
    )
}


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """Token ids of one example.

    Attributes:
        prompt: ids of the templated prompt.
        response: ids of the response (the end-of-text token included where asked for).
        truncated: tokens that did not fit.
    """

    prompt: list[int]
    response: list[int]
    truncated: int


def start_tokens(tokenizer: Any) -> list[int]:
    """The token that a tokenizer puts before every text, as a list; empty where it puts none.

    Args:
        tokenizer: a transformers tokenizer.
    """
    # Some tokenizers add the first token by a flag, others by a post-processor: ask what they do.
    first = tokenizer("")["input_ids"][:1]
    return list(first) if first == [tokenizer.bos_token_id] else []


def encode_examples(
    tokenizer: Any,
    template: PromptTemplate,
    instructions: list[str],
    inputs: list[str],
    outputs: list[str],
    *,
    max_tokens: int,
    add_eos: bool,
) -> list[EncodedExample]:
    """Tokenise examples, prompt and response apart so that the mask is exact.

    A token never spans the border: where the tokenizer would merge the prompt's last characters with the response's
    first, the two stay apart, as they are when a model writes its answer after a given prompt.

    What does not fit into ``max_tokens`` is cut: the response keeps its beginning, at least half of
    ``max_tokens`` of it where it is that long; the prompt keeps its end, and the first token where the tokenizer
    puts one before every text: rows that are cut begin as the others do.

    Args:
        tokenizer: a transformers tokenizer.
        template: prompt template.
        instructions, inputs, outputs: texts, equally long lists.
        max_tokens: largest length of prompt and response together.
        add_eos: whether the end-of-text token ends the response (finetuning and evaluation), or not
            (perplexity of the text itself).
    """
    if not instructions:
        return []
    prompts = [template.render(a, b) for a, b in zip(instructions, inputs, strict=True)]
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    response_ids = tokenizer(outputs, add_special_tokens=False)["input_ids"]
    if start := start_tokens(tokenizer):
        # A chat template writes the first token itself.
        prompt_ids = [ids if ids[:1] == start else [*start, *ids] for ids in prompt_ids]
    if add_eos:
        response_ids = [[*ids, tokenizer.eos_token_id] for ids in response_ids]
    return [_fit(p, r, max_tokens, len(start)) for p, r in zip(prompt_ids, response_ids, strict=True)]


def _fit(prompt: list[int], response: list[int], max_tokens: int, n_start: int = 0) -> EncodedExample:
    """Cut an example whose prompt begins with so many start tokens, which stay."""
    over = len(prompt) + len(response) - max_tokens
    if over <= 0:
        return EncodedExample(prompt, response, 0)
    kept = response[: max(max_tokens - len(prompt), max_tokens // 2)]
    room = max_tokens - len(kept)
    if room < len(prompt):
        prompt = prompt[:n_start] + prompt[len(prompt) - (room - n_start) :]
    return EncodedExample(prompt, kept, over)
