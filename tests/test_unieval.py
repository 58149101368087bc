"""UniEval's dimensions against a plain reference: one example at a time, no padding, the texts written out here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import imine
from imine.errors import ModelError, ModelNotFoundError
from imine.indicators import judging, unieval
from imine.indicators.models import load_tokenizer
from imine.indicators.settings import ScoreSettings, settings_from_fingerprints
from imine.indicators.unieval import dialogue_history, encode_questions, load_yes_judge, yes_and_no
from imine.progress import SilentProgress
from imine.records import read
from imine.sample import load_sample
from tests.tiny_judges import save_llama_reward, save_t5

torch = pytest.importorskip("torch")

NAMES = ["naturalness", "coherence", "understandability"]
POOL = load_sample()[:14].select("instruction", "input", "output")
AWKWARD = pl.DataFrame(
    {
        "instruction": ["", "Say {response}.", "Ask {history}.", "Nothing?", " "],
        "input": ["", "{history}", "", "", "\n"],
        "output": ["A prompt is missing.", "{response} {history}", "</s> dialogue history: none", " \n", ""],
    }
)


def asked(name: str, response: str, history: str) -> str:
    """The input as the original's code writes it."""
    if name == "naturalness":
        return "question: Is this a natural response in the dialogue? </s> response: " + response
    if name == "understandability":
        return "question: Is this an understandable response in the dialogue? </s> response: " + response
    question = "question: Is this a coherent response given the dialogue history? </s> response: "
    return question + response + " </s> dialogue history: " + history


def plain(folder: Path) -> Callable[[str], float]:
    """Softmax over the whole vocabulary, with the label shifted by the model itself, as in the original."""
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = T5ForConditionalGeneration.from_pretrained(folder).eval()
    yes, no = (tokenizer(word)["input_ids"][0] for word in ("Yes", "No"))

    def rate(text: str) -> float:
        encoded = tokenizer(text, max_length=1024, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**encoded, labels=torch.tensor([[no]])).logits
        shares = logits[0, 0].double().softmax(0)
        return float(shares[yes] / (shares[yes] + shares[no]))

    return rate


def history_of(instruction: str, input: str) -> str:
    said = [text for text in (instruction, input) if text.strip()]
    return "\n".join(said) + "\n\n" if said else ""


@pytest.mark.parametrize("tied", [False, True])
def test_equals_one_example_at_a_time_whatever_the_batch(
    tied: bool, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_t5(tmp_path / "model", tied=tied)
    pool, rate = pl.concat([POOL, AWKWARD]), plain(folder)
    expected: dict[str, list[float | None]] = {}
    for name in NAMES:
        expected[name] = []
        for instruction, input, output in pool.iter_rows():
            history = history_of(instruction, input)
            scored = output.strip() and (name != "coherence" or history)
            expected[name].append(rate(asked(name, output, history)) if scored else None)
    assert len({round(v, 3) for name in NAMES for v in expected[name] if v is not None}) > 20, "they differ"
    settings = ScoreSettings(unieval_model=str(folder), cache=False)
    for budget, frame, step in ((1, pool, 1), (900, pool.reverse(), -1), (100_000, pool, 1)):
        monkeypatch.setattr(judging, "_BATCH_TOKENS", {"cpu": budget})
        found = imine.score(frame, ["unieval"], settings=settings).frame
        for name in NAMES:
            for value, reference in zip(found[name], expected[name][::step], strict=True):
                assert value == (None if reference is None else pytest.approx(reference, abs=1e-5))
            assert (found[name].is_null() == found[f"{name}__why"].is_not_null()).all()


def test_nulls_have_their_reasons(tmp_path: Path, own_cache: Path) -> None:
    settings = ScoreSettings(unieval_model=str(save_t5(tmp_path / "model")), cache=False)
    found = imine.score(AWKWARD, NAMES, settings=settings).frame
    empty = "the response is empty"
    for name in ("naturalness", "understandability"):
        assert found[f"{name}__why"].to_list() == [None, None, None, empty, empty]
    no_history = "the example has no dialogue history: instruction and input are empty"
    assert found["coherence__why"].to_list() == [no_history, None, None, empty, empty]


def test_history_of_a_conversation_is_in_the_order_it_was_said(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text(
        '{"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},'
        ' {"role": "assistant", "content": "Hello!\\n\\nWhat can I do?"}, {"role": "user", "content": "Sing."},'
        ' {"role": "assistant", "content": "La la."}]}\n'
    )
    (row,) = read(tmp_path / "chat.jsonl", turns="last").select("instruction", "input").iter_rows()
    assert dialogue_history(*row) == "Hi\nHello!\n\nWhat can I do?\nBe kind.\n\nSing.\n\n"


def test_long_text_is_cut_at_the_end_as_in_the_original(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(save_t5(tmp_path / "model")))
    response, history = "word " * 60, "turn " * 2000
    for name in NAMES:
        texts = [asked(name, "ok", history), asked(name, response, history), asked(name, "so " * 3000, "Go.")]
        original = tokenizer(texts, max_length=1024, truncation=True)["input_ids"]
        responses, histories = ["ok", response, "so " * 3000], [history, history, "Go."]
        rows = encode_questions(tokenizer, name, responses, histories)
        whole = tokenizer(texts)["input_ids"]
        for row, ids, full in zip(rows, original, whole, strict=True):
            if row.why:
                assert (name, row.why) == (
                    "coherence",
                    "the response leaves no room for the dialogue history in 1,024 tokens",
                )
            else:
                assert row.ids == ids
                assert row.cut == len(full) - len(ids)
    assert [row.why is None for row in encode_questions(tokenizer, "coherence", responses, histories)] == [
        True, True, False
    ]  # fmt: skip


def test_the_history_needs_a_token_at_least(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(save_t5(tmp_path / "model")))
    question = len(tokenizer(asked("coherence", "", ""))["input_ids"])
    for words, scored in ((1024 - question - 1, True), (1024 - question, False)):
        response = "!" * words
        (row,) = encode_questions(tokenizer, "coherence", [response], ["???\n\n"])
        assert (row.why is None) == scored
        assert len(row.ids) == (1024 if scored else 0)


def test_a_tokenizer_that_begins_yes_and_no_alike_is_refused() -> None:
    with pytest.raises(ModelError, match="odd: its tokenizer begins Yes and No with the same token 3"):
        yes_and_no(lambda word: {"input_ids": [3, len(word)]}, "odd")


def test_a_model_of_another_kind_is_refused(tmp_path: Path, own_cache: Path) -> None:
    settings = ScoreSettings(unieval_model=str(save_llama_reward(tmp_path / "model")))
    with pytest.raises(ModelError, match=r"is no encoder-decoder \(llama\); UniEval's evaluator is a T5"):
        imine.score(POOL, ["naturalness"], settings=settings)
    with pytest.raises(ModelError, match="cannot be loaded as Seq2SeqLM: Unrecognized configuration class"):
        load_yes_judge(settings.unieval_model)


def test_a_second_run_computes_nothing(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ScoreSettings(unieval_model=str(save_t5(tmp_path / "model")))
    first = imine.score(POOL, NAMES[:2], settings=settings)
    monkeypatch.setattr(unieval, "load_yes_judge", None)  # would fail if it were called
    second = imine.score(POOL, NAMES[:2], settings=settings)
    assert second.frame.equals(first.frame)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        imine.score(POOL, ["understandability"], settings=settings)


def test_bfloat16_keeps_the_answer_exact(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ScoreSettings(unieval_model=str(save_t5(tmp_path / "model")))
    exact = imine.score(POOL, NAMES, settings=settings)
    monkeypatch.setattr("imine.indicators.models.judge_dtype", lambda: "bfloat16")
    rough = imine.score(POOL, NAMES, settings=settings)
    for name in NAMES:
        assert rough.fingerprints[name]["dtype"] == "bfloat16"
        assert 0 < (exact.frame[name] - rough.frame[name]).abs().median() < 0.05


def test_fingerprint_has_the_question_and_rebuilds_the_settings(tmp_path: Path, own_cache: Path) -> None:
    folder = save_t5(tmp_path / "model")
    made = imine.score(POOL[:2], NAMES, settings=ScoreSettings(unieval_model=str(folder))).fingerprints
    assert len({made[name]["question"]["sha256"] for name in NAMES}) == 3
    assert all(made[name]["unieval_model"]["name"] == str(folder) for name in NAMES)
    assert settings_from_fingerprints(made, None) == ScoreSettings(unieval_model=str(folder))


def test_a_missing_model_is_named_with_its_size_and_what_to_do(own_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError) as raised:
        imine.score(POOL, ["mtld", *NAMES], progress=SilentProgress())
    message = str(raised.value)
    for part in (
        "nothing was done",
        "naturalness, coherence, understandability: ",
        "MingZhong/unieval-dialog",
        "3.1 GB",
        "imine models convert unieval-dialog",
        "HF_HUB_OFFLINE",
        "HF_HOME",
        "HF_ENDPOINT",
        "IMINE_CACHE",
    ):
        assert part in message
