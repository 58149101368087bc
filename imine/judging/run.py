"""Judging all pairs: questions in both orders, replies on disk as they come, tables at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from imine.errors import JudgingError
from imine.files import replace_file
from imine.judging.answers import Answers
from imine.judging.judges import Judge, Question, Reply, question_key
from imine.judging.outcomes import IDENTICAL, SCHEMA, Judgement, Side, combine, winner
from imine.judging.result import Judging
from imine.judging.transcripts import Transcripts, open_transcripts
from imine.progress import Progress, SilentProgress

JUDGEMENTS, SUMMARY, TRANSCRIPTS = "judgements.parquet", "summary.json", "transcripts.jsonl"
"""Files of a judging."""

_SIDES: tuple[Side, Side] = ("a", "b")
# So many first questions without a single reply: the endpoint is down, or refuses what it is sent.
_GIVE_UP = 10


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two answers to one prompt, and the questions about them by the side shown first."""

    id: str
    answers: Mapping[Side, str | None]
    whys: Mapping[Side, str | None]
    questions: Mapping[Side, Question]


def judge_answers(
    records: pl.DataFrame,
    a: Answers,
    b: Answers,
    judge: Judge,
    out: str | Path,
    *,
    reference: bool = False,
    level: float = 0.95,
    progress: Progress | None = None,
) -> Judging:
    """Have a judge compare the answers of two models to the same prompts, each pair in both orders.

    A model wins a prompt where it wins in both orders; where the orders disagree, and where the answers are equal
    texts, the prompt is a tie. A judgement that failed or cannot be read is null with its reason, and so is the outcome
    of its prompt. What the folder has of replies is not asked again, except for questions that got none.

    Args:
        records: the evaluation set: ``id``, ``instruction``, ``input``, and ``output`` where it is shown.
        a, b: answers to its rows.
        judge: who compares them.
        out: folder for ``judgements.parquet``, ``summary.json`` and ``transcripts.jsonl``.
        reference: show the judge the output of the row as a reference answer, where there is one.
        level: confidence level of the interval.
        progress: told of the questions answered.

    Returns:
        The judgements and what they came to.

    Raises:
        JudgingError: answers of other rows; another process works in the folder; or no question is answered.
    """
    say, out = progress or SilentProgress(), Path(out)
    for side in (a, b):
        if side.frame["id"].to_list() != records["id"].to_list():
            raise JudgingError(f"the answers of {side.name} are not to these {records.height:,} prompts")
    fingerprint = judge.fingerprint()
    pairs = [
        _pair(row, a_row, b_row, judge, fingerprint, reference)
        for row, a_row, b_row in zip(
            records.select("id", "instruction", "input", "output").iter_rows(),
            a.frame.select("answer", "why").iter_rows(),
            b.frame.select("answer", "why").iter_rows(),
            strict=True,
        )
    ]
    with open_transcripts(out / TRANSCRIPTS) as transcripts:
        asked = _ask(pairs, judge, transcripts, say)
        frame = pl.DataFrame([_row(pair, transcripts.replies) for pair in pairs], SCHEMA, orient="row")
        wanted = {question.key for pair in pairs for question in pair.questions.values()}
        waiting = sum(not transcripts.replies[key].answered for key in wanted)
        judging = Judging(
            frame,
            {"a": a.name, "b": b.name},
            {"a": {"origin": a.origin}, "b": {"origin": b.origin}},
            fingerprint | {"reference_shown": reference},
            asked,
            waiting,
        )
        replace_file(out / JUDGEMENTS, frame.write_parquet)
        text = json.dumps(judging.record(level), indent=2, ensure_ascii=False) + "\n"
        replace_file(out / SUMMARY, lambda beside: beside.write_text(text, encoding="utf-8"))
    return judging


def _pair(
    row: tuple[str, str, str, str],
    a: tuple[str | None, str | None],
    b: tuple[str | None, str | None],
    judge: Judge,
    fingerprint: Mapping[str, object],
    reference: bool,
) -> _Pair:
    id, instruction, input, output = row
    answers: dict[Side, str | None] = {"a": a[0], "b": b[0]}
    questions: dict[Side, Question] = {}
    if a[0] is not None and b[0] is not None and a[0] != b[0]:
        task = f"{instruction}\n{input}" if input.strip() else instruction
        orders: dict[Side, tuple[str, str]] = {"a": (a[0], b[0]), "b": (b[0], a[0])}
        for side, (first, second) in orders.items():
            text = judge.prompt.render(task, first, second, output if reference else "")
            questions[side] = Question(question_key(fingerprint, text), text)
    return _Pair(id, answers, {"a": a[1], "b": b[1]}, questions)


def _ask(pairs: Sequence[_Pair], judge: Judge, transcripts: Transcripts, progress: Progress) -> int:
    """Ask what has no reply yet, each different question once; the number of questions asked."""
    about = {
        question.key: (question, {"id": pair.id, "shown_first": side})
        for pair in reversed(pairs)
        for side, question in pair.questions.items()
    }
    keys = dict.fromkeys(question.key for pair in pairs for question in pair.questions.values())
    known = {key for key in keys if key in transcripts.replies and transcripts.replies[key].answered}
    left = [about[key][0] for key in keys if key not in known]
    progress.start("judgements", len(about), "questions", len(about) - len(left))
    silent = 0
    for count, reply in enumerate(judge.replies(left, progress), 1):
        transcripts.add(reply, about[reply.key][1])
        progress.advance(1)
        silent += not reply.answered
        if count == silent == _GIVE_UP and not known:
            raise JudgingError(f"the first {count} questions had no reply; the last: {reply.why}")
    progress.finish()
    return len(left)


def _row(pair: _Pair, replies: Mapping[str, Reply]) -> tuple[str | None, ...]:
    """A row of the table, in the order of its schema."""
    answers = pair.answers["a"], pair.answers["b"]
    if missing := [side for side in _SIDES if pair.answers[side] is None]:
        why = "; ".join(f"no answer of {side}: {pair.whys[side]}" for side in missing)
        return (pair.id, None, why, None, why, None, why, None, *answers)
    if not pair.questions:
        return (pair.id, "tie", None, "tie", None, "tie", None, IDENTICAL, *answers)
    a_reply, b_reply = (replies[pair.questions[side].key] for side in _SIDES)
    a_first, b_first = winner(a_reply.verdict, "a"), winner(b_reply.verdict, "b")
    judgement: Judgement = combine(a_first, b_first, a_reply.why, b_reply.why)
    return (
        *(pair.id, a_first, a_reply.why, b_first, b_reply.why),
        *(judgement.outcome, judgement.why, judgement.how),
        *answers,
    )
