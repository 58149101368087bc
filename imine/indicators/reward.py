"""Reward: how a model trained on human preferences rates a response to its prompt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl

from imine.columns import require_column
from imine.indicators.cache import ScoreStore
from imine.indicators.gpt_neox_reward import register_architecture
from imine.indicators.judging import JudgeInput, judge_rows, judged_column, padded
from imine.indicators.layouts import RewardLayout, encode_pairs
from imine.indicators.models import LoadedModel, load_classifier, load_tokenizer
from imine.indicators.spread import Compute
from imine.indicators.tokens import prompt_text
from imine.progress import Progress


def reward_fingerprint(
    model_name: str, model_sha256: str, tokenizer_sha256: str, layout: RewardLayout, dtype: str
) -> dict[str, Any]:
    """What makes a column of rewards."""
    return {
        "indicator": "reward",
        "version": require_column("reward").version,
        "reward_model": {"name": model_name, "sha256": model_sha256, "tokenizer_sha256": tokenizer_sha256},
        "layout": {"name": layout.name, "sha256": layout.sha256},
        "max_tokens": layout.max_tokens,
        "dtype": dtype,
    }


def score_reward(
    frame: pl.DataFrame,
    keys: list[str],
    *,
    model_name: str,
    layout: RewardLayout,
    dtype: str,
    devices: Sequence[str],
    store: ScoreStore,
    progress: Progress,
) -> pl.DataFrame:
    """Reward of every row; what the store has is not computed again.

    Args:
        frame: records, with ``instruction``, ``input`` and ``output``.
        keys: content key of each row.
        model_name: name or folder of a model with one output.
        layout: how it takes its input, see :func:`imine.indicators.layouts.reward_layout`.
        dtype: number type of its weights; the last layer is float32 whatever this is.
        devices: where it runs, one process each if there are several.
        store: where finished rows are kept.
        progress: told of the tokens done, and of the rows that were cut.

    Returns:
        One row a row of ``frame``: ``value`` (Float64, the model's own scale) and ``why`` (String).

    Raises:
        ModelError: the model is no reward model.
    """
    missing = store.missing(keys, progress)
    if missing:
        rows = frame.select("instruction", "input", "output")[missing]
        register_architecture()
        tokenizer = load_tokenizer(model_name)
        judge_rows(
            encode_pairs(tokenizer, layout, prompt_text(rows).to_list(), rows["output"].to_list()),
            [keys[i] for i in missing],
            [store] * len(missing),
            partial(prepare_reward, model_name, dtype),
            kind="reward",
            devices=devices,
            progress=progress,
        )
    return judged_column(store, keys, "reward", layout.max_tokens, progress)


def prepare_reward(model_name: str, dtype: str, device: str) -> Compute:
    """A reward model on a device, ready for batches.

    Args:
        model_name: name or folder of a model with one output.
        dtype: number type of its weights.
        device: as torch names it.
    """
    judge = reward_judge(load_classifier(model_name, dtype, on=device))

    def compute(rows: list[JudgeInput]) -> list[float]:
        rewards: list[float] = judge(rows).double().tolist()
        return rewards

    return compute


def reward_judge(loaded: LoadedModel) -> Callable[[list[JudgeInput]], Any]:
    """Rewards of batches: a function from rows to a float32 tensor (rows,).

    Args:
        loaded: a model with one output; its last layer is made float32, so that a bfloat16 trunk does not leave it
            with three digits.
    """
    import torch

    model = loaded.model
    _sharpen(model)
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    config = model.config.get_text_config()
    own_pad = config.pad_token_id

    def judge(rows: list[JudgeInput]) -> Any:
        # Many classifiers read the last token that is not padding; those without a padding token read the last one of
        # all, and refuse batches: for them any token will do that no row of the batch ends with.
        config.pad_token_id = unused_token(rows) if own_pad is None else own_pad
        batch = padded(rows, config.pad_token_id, model.device)
        if not takes_types:
            batch.pop("token_type_ids", None)
        with torch.inference_mode():
            return model(**batch).logits.squeeze(-1).float()

    return judge


def unused_token(rows: Sequence[JudgeInput]) -> int:
    """The smallest token id that no row ends with.

    Examples:
        >>> unused_token([JudgeInput([5, 0]), JudgeInput([1]), JudgeInput([0])])
        2
    """
    last = {row.ids[-1] for row in rows}
    return min(set(range(len(last) + 1)) - last)


def _sharpen(model: Any) -> None:
    import torch

    trunk = {id(module) for module in model.base_model.modules()}
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module.out_features == 1 and id(module) not in trunk:
            module.float()
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))
