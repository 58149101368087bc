"""Judging from end to end: both orders, files on disk, going on after a stop, the commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from imine.__main__ import main
from imine.errors import JudgingError, ModelError, SettingsError
from imine.judging import (
    Answers,
    EndpointJudge,
    EndpointSettings,
    Judging,
    LocalJudge,
    LocalSettings,
    judge_answers,
)
from imine.judging.answers import SCHEMA
from imine.judging.judges import Question, Reply
from imine.judging.prompts import PROMPTS
from imine.progress import Progress, SilentProgress
from tests.judge_server import Asked, Behaviour, Sent, Server, first_always, honest, says, serving

COUNT = 12


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("IMINE_JUDGE_KEY", raising=False)


def records(count: int = COUNT) -> pl.DataFrame:
    rows = [(str(i), f"Task {i}", "with this" if i % 2 else "", f"reference {i}") for i in range(count)]
    return pl.DataFrame(rows, ["id", "instruction", "input", "output"], orient="row")


def answers(name: str, texts: Sequence[str | None]) -> Answers:
    rows = [(str(i), text, None, None if text is not None else "lost") for i, text in enumerate(texts)]
    return Answers(name, pl.DataFrame(rows, SCHEMA, orient="row"), {"file": name})


# a is better on 7 prompts, b on 2, they are equally good on 2 and the same on the last.
A = answers("one", ["good good"] * 7 + ["so"] * 2 + ["good"] * 2 + ["same"])
B = answers("two", ["good"] * 7 + ["good good"] * 2 + ["good, too"] * 2 + ["same"])


def judged(
    behaviour: Behaviour, out: Path, a: Answers = A, b: Answers = B, **how: Any
) -> tuple[Judging, Server]:
    with serving(behaviour) as server:
        # The address is part of a question's key, and the port differs from server to server.
        judge = EndpointJudge(
            EndpointSettings(server.url, "big", first_wait=0.01, longest_wait=0.02, attempts=3)
        )
        judge.fingerprint = lambda: {"kind": "test"}  # type: ignore[method-assign]
        return judge_answers(records(a.frame.height), a, b, judge, out, **how), server


def test_an_honest_judge(tmp_path: Path) -> None:
    judging, server = judged(honest, tmp_path)
    rate, bias = judging.win_rate, judging.position_bias
    assert (rate.wins, rate.ties, rate.losses, rate.missing) == (7, 3, 2, 0)
    assert (bias.pairs, bias.agreed, bias.first, bias.second, bias.half) == (11, 11, 0, 0, 0)
    assert judging.ties == {"same in both orders": 2, "identical answers": 1}
    assert len(server.asked) == 22, "both orders, and nothing about equal texts"
    assert judging.frame["outcome"].to_list() == ["a"] * 7 + ["b"] * 2 + ["tie"] * 3
    assert "a wins 7, ties 3, b wins 2" in judging.summary()


def test_a_judge_that_takes_the_first_prefers_nobody(tmp_path: Path) -> None:
    judging, _ = judged(first_always, tmp_path)
    rate, bias = judging.win_rate, judging.position_bias
    assert (rate.wins, rate.ties, rate.losses) == (0, 12, 0)
    assert (bias.pairs, bias.agreed, bias.first, bias.second) == (11, 0, 11, 0)
    assert judging.frame["a_first"].to_list()[:2] == ["a", "a"]
    assert judging.frame["b_first"].to_list()[:2] == ["b", "b"]
    assert "the answer shown first won twice on 100%" in judging.summary()


def test_the_two_orders_hold_the_same_answers(tmp_path: Path) -> None:
    _, server = judged(honest, tmp_path)
    shown = sorted(asked.answers for asked in server.asked)
    assert shown == sorted(pair[::-1] for pair in shown)
    assert all("reference" not in asked.text for asked in server.asked)
    _, server = judged(honest, tmp_path / "shown", reference=True)
    assert all("\nreference " in asked.text for asked in server.asked)
    assert sum("Task 1\nwith this\n" in asked.text for asked in server.asked) == 2


def rambling(asked: Asked) -> Sent:
    """Right, but never says so in form about what holds 'so'."""
    return says("A, I suppose") if "so" in asked.answers else honest(asked)


def test_what_cannot_be_read_is_null_and_no_tie(tmp_path: Path) -> None:
    judging, _ = judged(rambling, tmp_path)
    rate = judging.win_rate
    assert (rate.wins, rate.ties, rate.losses, rate.missing) == (7, 3, 0, 2)
    assert judging.reasons == {"with a first: the last line of the reply is no verdict": 2}
    assert rate.bounds() == (8.5 / 12, 10.5 / 12)
    row = judging.frame.row(7, named=True)
    assert (row["a_first"], row["b_first"], row["outcome"]) == (None, None, None)
    _, server = judged(rambling, tmp_path)
    assert server.asked == [], "a reply that cannot be read is a reply: it is not asked for again"


def test_a_missing_answer_is_null_with_its_reason(tmp_path: Path) -> None:
    judging, server = judged(
        honest, tmp_path, answers("one", ["good", None, "x"]), answers("two", ["x", "y", None])
    )
    assert judging.frame["outcome"].to_list() == ["a", None, None]
    assert judging.frame["outcome__why"].to_list() == [None, "no answer of a: lost", "no answer of b: lost"]
    assert len(server.asked) == 2


def test_the_files(tmp_path: Path) -> None:
    judging, _ = judged(honest, tmp_path)
    assert pl.read_parquet(tmp_path / "judgements.parquet").equals(judging.frame)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["wins_a"], summary["ties"], summary["wins_b"]) == (7, 3, 2)
    assert summary["win_rate_a"] == 8.5 / 12
    interval = judging.win_rate.interval()
    assert interval is not None
    assert summary["interval"] == {"low": interval.low, "high": interval.high, "level": 0.95}
    assert summary["models"]["b"] == {"name": "two", "origin": {"file": "two"}}
    assert summary["longer_answer_won"] == {"won": 9, "of": 9}
    lines = [json.loads(line) for line in (tmp_path / "transcripts.jsonl").read_text().splitlines()]
    assert len(lines) == 22
    for line in lines:
        assert line["request"]["model"] == "big"
        assert line["text"] in line["attempts"][-1]["body"].replace("\\n", "\n")
    found = {(line["id"], line["shown_first"]): line["verdict"] for line in lines}
    assert (found["0", "a"], found["0", "b"]) == ("first", "second")
    assert (found["7", "a"], found["7", "b"]) == ("second", "first")
    assert (found["9", "a"], found["9", "b"]) == ("tie", "tie")


def test_the_same_judging_makes_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        judged(honest, tmp_path / folder)
    for name in ("judgements.parquet", "summary.json"):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


def test_a_killed_judging_goes_on_without_asking_again(tmp_path: Path) -> None:
    whole, _ = judged(honest, tmp_path / "whole")

    def dies(asked: Asked) -> Sent:
        return Sent(401, "no more credit") if asked.number > 9 else honest(asked)

    with pytest.raises(JudgingError, match="no more credit"):
        judged(dies, tmp_path / "cut")
    kept = (tmp_path / "cut" / "transcripts.jsonl").read_bytes()
    done = kept.count(b"\n")
    assert 0 < done <= 9
    assert not (tmp_path / "cut" / "summary.json").exists()
    (tmp_path / "cut" / "transcripts.jsonl").write_bytes(kept + kept[: kept.index(b"\n") // 2])
    judging, server = judged(honest, tmp_path / "cut")
    assert len(server.asked) == 22 - done
    assert judging.frame.equals(whole.frame)
    lines = (tmp_path / "cut" / "transcripts.jsonl").read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) == 22


def test_questions_without_a_reply_are_asked_again(tmp_path: Path) -> None:
    def flaky(asked: Asked) -> Sent:
        return Sent(400, "no") if "Task 3" in asked.text else honest(asked)

    judging, _ = judged(flaky, tmp_path)
    assert judging.waiting == 2
    assert judging.frame["outcome"].null_count() == 1
    assert judging.frame["a_first__why"][3] == "the judge did not answer: HTTP 400"
    assert "2 questions had no reply; the same command asks them again" in judging.summary()
    judging, server = judged(honest, tmp_path)
    assert (judging.waiting, len(server.asked), judging.win_rate.wins) == (0, 2, 7)


def test_an_endpoint_that_answers_nothing_ends_the_work(tmp_path: Path) -> None:
    with pytest.raises(JudgingError, match=r"first 10 questions had no reply; the last: .*HTTP 400"):
        judged(lambda asked: Sent(400, "unknown field"), tmp_path)


def test_another_judge_asks_anew(tmp_path: Path) -> None:
    judged(honest, tmp_path)
    with serving(first_always) as server:
        judge = EndpointJudge(EndpointSettings(server.url, "big"))
        judging = judge_answers(records(), A, B, judge, tmp_path)
        assert len(server.asked) == 22
    assert judging.win_rate.wins == 0


def test_a_line_that_is_no_transcript_is_named(tmp_path: Path) -> None:
    (tmp_path / "transcripts.jsonl").write_text('{"key": "a"}\n')
    with pytest.raises(JudgingError, match=r"transcripts\.jsonl, line 1: no transcript .*remove this line"):
        judged(honest, tmp_path)


def test_one_process_a_folder(tmp_path: Path) -> None:
    from imine.judging.transcripts import open_transcripts

    with (
        open_transcripts(tmp_path / "transcripts.jsonl"),
        pytest.raises(JudgingError, match="another process"),
    ):
        judged(honest, tmp_path)


def test_answers_to_other_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JudgingError, match="not to these 3 prompts"):
        judged(honest, tmp_path, answers("one", ["x"] * 3))


class Odd:
    """A judge whose replies hold half a surrogate pair, as JSON of a server may."""

    prompt = PROMPTS["text"]

    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "odd"}

    def replies(self, questions: Sequence[Question], progress: Progress) -> Iterator[Reply]:
        for question in questions:
            yield Reply(question.key, "tie", None, True, {"text": "\ud800"})


def test_half_a_character_does_not_stop_the_writing(tmp_path: Path) -> None:
    assert judge_answers(records(), A, B, Odd(), tmp_path).win_rate.ties == 12
    assert judge_answers(records(), A, B, Odd(), tmp_path).asked == 0


# A local judge.


def test_letters_are_weighed_as_one_question_at_a_time_weighs_them(tiny_llama: Path, own_cache: Path) -> None:
    torch = pytest.importorskip("torch")
    from imine.indicators.models import load_causal_lm
    from imine.indicators.templates import TEMPLATES

    judge = LocalJudge(LocalSettings(str(tiny_llama), least_mass=0.0, dtype="float32"))
    texts = [f"A question {'of some length ' * i}?" for i in range(6)]
    replies = {r.key: r for r in judge.replies([Question(t, t) for t in texts], SilentProgress())}
    lm = load_causal_lm(str(tiny_llama))
    letters = [lm.tokenizer(letter)["input_ids"][0] for letter in "ABC"]
    for text in texts:
        ids = lm.tokenizer(TEMPLATES["plain"].render(text))["input_ids"]
        with torch.inference_mode():
            logs = lm.model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(0)[letters].tolist()
        shown = replies[text].transcript["log_probabilities"]
        assert [shown[letter] for letter in "ABC"] == pytest.approx(logs, abs=1e-4)
        assert replies[text].verdict == ("first", "second", "tie")[logs.index(max(logs))]


def test_a_judge_about_to_say_something_else_has_no_verdict(tiny_llama: Path) -> None:
    judge = LocalJudge(LocalSettings(str(tiny_llama), dtype="float32"))
    (reply,) = judge.replies([Question("k", "?")], SilentProgress())
    assert (reply.verdict, reply.answered) == (None, True)
    assert reply.why == "the judge is about to say something else than a letter"


def test_a_local_judge_by_text(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imine.judging import local
    from imine.judging.completing import Completion

    written = [
        Completion("Why.\nVERDICT: B", 5, True),
        Completion("VERDICT: A", 5, False),
        Completion("x", 1, True),
    ]
    monkeypatch.setattr(
        local,
        "complete",
        lambda lm, prompts, *_, **__: [
            ([0, 1], written[:2], None),
            ([2], written[2:], None),
            ([3], None, "memory"),
        ],
    )
    judge = LocalJudge(LocalSettings(str(tiny_llama), how="text", dtype="float32"))
    replies = list(judge.replies([Question(k, "?") for k in "abcd"], SilentProgress()))
    assert [(r.verdict, r.why, r.answered) for r in replies] == [
        ("second", None, True),
        (None, "the reply was cut off before its end", True),
        (None, "the last line of the reply is no verdict", True),
        (None, "memory", False),
    ]


def test_questions_too_long_for_a_local_judge(tiny_llama: Path) -> None:
    judge = LocalJudge(LocalSettings(str(tiny_llama), max_tokens=40, least_mass=0.0, dtype="float32"))
    replies = {
        r.key: r for r in judge.replies([Question("s", "?"), Question("l", "word " * 99)], SilentProgress())
    }
    assert replies["s"].verdict is not None
    assert (replies["l"].verdict, replies["l"].why) == (
        None,
        "the question is longer than the judge's 40 tokens",
    )


def test_what_decides_a_local_verdict_is_in_its_fingerprint(tiny_llama: Path) -> None:
    base = LocalJudge(LocalSettings(str(tiny_llama))).fingerprint()
    for change in ({"how": "text"}, {"template": "alpaca"}, {"least_mass": 0.2}, {"max_tokens": 99}):
        assert LocalJudge(LocalSettings(str(tiny_llama), **change)).fingerprint() != base


def test_settings_of_a_local_judge_that_are_not_allowed() -> None:
    for change, said in (({"how": "feeling"}, "likelihood or text"), ({"least_mass": 2}, "between 0 and 1")):
        with pytest.raises(SettingsError, match=said):
            LocalSettings("m", **change)  # type: ignore[arg-type]


def test_a_tokenizer_without_the_letters(tiny_llama: Path) -> None:
    from imine.judging.local import letter_tokens

    class Words:
        unk_token_id = 0

        def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
            return {"input_ids": [[0] for _ in texts]}

    with pytest.raises(ModelError, match="no single tokens for A, B and C"):
        letter_tokens(Words())


# The commands.


def evaluation_file(folder: Path) -> Path:
    path = folder / "eval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in records(4).to_dicts()))
    return path


def test_from_two_models_to_a_summary(
    tiny_llama: Path, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, made = evaluation_file(tmp_path), tmp_path / "answers.jsonl"
    how = ["--max-new-tokens", "4", "--dtype", "float32"]
    with pytest.raises(SystemExit) as ended:
        main(["generate", str(file), "--model", str(tiny_llama), "-o", str(made), *how])
    assert not ended.value.code
    assert "4 answers to 4 prompts" in capsys.readouterr().out
    rows = [json.loads(line) for line in made.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    rows[0]["output"] = "good"
    made.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(honest) as server:
        endpoint = ["--judge-url", server.url, "--judge-model", "big", "--judge-option", "temperature=null"]
        command = ["judge", str(file), "--a", str(made), "--b", str(tiny_llama), "-o", str(tmp_path / "out")]
        with pytest.raises(SystemExit) as ended:
            main([*command, *endpoint, *how])
        assert not ended.value.code
        assert len(server.asked) == 2
        assert "temperature" not in server.asked[0].body
    assert "4 prompts: a wins 1, ties 3, b wins 0" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["models"]["b"]["origin"]["model"]["name"] == str(tiny_llama)
    assert summary["judge"]["model"] == "big"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--a", "x"], "name two models"),
        (["--a", "x", "--b", "y"], "name a judge"),
        (["--a", "x", "--b", "y", "--judge-model", "m", "--judge-option", "n=1"], "is for an endpoint"),
        (["--a", "x", "--b", "y", "--judge-model", "m", "--judge-url", "h"], "must be like https://host/v1"),
        (
            ["--a", "x", "--b", "y", "--judge-model", "m", "--judge-url", "http://h", "--judge-option", "n"],
            "NAME=JSON",
        ),
        (["--a", "x", "--b", "y", "--judge-model", "m", "--judge-url", "http://h"], "no model 'x'"),
        (["--a", "x", "--b", "y", "--judge-model", "no-such"], "no model 'no-such'"),
    ],
)
def test_what_is_told_before_any_work(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["judge", str(evaluation_file(tmp_path)), "-o", str(out), *options])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
