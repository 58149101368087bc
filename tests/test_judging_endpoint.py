"""The judge behind an endpoint, against servers that refuse, fail, ramble, dawdle and spy."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from imine.errors import JudgingError, SettingsError
from imine.judging.endpoint import EndpointJudge, EndpointSettings
from imine.judging.judges import Question, Reply
from imine.judging.pacing import Pacer, backoff, retry_after
from imine.judging.posting import chat_url
from imine.progress import SilentProgress
from tests.judge_server import Asked, Behaviour, Sent, Server, honest, says, serving


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("IMINE_JUDGE_KEY", raising=False)


def ask(behaviour: Behaviour, count: int = 1, **settings: Any) -> tuple[list[Reply], Server]:
    """Replies to so many questions, in their order, and the server that gave them."""
    with serving(behaviour) as server:
        quick = {"first_wait": 0.01, "longest_wait": 0.05, "timeout": 10.0} | settings
        judge = EndpointJudge(EndpointSettings(server.url, "big", **quick))
        questions = [Question(f"k{i}", f"question {i}") for i in range(count)]
        replies = {reply.key: reply for reply in judge.replies(questions, SilentProgress())}
    return [replies[f"k{i}"] for i in range(count)], server


def failing(times: int, sent: Sent) -> Behaviour:
    """Fails so often, then says A."""
    return lambda asked: sent if asked.number <= times else says("VERDICT: A")


def test_what_is_sent() -> None:
    _, server = ask(
        lambda asked: says("VERDICT: TIE"), options={"temperature": None, "max_tokens": None, "top_p": 0.5}
    )
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "big",
        "messages": [{"role": "user", "content": "question 0"}],
        "top_p": 0.5,
    }
    assert "Authorization" not in asked.headers


@pytest.mark.parametrize(
    ("reply", "verdict", "why"),
    [
        (says("Because.\nVERDICT: A"), "first", None),
        (says("VERDICT: B\n"), "second", None),
        (says("VERDICT: TIE"), "tie", None),
        (says("A is better."), None, "the last line of the reply is no verdict"),
        (says("verdict: a"), None, "the last line of the reply is no verdict"),
        (says("VERDICT: A or B"), None, "the last line of the reply is no verdict"),
        (says("**VERDICT: B**\nVERDICT: A"), None, "the reply has more than one verdict"),
        (says("VERDICT: A", finish="length"), None, "the reply was cut off before its end"),
        (says(None), None, "the reply has no text"),
        (says(" \n"), None, "the reply is empty"),
    ],
)
def test_a_reply_is_read_strictly(reply: Sent, verdict: str | None, why: str | None) -> None:
    (found,), server = ask(lambda asked: reply)
    assert (found.verdict, found.why, found.answered) == (verdict, why, True)
    assert len(server.asked) == 1
    assert found.transcript["attempts"][0]["body"] == reply.body


@pytest.mark.parametrize(
    "sent",
    [
        Sent(429, "slow down"),
        Sent(500, "oops"),
        Sent(503),
        Sent(200, "<html>not JSON</html>"),
        Sent(200, '{"choices": []}'),
        Sent(200, "[1]"),
        Sent(200, '{"choices": [{"message": {"content": 7}}]}'),
    ],
)
def test_what_may_pass_is_tried_again(sent: Sent) -> None:
    (found,), server = ask(failing(2, sent))
    assert found.verdict == "first"
    assert len(server.asked) == 3
    assert [a["status"] for a in found.transcript["attempts"]] == [sent.status, sent.status, 200]


def test_after_the_last_attempt_there_is_a_reason_and_no_verdict() -> None:
    (found,), server = ask(failing(99, Sent(500, "oops")), attempts=3)
    assert (found.verdict, found.answered) == (None, False)
    assert found.why == "the judge did not answer: HTTP 500, after 3 attempts"
    assert len(server.asked) == 3


def test_a_request_at_fault_is_not_repeated() -> None:
    (found,), server = ask(lambda asked: Sent(400, "the prompt is too long"))
    assert (found.verdict, found.answered) == (None, False)
    assert found.why == "the judge did not answer: HTTP 400"
    assert found.transcript["attempts"][0]["body"] == "the prompt is too long"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (Sent(401, "who are you"), "IMINE_JUDGE_KEY"),
        (Sent(404, "no model big"), "no model big"),
        (Sent(302, "", {"Location": "http://127.0.0.1:1/elsewhere"}), "redirects"),
    ],
)
def test_what_would_fail_for_every_question_ends_the_work(sent: Sent, said: str) -> None:
    with pytest.raises(JudgingError, match=said):
        ask(lambda asked: sent, count=50, concurrency=1)


def test_what_is_under_way_when_the_key_runs_out_is_not_lost() -> None:
    refused = threading.Event()

    def spent(asked: Asked) -> Sent:
        if asked.number == 2:
            refused.set()
            return Sent(401, "spent")
        refused.wait(10)
        time.sleep(0.2)
        return says("VERDICT: A")

    with serving(spent) as server:
        judge = EndpointJudge(EndpointSettings(server.url, "big", concurrency=2))
        replies = judge.replies([Question(f"k{i}", "?") for i in range(40)], SilentProgress())
        assert next(replies).verdict == "first"
        with pytest.raises(JudgingError, match="spent"):
            next(replies)
    assert len(server.asked) == 2


def test_a_judge_that_is_too_slow_is_a_failure() -> None:
    (found,), server = ask(lambda asked: time.sleep(1.5) or says("VERDICT: A"), timeout=0.2, attempts=2)
    assert (found.verdict, found.answered) == (None, False)
    assert found.why is not None
    assert "timed out" in found.why
    assert len(server.asked) == 2


def test_no_server_at_all() -> None:
    with serving(honest) as server:
        url = server.url
    judge = EndpointJudge(EndpointSettings(url, "big", attempts=2, first_wait=0.01))
    (found,) = judge.replies([Question("k", "?")], SilentProgress())
    assert (found.verdict, found.answered) == (None, False)
    assert "refused" in str(found.why)


def test_as_many_requests_at_a_time_as_allowed() -> None:
    gate = threading.Barrier(3, timeout=20)

    def together(asked: Asked) -> Sent:
        gate.wait()  # breaks, and the request fails, unless three are under way at once
        return says("VERDICT: A")

    replies, server = ask(together, count=6, concurrency=3, attempts=1)
    assert [reply.verdict for reply in replies] == ["first"] * 6
    assert server.most_at_once == 3


def test_the_rate_is_kept() -> None:
    began = time.monotonic()
    ask(lambda asked: says("VERDICT: A"), count=5, concurrency=5, per_minute=600)
    assert time.monotonic() - began >= 4 * 0.1


def test_all_threads_pause_when_the_endpoint_asks_for_it() -> None:
    times: list[float] = []

    def busy(asked: Asked) -> Sent:
        times.append(time.monotonic())
        return Sent(429, "", {"Retry-After": "1"}) if asked.number == 1 else says("VERDICT: B")

    replies, _ = ask(busy, count=4, concurrency=1, longest_wait=5.0)
    assert [reply.verdict for reply in replies] == ["second"] * 4
    assert times[1] - times[0] >= 1.0


def test_who_stops_reading_stops_the_asking() -> None:
    with serving(lambda asked: says("VERDICT: A")) as server:
        judge = EndpointJudge(EndpointSettings(server.url, "big", concurrency=1, per_minute=300))
        replies = judge.replies([Question(f"k{i}", "?") for i in range(1000)], SilentProgress())
        next(replies)
        began = time.monotonic()
        replies.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 5
        assert len(server.asked) < 50


KEY = "sk-very-secret-0123456789"


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", f" {KEY}\n")
    seen: list[str] = []

    def echo(asked: Asked) -> Sent:
        seen.append(asked.headers["Authorization"])
        return Sent(400, f"bad key {KEY}")

    (found,), _ = ask(echo, key_variable="OTHER_KEY")
    assert seen == [f"Bearer {KEY}"]
    assert found.transcript["attempts"][0]["body"] == "bad key [key]"
    assert KEY not in json.dumps([found.transcript, found.why])
    judge = EndpointJudge(EndpointSettings("http://h/v1", "big", key_variable="OTHER_KEY"))
    assert KEY not in json.dumps(judge.fingerprint()) + repr(judge)
    with pytest.raises(JudgingError) as caught:
        ask(lambda asked: Sent(401, f"Incorrect key {KEY}"), key_variable="OTHER_KEY")
    assert KEY not in str(caught.value)
    assert "[key]" in str(caught.value)


def test_a_key_that_no_header_can_have_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMINE_JUDGE_KEY", "two words")
    with pytest.raises(SettingsError, match="the key in IMINE_JUDGE_KEY has blanks") as caught:
        EndpointJudge(EndpointSettings("http://h/v1", "big"))
    assert "two words" not in str(caught.value)


def test_a_redirect_does_not_carry_the_key_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMINE_JUDGE_KEY", KEY)
    with serving(honest) as thief:
        to = {"Location": thief.url + "/chat/completions"}
        for status in (301, 302, 303, 307, 308):
            with pytest.raises(JudgingError, match="redirects"):
                ask(lambda asked, status=status: Sent(status, "", to))  # type: ignore[misc]
        assert thief.asked == []


@pytest.mark.parametrize("url", ["host/v1", "ftp://h/v1", "http://", "http://[", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(SettingsError, match="must be like https://host/v1"):
        EndpointSettings(url, "big")


@pytest.mark.parametrize("url", ["http://u:p@h/v1", "http://h/v1?key=1", "http://h/v1#x"])
def test_secrets_in_an_address(url: str) -> None:
    with pytest.raises(SettingsError, match="no user name, password or query"):
        EndpointSettings(url, "big")


def test_the_address_may_be_the_whole_one() -> None:
    assert chat_url("https://h/v1/chat/completions") == "https://h/v1/chat/completions"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"attempts": 0}, "attempts must be at least 1"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"per_minute": -1}, "per_minute must not be negative"),
        ({"options": {"messages": []}}, "'messages' is set by imine"),
    ],
)
def test_settings_that_are_not_allowed(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        EndpointSettings("http://h/v1", "big", **change)
    with pytest.raises(SettingsError, match="needs the name of its model"):
        EndpointSettings("http://h/v1", "")


def test_waits_grow_and_stay_below_the_longest() -> None:
    for attempt, low, high in ((0, 0.5, 1), (3, 4, 8), (40, 30, 60), (5000, 30, 60)):
        waits = [backoff(attempt, 1.0, 60.0) for _ in range(200)]
        assert low <= min(waits)
        assert max(waits) <= high
        assert len(set(waits)) > 1


@pytest.mark.parametrize("header", ["", "soon", "-3", "1.5 days", "\xb2"])
def test_a_header_that_says_nothing(header: str) -> None:
    assert retry_after(header) is None


def test_a_date_in_the_past_is_no_wait() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", datetime(2020, 1, 1, tzinfo=UTC)) == 0


def test_a_pause_holds_those_who_wait_already() -> None:
    pacer = Pacer(per_minute=60 / 0.1)
    pacer.wait()
    done: list[float] = []
    waiting = threading.Thread(target=lambda: (pacer.wait(), done.append(time.monotonic())))
    began = time.monotonic()
    waiting.start()
    pacer.pause(0.4)
    waiting.join()
    assert done[0] - began >= 0.4


def test_a_stopped_pacer_lets_nobody_start() -> None:
    pacer = Pacer()
    pacer.stopped.set()
    pacer.pause(60)
    start: Callable[[], bool] = pacer.wait
    assert start() is False
