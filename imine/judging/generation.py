"""Answers of a model to the prompts of an evaluation set, kept on disk by content, model, template and arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from imine.errors import ModelError, SettingsError
from imine.indicators.cache import ScoreStore
from imine.indicators.devices import DTYPES, choose_dtype
from imine.indicators.jinja_templates import check_template, resolve_template
from imine.indicators.models import LoadedModel, check_extra, tokenizer_sha256
from imine.indicators.templates import PromptTemplate, encode_examples
from imine.judging.adapters import Writer, find_writer
from imine.judging.answers import SCHEMA, Answers
from imine.judging.completing import Completion, Decoding, complete, stop_tokens
from imine.progress import Progress, SilentProgress
from imine.records import content_keys

_STORED = pl.Struct({"text": pl.String, "tokens": pl.Int64, "finished": pl.Boolean})
_NO_PROMPT = "the prompt has no tokens"


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """How a model is asked.

    Attributes:
        template: prompt template: ``alpaca``, ``plain``, ``chatml``, ``chat`` for the tokenizer's own, or a Jinja
            file. Empty for that of the finetuning, where the model's folder says which (``finetune.json``), else
            ``alpaca``.
        max_prompt_tokens: longest prompt; a longer one keeps its end.
        decoding: how tokens are drawn, and how many.
        dtype: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the hardware has units for it.
        base: base model of a LoRA folder; empty for the one that its configuration names.
        cache: whether answers are kept on disk, in the folder that ``IMINE_CACHE`` names.

    Examples:
        >>> GenerateSettings(decoding=Decoding(max_new_tokens=64)).template
        ''
    """

    template: str = ""
    max_prompt_tokens: int = 1024
    decoding: Decoding = field(default_factory=Decoding)
    dtype: str = "auto"
    base: str = ""
    cache: bool = True

    def __post_init__(self) -> None:
        if self.template:
            check_template(self.template)
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        if self.max_prompt_tokens < 16:
            raise SettingsError(f"max_prompt_tokens must be at least 16, not {self.max_prompt_tokens}")


def check_writer(name: str, settings: GenerateSettings) -> Writer:
    """Find a model and fail, before any work, where it cannot write these answers.

    Args:
        name: name or folder of a causal model, or folder of a LoRA adapter.
        settings: how it is asked.

    Raises:
        ModelNotFoundError: it is not there.
        SettingsError: prompt and answer together are longer than its positions, or it has no such template.
        MissingExtraError: a package is not installed.
    """
    check_extra("generating answers")
    writer = find_writer(name, settings.base)
    _template(writer, settings).render("one", "two")
    config = json.loads((writer.folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    most = config.get("max_position_embeddings") or config.get("n_positions")
    together = settings.max_prompt_tokens + settings.decoding.max_new_tokens
    if most and together > most:
        raise SettingsError(
            f"prompts of {settings.max_prompt_tokens:,} and answers of {settings.decoding.max_new_tokens:,} tokens "
            f"are more than the {most:,} positions of {name}; lower max_prompt_tokens or max_new_tokens"
        )
    return writer


def generate_answers(
    records: pl.DataFrame,
    name: str,
    settings: GenerateSettings | None = None,
    *,
    progress: Progress | None = None,
) -> Answers:
    """Let a model answer the prompts of an evaluation set.

    Prompts are laid out and tokenised as for finetuning, and run in left-padded batches of similar length. What is
    finished is kept on disk: a stopped run goes on, and a second one generates nothing.

    Args:
        records: ``id``, ``instruction`` and ``input``; what they have of ``output`` is not looked at.
        name: name or folder of a causal model, or folder of a LoRA adapter.
        settings: how it is asked.
        progress: told of the answers done.

    Returns:
        An answer for every row, null with its reason where there is none.

    Raises:
        ModelNotFoundError: the model is not there.
        SettingsError: a setting does not fit it.
    """
    settings, say = settings or GenerateSettings(), progress or SilentProgress()
    writer = check_writer(name, settings)
    template = _template(writer, settings)
    dtype = choose_dtype(settings.dtype, ())
    fingerprint = _fingerprint(writer, template, settings, dtype)
    keys = content_keys(records.select("instruction", "input", output=pl.lit("")))
    failed: dict[str, str] = {}
    with ScoreStore("answers", fingerprint, _STORED, settings.cache) as store:
        missing = store.missing(keys, say)
        if missing:
            lm = writer.load(dtype)
            _check_stops(lm, writer)
            asked = records[missing].select("instruction", "input")
            failed = _generate(lm, writer, template, asked, [keys[i] for i in missing], store, settings, say)
    rows = [_row(id, key, store, failed) for id, key in zip(records["id"], keys, strict=True)]
    frame = pl.DataFrame(rows, SCHEMA, orient="row")
    _tell(name, frame, say)
    return Answers(name, frame, fingerprint)


def _template(writer: Writer, settings: GenerateSettings) -> PromptTemplate:
    return resolve_template(settings.template or writer.template, writer.tokenizer)


def _fingerprint(
    writer: Writer, template: PromptTemplate, settings: GenerateSettings, dtype: str
) -> dict[str, Any]:
    return {
        "model": writer.fingerprint(),
        "tokenizer_sha256": tokenizer_sha256(writer.tokenizer),
        "template": {"name": template.name, "sha256": template.sha256},
        "max_prompt_tokens": settings.max_prompt_tokens,
        "decoding": settings.decoding.fingerprint(),
        "dtype": dtype,
    }


def _check_stops(lm: LoadedModel, writer: Writer) -> None:
    if not stop_tokens(lm, writer.folder):
        raise ModelError(f"the tokenizer of {writer.name} has no end-of-text token: no answer would ever end")


def _generate(
    lm: LoadedModel,
    writer: Writer,
    template: PromptTemplate,
    asked: pl.DataFrame,
    keys: Sequence[str],
    store: ScoreStore,
    settings: GenerateSettings,
    progress: Progress,
) -> dict[str, str]:
    """Fill the store; reasons of what failed for want of memory, which is tried again next time."""
    examples = encode_examples(
        lm.tokenizer,
        template,
        asked["instruction"].to_list(),
        asked["input"].to_list(),
        [""] * asked.height,
        max_tokens=settings.max_prompt_tokens,
        add_eos=False,
    )
    cut = sum(example.truncated > 0 for example in examples)
    if cut:
        progress.note(
            f"{cut:,} of {asked.height:,} prompts are longer than {settings.max_prompt_tokens:,} tokens; "
            "they keep their end"
        )
    for key, example in zip(keys, examples, strict=True):
        if not example.prompt:
            store.add(key, None, _NO_PROMPT)
    at = [i for i, example in enumerate(examples) if example.prompt]
    failed: dict[str, str] = {}
    progress.start(f"answers of {writer.name}", asked.height, "answers")
    parts = complete(
        lm,
        [examples[i].prompt for i in at],
        [keys[i] for i in at],
        settings.decoding,
        stops=stop_tokens(lm, writer.folder),
        progress=progress,
    )
    for rows, made, why in parts:
        names = [keys[at[row]] for row in rows]
        if made is None:
            failed.update((key, why or "") for key in names)
        else:
            _keep(store, names, made)
        progress.advance(len(rows))
    progress.finish()
    return failed


def _keep(store: ScoreStore, keys: Sequence[str], made: Sequence[Completion]) -> None:
    for key, one in zip(keys, made, strict=True):
        value = (
            None if one.text is None else {"text": one.text, "tokens": one.tokens, "finished": one.finished}
        )
        store.add(key, value, one.why)


def _row(
    id: str, key: str, store: ScoreStore, failed: dict[str, str]
) -> tuple[str, str | None, bool | None, str | None]:
    if key in failed:
        return id, None, None, failed[key]
    value, why = store.values[key]
    return (id, None, None, why) if value is None else (id, value["text"], value["finished"], None)


def _tell(name: str, frame: pl.DataFrame, progress: Progress) -> None:
    empty = int((frame["answer"] == "").sum())
    unfinished = frame["finished"].count() - int(frame["finished"].sum())
    for count, what in (
        (empty, "are empty"),
        (unfinished, "were not ended by the model before the limit of tokens"),
        (frame["answer"].null_count(), "are missing, each with its reason"),
    ):
        if count:
            progress.note(f"{name}: {count:,} of {frame.height:,} answers {what}")
