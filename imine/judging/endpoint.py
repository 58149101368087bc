"""A judge behind an endpoint of OpenAI's chat completions: many questions at a time, patience with failures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from imine.errors import JudgingError, SettingsError
from imine.judging.judges import Question, Reply
from imine.judging.pacing import Pacer, backoff, retry_after
from imine.judging.posting import Attempt, chat_url, check_key, post_json
from imine.judging.prompts import PROMPTS, JudgePrompt, Verdict, parse_verdict
from imine.progress import Progress

KEY_VARIABLE = "IMINE_JUDGE_KEY"
"""Environment variable of the key, unless another is named: no key made for another service is sent by accident."""

_DEFAULTS = {"temperature": 0, "max_tokens": 512}
_OWN = ("model", "messages", "stream", "n")
# Timeout, conflict, too early, too many requests: worth another attempt, as is whatever is the server's own fault.
_AGAIN = (408, 409, 425, 429)
# Wrong key, no right, wrong address or model: every other question would fail in the same way.
_HOPELESS = (401, 403, 404)
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """How an endpoint is asked.

    Attributes:
        url: base address, such as ``https://host/v1``.
        model: name of the judge's model there.
        key_variable: environment variable with the key; no key is sent where it is not set.
        options: further fields of the request (``{"seed": 1}``); ``None`` takes a default one out. The defaults are
            temperature 0 and at most 512 tokens.
        concurrency: requests under way at a time.
        per_minute: most requests a minute; 0 for no limit.
        attempts: most requests for one question.
        first_wait: seconds before the second attempt, doubled before each further one.
        longest_wait: most seconds between two attempts, also where the endpoint asks for more.
        timeout: seconds that the endpoint may be silent.

    Examples:
        >>> EndpointSettings("http://localhost:8000/v1", "judge").body("?")["messages"]
        [{'role': 'user', 'content': '?'}]
    """

    url: str
    model: str
    key_variable: str = KEY_VARIABLE
    options: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 4
    per_minute: float = 0.0
    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    timeout: float = 120.0

    def __post_init__(self) -> None:
        chat_url(self.url)
        if not self.model:
            raise SettingsError("a judge behind an endpoint needs the name of its model there")
        if taken := [name for name in _OWN if name in self.options]:
            raise SettingsError(f"the judge's option {taken[0]!r} is set by imine; leave it out")
        for name in ("concurrency", "attempts"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("per_minute", "first_wait", "longest_wait"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must not be negative, and is {getattr(self, name)}")
        if self.timeout <= 0:
            raise SettingsError(f"timeout must be above 0, not {self.timeout}")

    def parameters(self) -> dict[str, Any]:
        """The fields of a request beside model and messages."""
        return {name: value for name, value in {**_DEFAULTS, **self.options}.items() if value is not None}

    def body(self, text: str) -> dict[str, Any]:
        """The request for a question."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            **self.parameters(),
        }


class EndpointJudge:
    """Asks a model behind an endpoint for reasons and a verdict line.

    Args:
        settings: where and how.

    Raises:
        SettingsError: the key cannot be sent.
    """

    prompt: JudgePrompt = PROMPTS["text"]

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._url = chat_url(settings.url)
        self._key = check_key(os.environ.get(settings.key_variable, ""), settings.key_variable)

    def fingerprint(self) -> dict[str, Any]:
        """Address, model, parameters and wording; the key is no part of it."""
        return {
            "kind": "endpoint",
            "url": self._url,
            "model": self._settings.model,
            "parameters": self._settings.parameters(),
            "prompt": {"version": self.prompt.version, "sha256": self.prompt.sha256},
        }

    def replies(self, questions: Sequence[Question], progress: Progress) -> Iterator[Reply]:
        """Ask, several at a time.

        Yields:
            Replies as they come.

        Raises:
            JudgingError: the endpoint refuses every question: wrong key, address or model.
        """
        pacer = Pacer(self._settings.per_minute)
        pool = ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="imine-judge")
        try:
            waiting = [pool.submit(self._ask, question, pacer) for question in questions]
            refused: JudgingError | None = None
            for done in as_completed(waiting):
                try:
                    reply = done.result()
                except JudgingError as error:
                    refused = refused or error
                    continue
                if reply is not None:
                    yield reply
            if refused is not None:
                raise refused
        finally:
            # Also where whoever reads the replies stops: what has not begun is not asked, what waits gives up.
            pacer.stopped.set()
            pool.shutdown(cancel_futures=True)

    def _ask(self, question: Question, pacer: Pacer) -> Reply | None:
        """The reply to one question after as many attempts as it takes; ``None`` where the work was stopped."""
        settings, body = self._settings, self._settings.body(question.text)
        attempts: list[Attempt] = []
        while pacer.wait():
            attempt = post_json(self._url, body, self._key, settings.timeout)
            attempts.append(attempt)
            message = _message(attempt)
            if attempt.status in _HOPELESS or (attempt.status or 0) // 100 == 3:
                # Nothing more is begun; what is under way is paid for, and waited for.
                pacer.stopped.set()
                raise JudgingError(self._refused(attempt))
            if message is not None:
                return _answered(question, body, attempts, message)
            if not _worth_another(attempt) or len(attempts) == settings.attempts:
                return _failed(question, body, attempts)
            self._pause(attempt, len(attempts) - 1, pacer)
        return None

    def _pause(self, attempt: Attempt, number: int, pacer: Pacer) -> None:
        """Wait before another attempt; all threads wait where the endpoint has had too many requests."""
        wait = backoff(number, self._settings.first_wait, self._settings.longest_wait)
        asked = retry_after(attempt.retry_after)
        if asked is not None:
            wait = min(max(asked, wait), self._settings.longest_wait)
        if attempt.status == 429 or asked is not None:
            pacer.pause(wait)
        pacer.stopped.wait(wait)

    def _refused(self, attempt: Attempt) -> str:
        advice = {
            401: f"set the key in the environment variable {self._settings.key_variable}",
            403: "the key has no right to this model",
            404: "check the URL (it ends before /chat/completions) and the model's name",
        }.get(attempt.status or 0, "the address redirects, which is not followed; name the new address")
        return (
            f"{self._url} refuses the judge's questions: {_told(attempt)}; {advice}. What is judged is kept"
        )


def _worth_another(attempt: Attempt) -> bool:
    """Whether another attempt may end better: not where the request itself is at fault."""
    status = attempt.status
    return status is None or status < 300 or status >= 500 or status in _AGAIN


def _message(attempt: Attempt) -> dict[str, Any] | None:
    """The first choice of a completion; ``None`` where the reply is none."""
    if attempt.status is None or not 200 <= attempt.status < 300:
        return None
    try:
        whole = json.loads(attempt.body)
        choice = whole["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    if content is not None and not isinstance(content, str):
        return None
    return {"content": content, "finish": choice.get("finish_reason"), "usage": whole.get("usage")}


def _answered(
    question: Question, body: dict[str, Any], attempts: list[Attempt], message: dict[str, Any]
) -> Reply:
    verdict: Verdict | None = None
    if message["content"] is None:
        why: str | None = "the reply has no text"
    elif message["finish"] == "length":
        why = "the reply was cut off before its end"
    else:
        verdict, why = parse_verdict(message["content"])
    transcript = _transcript(body, attempts) | {"text": message["content"], "usage": message["usage"]}
    return Reply(question.key, verdict, why, True, transcript)


def _failed(question: Question, body: dict[str, Any], attempts: list[Attempt]) -> Reply:
    tries = "" if len(attempts) == 1 else f", after {len(attempts)} attempts"
    why = f"the judge did not answer: {_told(attempts[-1], body_shown=False)}{tries}"
    return Reply(question.key, None, why, False, _transcript(body, attempts))


def _transcript(body: dict[str, Any], attempts: list[Attempt]) -> dict[str, Any]:
    return {"request": body, "attempts": [attempt.record() for attempt in attempts]}


def _told(attempt: Attempt, body_shown: bool = True) -> str:
    """What came of an attempt, for people; without the body it is the same text for the same kind of failure."""
    if attempt.status is None:
        return attempt.error
    if attempt.status < 300:
        return f"HTTP {attempt.status} with a body that is no chat completion"
    shown = f": {attempt.body[:_SHOWN_CHARACTERS]}" if body_shown and attempt.body else ""
    return f"HTTP {attempt.status}{shown}"
