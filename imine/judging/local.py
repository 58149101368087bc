"""A judge that is a causal model in this process: by the likelihood of three letters, or by what it writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

from imine.errors import ModelError, SettingsError
from imine.indicators.batches import run_batches
from imine.indicators.devices import DTYPES, choose_dtype
from imine.indicators.jinja_templates import CHAT, check_template, resolve_template
from imine.indicators.models import (
    LoadedModel,
    check_extra,
    load_causal_lm,
    model_path,
    model_sha256,
    tokenizer_sha256,
)
from imine.indicators.templates import PromptTemplate, encode_examples
from imine.judging.completing import Decoding, complete, generate_plainly, stop_tokens
from imine.judging.judges import Question, Reply
from imine.judging.prompts import LETTERS, PROMPTS, JudgePrompt, Verdict, parse_verdict
from imine.progress import Progress

_BATCH_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 65_536}


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How a local judge is asked.

    Attributes:
        model: name or folder of a causal model.
        how: ``likelihood``: the verdict is the likeliest of the letters A, B and C (a tie) as the next token;
            ``text``: the model writes reasons and a verdict line, which is parsed.
        template: how the question is laid out: ``chat`` for the tokenizer's own (``plain`` where it has none), or
            another template.
        least_mass: of ``likelihood``: least probability of the three letters together; below it there is no verdict,
            since the model is about to say something else.
        max_tokens: longest question; a longer one gets no verdict.
        max_new_tokens: of ``text``: most tokens of a reply.
        dtype: ``float32``, ``bfloat16`` or ``auto``.

    Examples:
        >>> LocalSettings("smollm2-135m").how
        'likelihood'
    """

    model: str
    how: Literal["likelihood", "text"] = "likelihood"
    template: str = CHAT
    least_mass: float = 0.1
    max_tokens: int = 4096
    max_new_tokens: int = 512
    dtype: str = "auto"

    def __post_init__(self) -> None:
        check_template(self.template)
        if self.how not in ("likelihood", "text"):
            raise SettingsError(f"a local judge works by likelihood or text, not {self.how!r}")
        if not 0 <= self.least_mass <= 1:
            raise SettingsError(f"least_mass must be between 0 and 1, not {self.least_mass}")
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        if self.max_tokens < 16 or self.max_new_tokens < 1:
            raise SettingsError("max_tokens must be at least 16 and max_new_tokens at least 1")


class LocalJudge:
    """Asks a causal model in this process.

    Args:
        settings: which model and how.

    Raises:
        ModelNotFoundError: the model is not there.
        MissingExtraError: torch or transformers is not installed.
    """

    def __init__(self, settings: LocalSettings) -> None:
        check_extra("a local judge")
        self._settings = settings
        self._folder = model_path(settings.model)
        self._template = _template(settings)
        self._dtype = choose_dtype(settings.dtype, ())
        self._longest = _longest(settings, self._folder)
        self.prompt: JudgePrompt = PROMPTS["letter" if settings.how == "likelihood" else "text"]

    def fingerprint(self) -> dict[str, Any]:
        """Model, its hash, the way of asking and the wording."""
        settings = self._settings
        own: dict[str, Any] = {"least_mass": settings.least_mass}
        if settings.how == "text":
            own = {"max_new_tokens": settings.max_new_tokens}
        return {
            "kind": "local",
            "how": settings.how,
            "model": {"name": settings.model, "sha256": model_sha256(self._folder)},
            "tokenizer_sha256": tokenizer_sha256(settings.model),
            "template": {"name": self._template.name, "sha256": self._template.sha256},
            "max_tokens": self._longest,
            "dtype": self._dtype,
            "prompt": {"version": self.prompt.version, "sha256": self.prompt.sha256},
            **own,
        }

    def replies(self, questions: Sequence[Question], progress: Progress) -> Iterator[Reply]:
        """Judge, a batch at a time.

        Raises:
            ModelError: the tokenizer has no single token for a letter, or no end-of-text token.
        """
        if not questions:
            return
        lm = load_causal_lm(self._settings.model, self._dtype)
        texts, blank = [question.text for question in questions], [""] * len(questions)
        # Nothing is cut: a question without its beginning or end is another question.
        encoded = encode_examples(
            lm.tokenizer, self._template, texts, blank, blank, max_tokens=2**31, add_eos=False
        )
        prompts = [example.prompt for example in encoded]
        at = [i for i, prompt in enumerate(prompts) if len(prompt) <= self._longest]
        for i in set(range(len(questions))) - set(at):
            why = f"the question is longer than the judge's {self._longest:,} tokens"
            yield Reply(questions[i].key, None, why, True, {"request": {"prompt": texts[i]}})
        ask = self._by_letters if self._settings.how == "likelihood" else self._by_text
        yield from ask(lm, [questions[i] for i in at], [prompts[i] for i in at], progress)

    def _by_letters(
        self, lm: LoadedModel, questions: list[Question], prompts: list[list[int]], progress: Progress
    ) -> Iterator[Reply]:
        letters = letter_tokens(lm.tokenizer)
        budget = _BATCH_TOKENS.get(lm.model.device.type, 4096)

        def batch(rows: list[int]) -> Any:
            made = generate_plainly(lm, [prompts[i] for i in rows], max_new_tokens=1, output_logits=True)
            return made.logits[0].float().log_softmax(dim=1)[:, letters].cpu().double().tolist()

        for result in run_batches([len(p) for p in prompts], batch, max_tokens=budget, progress=progress):
            for place, row in enumerate(result.rows):
                if result.values is None:
                    yield _unanswered(questions[row], result.why)
                else:
                    yield _letter_reply(questions[row], result.values[place], self._settings.least_mass)

    def _by_text(
        self, lm: LoadedModel, questions: list[Question], prompts: list[list[int]], progress: Progress
    ) -> Iterator[Reply]:
        stops = stop_tokens(lm, self._folder)
        if not stops:
            raise ModelError(f"the tokenizer of {self._settings.model} has no end-of-text token")
        decoding = Decoding(max_new_tokens=self._settings.max_new_tokens)
        names = [question.key for question in questions]
        for rows, made, why in complete(lm, prompts, names, decoding, stops=stops, progress=progress):
            for row, one in zip(rows, made or repeat(None, len(rows)), strict=True):
                question = questions[row]
                if one is None:
                    yield _unanswered(question, why)
                    continue
                verdict, reason = parse_verdict(one.text or "") if one.finished else (None, one.why)
                reason = reason or (None if verdict else "the reply was cut off before its end")
                transcript = {"request": {"prompt": question.text}, "text": one.text, "tokens": one.tokens}
                yield Reply(question.key, verdict, reason, True, transcript)


def letter_tokens(tokenizer: Any) -> list[int]:
    """The single tokens of the letters A, B and C.

    Raises:
        ModelError: a letter is several tokens, or none of its own.
    """
    found = tokenizer(list(LETTERS), add_special_tokens=False)["input_ids"]
    tokens = [ids[0] for ids in found if len(ids) == 1 and ids[0] != tokenizer.unk_token_id]
    if len(set(tokens)) != len(LETTERS):
        raise ModelError("the judge's tokenizer has no single tokens for A, B and C; let it judge by text")
    return tokens


def _letter_reply(question: Question, logs: list[float], least_mass: float) -> Reply:
    """The verdict of log-probabilities of the three letters, and a record of their probabilities."""
    mass = sum(math.exp(value) for value in logs)
    verdict: Verdict | None = None
    why = None
    ranked = sorted(zip(logs, LETTERS.values(), strict=True), reverse=True)
    if not math.isfinite(mass):
        why = "the model's logits are not finite numbers"
    elif mass < least_mass:
        why = "the judge is about to say something else than a letter"
    elif ranked[0][0] == ranked[1][0]:
        why = "two letters are equally likely"
    else:
        verdict = ranked[0][1]
    shown = {
        letter: round(value, 6) for letter, value in zip(LETTERS, logs, strict=True) if math.isfinite(value)
    }
    return Reply(
        question.key,
        verdict,
        why,
        True,
        {"request": {"prompt": question.text}, "log_probabilities": shown},
    )


def _unanswered(question: Question, why: str | None) -> Reply:
    return Reply(question.key, None, why, False, {"request": {"prompt": question.text}})


def _template(settings: LocalSettings) -> PromptTemplate:
    try:
        return resolve_template(settings.template, settings.model)
    except SettingsError:
        if settings.template != CHAT:
            raise
        return resolve_template("plain", settings.model)


def _longest(settings: LocalSettings, folder: Path) -> int:
    """Most tokens of a question: what was asked for, and what the model's positions leave beside the reply."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    most = config.get("max_position_embeddings") or config.get("n_positions") or settings.max_tokens
    reply = 1 if settings.how == "likelihood" else settings.max_new_tokens
    return int(min(settings.max_tokens, most - reply))
