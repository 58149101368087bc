"""UniEval's dialogue evaluator: a T5 that is asked a yes-or-no question about a response.

Zhong et al. (2022), Towards a Unified Multi-Dimensional Evaluator for Text Generation, arXiv 2210.07197; questions and
layout as its weights were trained on them (maszhongming/UniEval: utils.py, metric/scorer.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from imine.columns import require_column
from imine.errors import ModelError
from imine.indicators.cache import ScoreStore
from imine.indicators.judging import JudgeInput, judge_rows, judged_column, padded
from imine.indicators.models import load_seq2seq, load_tokenizer
from imine.indicators.spread import Compute
from imine.progress import Progress

MAX_TOKENS = 1024
"""Longest input, the end-of-text token included."""

QUESTIONS = {
    "naturalness": "question: Is this a natural response in the dialogue? </s> response: {response}",
    "coherence": (
        "question: Is this a coherent response given the dialogue history? </s> response: {response}"
        " </s> dialogue history: {history}"
    ),
    "understandability": "question: Is this an understandable response in the dialogue? </s> response: {response}",
}
"""Input of each dimension."""

_EMPTY = "the response is empty"
_NO_HISTORY = "the example has no dialogue history: instruction and input are empty"
_NO_ROOM = f"the response leaves no room for the dialogue history in {MAX_TOKENS:,} tokens"
# As imine.records writes the earlier turns of a conversation into the input.
_SPEAKER = re.compile(r"(?:\A|\n\n)(?:User|Assistant|System|Tool): ")


def unieval_fingerprint(
    name: str, model_name: str, model_sha256: str, tokenizer_sha256: str, dtype: str
) -> dict[str, Any]:
    """What makes a column of one of UniEval's dimensions."""
    return {
        "indicator": name,
        "version": require_column(name).version,
        "unieval_model": {"name": model_name, "sha256": model_sha256, "tokenizer_sha256": tokenizer_sha256},
        "question": {"name": name, "sha256": hashlib.sha256(QUESTIONS[name].encode()).hexdigest()[:16]},
        "max_tokens": MAX_TOKENS,
        "dtype": dtype,
    }


def dialogue_history(instruction: str, input: str) -> str:
    """The turns before a response, parted by a line break and ended by two; empty where there are none.

    Args:
        instruction: the last thing that was asked.
        input: earlier turns as :func:`imine.read` writes them (``User: ...``, ``Assistant: ...``), which come before
            the instruction; or the context of a single-turn example, which comes after it.

    Examples:
        >>> dialogue_history("And in winter?", "User: Is it cold there?\\n\\nAssistant: Not in summer.")
        'Is it cold there?\\nNot in summer.\\nAnd in winter?\\n\\n'
        >>> dialogue_history("Translate.", "Guten Tag"), dialogue_history(" ", "")
        ('Translate.\\nGuten Tag\\n\\n', '')
    """
    earlier = _SPEAKER.split(input)[1:] if _SPEAKER.match(input) else []
    turns = [*earlier, instruction] if earlier else [instruction, input]
    said = [turn for turn in turns if turn.strip()]
    return "\n".join(said) + "\n\n" if said else ""


def score_unieval(
    frame: pl.DataFrame,
    keys: list[str],
    stores: Mapping[str, ScoreStore],
    *,
    model_name: str,
    dtype: str,
    devices: Sequence[str],
    progress: Progress,
) -> dict[str, pl.DataFrame]:
    """UniEval's dimensions of every row; what the stores have is not computed again.

    Args:
        frame: records, with ``instruction``, ``input`` and ``output``.
        keys: content key of each row.
        stores: where finished rows are kept, by the dimensions that are asked for: keys of :data:`QUESTIONS`.
        model_name: name or folder of an encoder-decoder; loaded only where something is missing.
        dtype: number type of its weights; the last layer is float32 whatever this is.
        devices: where it runs, one process each if there are several.
        progress: told of the tokens done, and of the rows that were cut.

    Returns:
        For each dimension one row a row of ``frame``: ``value`` (Float64, 0 to 1) and ``why`` (String).

    Raises:
        ModelError: the model is no encoder-decoder, or its tokenizer begins yes and no alike.
    """
    missing = {name: store.missing(keys, progress) for name, store in stores.items()}
    if any(missing.values()):
        tokenizer = load_tokenizer(model_name)
        inputs: list[JudgeInput] = []
        for name, at in missing.items():
            rows = frame.select("instruction", "input", "output")[at]
            histories = [dialogue_history(a, b) for a, b in rows.select("instruction", "input").iter_rows()]
            inputs += encode_questions(tokenizer, name, rows["output"].to_list(), histories)
        judge_rows(
            inputs,
            [keys[i] for at in missing.values() for i in at],
            [stores[name] for name, at in missing.items() for _ in at],
            partial(prepare_unieval, model_name, dtype),
            kind="unieval",
            devices=devices,
            progress=progress,
        )
    return {name: judged_column(store, keys, name, MAX_TOKENS, progress) for name, store in stores.items()}


def prepare_unieval(model_name: str, dtype: str, device: str) -> Compute:
    """The model on a device, ready for batches of questions.

    Args:
        model_name, dtype: as for :func:`load_yes_judge`.
        device: as torch names it.
    """
    rate = load_yes_judge(model_name, dtype, on=device)

    def compute(rows: list[JudgeInput]) -> list[float]:
        shares: list[float] = rate(rows).tolist()
        return shares

    return compute


def encode_questions(
    tokenizer: Any, name: str, responses: Sequence[str], histories: Sequence[str]
) -> list[JudgeInput]:
    """Ask the question of a dimension about each response.

    What does not fit is cut off at the end, as the original does: first of the history, then of the response. Where
    nothing of the history is left there is no score of coherence.

    Args:
        tokenizer: the model's transformers tokenizer.
        name: a key of :data:`QUESTIONS`.
        responses, histories: texts, equally many.
    """
    rows = [JudgeInput([], why=_reason(name, *pair)) for pair in zip(responses, histories, strict=True)]
    at = [i for i, row in enumerate(rows) if row.why is None]
    if not at:
        return rows
    texts = [_ask(name, responses[i], histories[i]) for i in at]
    for i, ids in zip(at, tokenizer(texts, truncation=False)["input_ids"], strict=True):
        over = len(ids) - MAX_TOKENS
        if over <= 0:
            rows[i] = JudgeInput(list(ids))
        elif name == "coherence" and _fills(tokenizer, responses[i]):
            rows[i] = JudgeInput([], why=_NO_ROOM)
        else:
            rows[i] = JudgeInput([*ids[: MAX_TOKENS - 1], ids[-1]], cut=over)
    return rows


def _reason(name: str, response: str, history: str) -> str | None:
    if not response.strip():
        return _EMPTY
    return _NO_HISTORY if name == "coherence" and not history else None


def _ask(name: str, response: str, history: str) -> str:
    # Not str.format: braces of the texts must survive.
    before, _, rest = QUESTIONS[name].partition("{response}")
    between, field, _ = rest.partition("{history}")
    return f"{before}{response}{between}{history if field else ''}"


def _fills(tokenizer: Any, response: str) -> bool:
    """Whether question, response and the history's heading take all the room, the end-of-text token counted."""
    return len(tokenizer(_ask("coherence", response, ""), truncation=False)["input_ids"]) >= MAX_TOKENS


def load_yes_judge(
    model_name: str, dtype: str = "float32", on: str | None = None
) -> Callable[[list[JudgeInput]], Any]:
    """A T5 that was trained to answer questions with yes or no.

    Args:
        model_name: name or folder of an encoder-decoder.
        dtype: number type of its weights. Its last layer is replaced by the two rows of it that are asked for, in
            float32, so that bfloat16 does not leave the answer with two digits.
        on: the device; ``None`` for the accelerator where there is one.

    Returns:
        From rows to P(Yes) / (P(Yes) + P(No)) at the first step of the decoder, a float64 tensor (rows,).

    Raises:
        ModelError: it is no encoder-decoder, or yes and no begin with the same token.
        ModelNotFoundError: the model is not there.
    """
    import torch

    loaded = load_seq2seq(model_name, dtype, on=on)
    yes, no = yes_and_no(loaded.tokenizer, model_name)
    model = loaded.model
    head = model.get_output_embeddings().weight[[yes, no]].detach().float()
    pad_id, start = model.config.pad_token_id or 0, model.config.decoder_start_token_id

    class YesNo(torch.nn.Module):
        def forward(self, states: Any) -> Any:
            return torch.nn.functional.linear(states.float(), head)

    model.set_output_embeddings(YesNo())

    def rate(rows: list[JudgeInput]) -> Any:
        first = torch.full((len(rows), 1), start, device=model.device)
        with torch.inference_mode():
            logits = model(**padded(rows, pad_id, model.device), decoder_input_ids=first).logits[:, 0]
            return torch.sigmoid((logits[:, 0] - logits[:, 1]).double())

    return rate


def yes_and_no(tokenizer: Any, model_name: str) -> tuple[int, int]:
    """The first tokens of Yes and No.

    Raises:
        ModelError: they are the same.
    """
    yes, no = (tokenizer(word)["input_ids"][0] for word in ("Yes", "No"))
    if yes == no:
        raise ModelError(
            f"{model_name}: its tokenizer begins Yes and No with the same token {yes}; UniEval has the tokenizer of T5"
        )
    return yes, no
