"""Losses against the plain loop: one example at a time, transformers' own loss, labels of -100 on the prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from imine.errors import SettingsError
from imine.indicators import likelihood, responses
from imine.indicators.batches import BatchResult
from imine.indicators.likelihood import Piece, _after, _pieces, example_losses
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.indicators.responses import collate, response_sums, token_losses, trainable_tokens
from imine.indicators.score import score
from imine.indicators.settings import ScoreSettings
from imine.indicators.templates import TEMPLATES, EncodedExample, encode_examples
from imine.progress import SilentProgress
from imine.sample import load_sample
from tests.tiny import save_llama

torch = pytest.importorskip("torch")

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


class Notes(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tokens = [0, 0]

    def start(self, stage: str, total: int, unit: str = "rows", done: int = 0) -> None:
        self.tokens[0] += total

    def advance(self, count: int) -> None:
        self.tokens[1] += count

    def note(self, text: str) -> None:
        self.lines.append(text)


def naive_loss(lm: LoadedModel, example: EncodedExample) -> float:
    ids = torch.tensor([example.prompt + example.response])
    labels = torch.tensor([[-100] * len(example.prompt) + example.response])
    with torch.inference_mode():
        return float(lm.model(input_ids=ids, labels=labels).loss.double())


def encoded(lm: LoadedModel, frame: pl.DataFrame, template: str, max_tokens: int) -> list[EncodedExample]:
    columns = [frame[name].to_list() for name in ("instruction", "input", "output")]
    return encode_examples(lm.tokenizer, TEMPLATES[template], *columns, max_tokens=max_tokens, add_eos=False)


def losses(lm: LoadedModel, examples: list[EncodedExample], batch_tokens: int) -> dict[int, float]:
    found = example_losses(lm, examples, batch_tokens)
    return {i: loss for i, loss in enumerate(found) if loss is not None}


@pytest.fixture(scope="module")
def tiny(tiny_llama: Path) -> LoadedModel:
    return load_causal_lm(str(tiny_llama))


@pytest.mark.parametrize("template", ["alpaca", "plain"])
@pytest.mark.parametrize("max_tokens", [64, 256])
@pytest.mark.parametrize("batch_tokens", [1, 500, 5000])
def test_equals_the_plain_loop(tiny: LoadedModel, template: str, max_tokens: int, batch_tokens: int) -> None:
    examples = encoded(tiny, load_sample()[:30], template, max_tokens)
    found = losses(tiny, examples, batch_tokens)
    assert sorted(found) == [i for i, example in enumerate(examples) if example.response]
    for i, loss in found.items():
        assert loss == pytest.approx(naive_loss(tiny, examples[i]), rel=1e-5)


def in_batches(lm: LoadedModel, examples: Sequence[EncodedExample], size: int, seed: int) -> dict[int, float]:
    """Losses in batches of so many rows, whatever their lengths, in a shuffled order."""
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    found = {}
    with torch.inference_mode():
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            sums = response_sums(lm.model, collate([examples[i] for i in rows], lm.tokenizer.pad_token_id))
            counts = [trainable_tokens(examples[i]) for i in rows]
            found |= dict(zip(rows, (sums / torch.tensor(counts)).tolist(), strict=True))
    return found


@pytest.mark.parametrize("size", [1, 7, 64])
def test_size_and_order_of_batches_change_nothing(tiny: LoadedModel, size: int) -> None:
    examples = [e for e in encoded(tiny, load_sample()[:70], "alpaca", 300) if e.response]
    found = in_batches(tiny, examples, size, seed=size)
    for i, example in enumerate(examples):
        assert found[i] == pytest.approx(naive_loss(tiny, example), rel=1e-5)


@pytest.mark.slow
@pytest.mark.models
def test_real_rows_by_the_embedded_model_equal_the_plain_loop(embedded_models: None) -> None:
    """500 rows; batches of 1, 7 and 64 rows, and imine's own."""
    if not (DATA / "alpaca.parquet").is_file():
        pytest.skip("needs the shared data")
    lm = load_causal_lm()
    pool = (
        pl.read_parquet(DATA / "alpaca.parquet")
        .sample(500, seed=3)
        .with_columns(pl.col("input").fill_null(""))
    )
    examples = [e for e in encoded(lm, pool, "alpaca", 256) if e.response]
    expected = np.array([naive_loss(lm, e) for e in examples])
    found = {size: in_batches(lm, examples, size, seed=size) for size in (1, 7, 64)}
    found |= {0: losses(lm, examples, 2048)}
    for size, some in found.items():
        got = np.array([some[i] for i in range(len(examples))])
        np.testing.assert_allclose(got, expected, rtol=1e-4, err_msg=f"batches of {size}")
        np.testing.assert_allclose(np.exp(got), np.exp(expected), rtol=1e-4, err_msg=f"batches of {size}")


def test_only_response_tokens_count_from_the_first_on(tiny: LoadedModel) -> None:
    example = EncodedExample([5, 6, 7], [8, 9, 10], 0)
    with torch.inference_mode():
        found = token_losses(tiny.model, collate([example], 0)).tolist()
        logits = tiny.model(input_ids=torch.tensor([[5, 6, 7, 8, 9, 10]])).logits[0].log_softmax(-1)
    expected = [-float(logits[at, token]) for at, token in ((2, 8), (3, 9), (4, 10))]
    assert found == pytest.approx(expected, rel=1e-5)
    # The labels of the prompt are nowhere in it: transformers' loss with them masked is the same mean.
    assert np.mean(found) == pytest.approx(naive_loss(tiny, example), rel=1e-5)


def test_a_shared_beginning_is_used_and_changes_nothing(tiny: LoadedModel) -> None:
    examples = encoded(tiny, load_sample()[:60], "alpaca", 4096)
    pieces = list(_pieces("prompt", examples, range(60)))
    assert max(len(piece.head) for piece in pieces) >= 20
    rows = sorted(i for piece in pieces for i in piece.rows)
    assert rows == [i for i, e in enumerate(examples) if e.response]
    found = losses(tiny, examples, 2048)
    for piece in pieces:
        first = piece.rows[0]
        assert found[first] == pytest.approx(naive_loss(tiny, examples[first]), rel=1e-5)
        assert all(e.prompt[: len(piece.head)] == piece.head for e in piece.examples)
        assert all(len(e.prompt) > len(piece.head) for e in piece.examples)


def peak_of_logits(model: Any, batch: Any) -> int:
    """Rows of the largest tensor that the output embedding makes."""
    rows = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda _module, _given, made: rows.append(made.numel() // made.shape[-1])
    )
    try:
        with torch.inference_mode():
            token_losses(model, batch)
    finally:
        hook.remove()
    return max(rows)


def test_the_vocabulary_is_met_a_chunk_of_positions_at_a_time(tiny: LoadedModel) -> None:
    examples = [EncodedExample([1, 2], list(range(3, 203)), 0)] * 8
    assert peak_of_logits(tiny.model, collate(examples, 0)) == responses._CHUNK < 8 * 200


# Models with plain heads, and two that scale or cap their logits (and see a window only) and go their own way.
@pytest.mark.parametrize("kind", sorted(responses.PLAIN_HEADS | {"gemma2", "granite"}))
def test_every_architecture_equals_its_own_loss(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    small = {
        "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
        "max_position_embeddings": 256,
    }  # fmt: skip
    own = {
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 300, "n_positions": 256},
        "opt": {**small, "ffn_dim": 48, "word_embed_proj_dim": 16},
        "gemma2": {**small, "sliding_window": 16, "final_logit_softcapping": 1.0},
        "granite": {**small, "logits_scaling": 3.0},
        "mixtral": {**small, "num_local_experts": 2},
    }
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **own.get(kind, small))).eval()
    lm = LoadedModel(model, None, kind, "")
    numbers = random.Random(1)
    examples = [
        EncodedExample(
            [numbers.randrange(3, 300) for _ in range(a)], [numbers.randrange(3, 300) for _ in range(b)], 0
        )
        for a, b in ((3, 60), (9, 5), (1, 1), (40, 90), (2, 33))
    ]
    expected = [naive_loss(lm, e) for e in examples]
    batch = collate(examples, 0)
    with torch.inference_mode():
        whole = response_sums(model, batch).numpy() / [len(e.response) for e in examples]
        monkeypatch.setattr(responses, "_PIECE", 300 * 64)
        pieces = response_sums(model, batch).numpy() / [len(e.response) for e in examples]
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    np.testing.assert_allclose(pieces, expected, rtol=1e-5)
    if kind not in responses.PLAIN_HEADS:
        assert peak_of_logits(model, batch) <= 64


LIKELIHOOD = [
    "perplexity",
    "log_perplexity",
    "loss",
    "perplexity_alone",
    "log_perplexity_alone",
    "ifd",
    "ifd_ppl",
]


def test_ifd_is_that_of_the_paper(tiny_llama: Path, tiny: LoadedModel, own_cache: Path) -> None:
    """s(A|Q) / s(A), each a mean of -log p, computed here with no code of imine but the template's text."""
    pool = load_sample().filter(pl.col("output") != "")[:20]
    frame = score(pool, LIKELIHOOD, settings=ScoreSettings(str(tiny_llama), max_tokens=2048)).frame
    encode = lambda text: tiny.tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    for row, got in zip(pool.iter_rows(named=True), frame.iter_rows(named=True), strict=True):
        prompt = encode(TEMPLATES["alpaca"].render(row["instruction"], row["input"]))
        answer = encode(row["output"])
        given, alone = (sum_of_logs(tiny, before, answer) for before in (prompt, []))
        s_given, s_alone = (
            given / len(answer),
            alone / (len(answer) - 1),
        )  # no token before the first: left out
        assert got["loss"] == got["log_perplexity"] == pytest.approx(s_given, rel=1e-5)
        assert got["log_perplexity_alone"] == pytest.approx(s_alone, rel=1e-5)
        assert got["ifd"] == pytest.approx(s_given / s_alone, rel=1e-5)
        assert got["perplexity"] == pytest.approx(np.exp(s_given), rel=1e-5)
        assert got["perplexity_alone"] == pytest.approx(np.exp(s_alone), rel=1e-5)
        assert got["ifd_ppl"] == pytest.approx(np.exp(s_given) / np.exp(s_alone), rel=1e-5)


def sum_of_logs(lm: LoadedModel, before: list[int], answer: list[int]) -> float:
    ids = before + answer
    with torch.inference_mode():
        logs = lm.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    first = max(len(before), 1)
    return -sum(float(logs[at - 1, ids[at]]) for at in range(first, len(ids)))


def test_a_tokenizers_first_token_stands_before_a_response_alone(tmp_path: Path, own_cache: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    folder = save_llama(tmp_path / "bos")
    lm = load_causal_lm(str(folder))
    lm.tokenizer.add_special_tokens({"bos_token": "<eos>"})
    lm.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<eos> $A", special_tokens=[("<eos>", lm.tokenizer.bos_token_id)]
    )
    lm.tokenizer.save_pretrained(folder)
    pool = pl.DataFrame({"instruction": ["One."], "output": ["a"]})
    frame = score(pool, ["log_perplexity_alone", "ifd"], settings=ScoreSettings(str(folder))).frame
    ids = lm.tokenizer("a", add_special_tokens=False)["input_ids"]
    assert len(ids) == 1
    assert frame["log_perplexity_alone"][0] == pytest.approx(
        sum_of_logs(lm, [lm.tokenizer.bos_token_id], ids), rel=1e-5
    )
    assert frame["ifd__why"][0] is None


def test_unusual_responses_have_a_number_or_a_reason(tiny_llama: Path, own_cache: Path) -> None:
    outputs = ["", "a", "same " * 300, "word, " * 4334, " "]
    assert len(outputs[3]) > 26_000
    pool = pl.DataFrame({"instruction": ["Say."] * 5, "output": outputs})
    progress = Notes()
    settings = ScoreSettings(str(tiny_llama), max_tokens=200)
    frame = score(
        pool, [*LIKELIHOOD, "response_tokens", "cut_tokens"], settings=settings, progress=progress
    ).frame
    empty = "the response has no tokens"
    single = "the response has a single token, and the tokenizer puts none before it that could predict it"
    assert frame["perplexity__why"].to_list() == [empty, None, None, None, None]
    assert frame["ifd__why"].to_list() == [empty, single, None, None, single]
    assert frame["perplexity"].is_null().to_list() == [True, False, False, False, False]
    assert frame["ifd"].is_null().to_list() == [True, True, False, False, True]
    assert frame["response_tokens"][:2].to_list() == [0, 1]
    assert frame["cut_tokens"][3] > 4000
    assert frame["perplexity__cut"].to_list() == frame["ifd__cut"].to_list() == frame["cut_tokens"].to_list()
    assert any(
        line.startswith("likelihood: 2 of 5 rows were longer than 200 tokens and were cut, by ")
        for line in progress.lines
    )
    assert progress.tokens[0] == progress.tokens[1] > 0


def test_a_pool_of_one_row_and_of_none(tiny_llama: Path, own_cache: Path) -> None:
    pool = load_sample()[:1]
    settings = ScoreSettings(str(tiny_llama))
    assert (
        score(pool, LIKELIHOOD, settings=settings).frame.select(LIKELIHOOD).null_count().sum_horizontal()[0]
        == 0
    )
    empty = score(pool[:0], LIKELIHOOD, settings=settings).frame
    assert empty.height == 0
    assert empty["ifd"].dtype == pl.Float64


def test_the_loss_of_a_broken_model_is_null(tmp_path: Path, own_cache: Path) -> None:
    folder = save_llama(tmp_path / "broken")
    lm = load_causal_lm(str(folder))
    lm.model.model.norm.weight.data[:] = float("nan")
    lm.model.save_pretrained(folder)
    frame = score(load_sample()[:3], ["loss"], settings=ScoreSettings(str(folder))).frame
    assert frame["loss__why"].to_list() == ["the model's loss is not a finite number"] * 3


def test_more_tokens_than_the_model_has_positions_are_refused(tiny_llama: Path) -> None:
    with pytest.raises(SettingsError, match=r"max_tokens is 9,000, and the model .* has 2,048 positions"):
        score(load_sample()[:2], ["loss"], settings=ScoreSettings(str(tiny_llama), max_tokens=9000))


def test_bfloat16_is_near_and_in_the_fingerprint(tiny_llama: Path, own_cache: Path) -> None:
    pool = load_sample()[:20]
    made = {
        dtype: score(pool, ["loss"], settings=ScoreSettings(str(tiny_llama), dtype=dtype))
        for dtype in ("float32", "bfloat16")
    }
    for dtype, scores in made.items():
        assert scores.fingerprints["loss"]["dtype"] == dtype
    exact, near = made["float32"].frame["loss"], made["bfloat16"].frame["loss"]
    assert 0 < (exact - near).abs().max() < 0.02 * exact.max()


def test_two_processes_give_the_numbers_of_one(
    tiny_llama: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "_BATCHES_A_PIECE", 1)
    pool, settings = load_sample()[:40], ScoreSettings(str(tiny_llama), cache=False)
    progress = Notes()
    there = score(
        pool, ["ifd", "loss"], settings=replace(settings, devices=("cpu", "cpu")), progress=progress
    )
    here = score(pool, ["ifd", "loss"], settings=settings)
    assert there.fingerprints == here.fingerprints
    for name in ("ifd", "loss"):
        np.testing.assert_allclose(there.frame[name].to_numpy(), here.frame[name].to_numpy(), rtol=1e-5)
    assert progress.tokens[0] == progress.tokens[1] > 0


@pytest.mark.parametrize("devices", [("gpu",), ("cuda:x",), ("cpu", "cuda:0")])
def test_devices_are_checked(devices: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"device"):
        ScoreSettings(devices=devices)


def test_where_memory_runs_out_batches_are_halved_and_the_numbers_stay(
    tiny_llama: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, settings = load_sample()[:40], ScoreSettings(str(tiny_llama), cache=False)
    expected = score(pool, ["loss"], settings=settings).frame["loss"]
    sums = likelihood.response_sums

    def scarce(model: Any, batch: Any, past: Any = None) -> Any:
        if batch.input_ids.numel() > 700:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return sums(model, batch, past)

    monkeypatch.setattr(likelihood, "response_sums", scarce)
    progress = Notes()
    found = score(pool, ["loss"], settings=settings, progress=progress).frame
    assert any(line.startswith("memory ran out at ") for line in progress.lines)
    np.testing.assert_allclose(found["loss"].to_numpy(), expected.to_numpy(), rtol=1e-5)
    monkeypatch.setattr(likelihood, "response_sums", lambda *_: scarce_always())
    none = score(pool[:2], ["loss"], settings=settings).frame
    assert none["loss"].null_count() == 2
    assert none["loss__why"].str.contains(r"memory ran out at the example's \d+ tokens").all()


def scarce_always() -> Any:
    raise MemoryError


def test_a_stopped_run_goes_on_where_it_was(
    tiny_llama: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, settings = load_sample()[:40], ScoreSettings(str(tiny_llama))
    undisturbed = score(pool, ["loss"], settings=replace(settings, cache=False)).frame
    run, computed = likelihood.run_batches, []

    def counting(lengths: Sequence[int], compute: Any, **options: Any) -> Any:
        for result in run(lengths, compute, **options):
            assert isinstance(result, BatchResult)
            computed.extend(result.rows)
            yield result

    def stopping(lengths: Sequence[int], compute: Any, **options: Any) -> Any:
        for result in counting(lengths, compute, **options):
            yield result
            if len(computed) > 15:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(likelihood, "run_batches", stopping)
        patch.setitem(likelihood._BATCH_TOKENS, "cpu", 1500)
        with pytest.raises(KeyboardInterrupt):
            score(pool, ["loss"], settings=settings)
    before = len(computed)
    monkeypatch.setattr(likelihood, "run_batches", counting)
    resumed = score(pool, ["perplexity", "loss"], settings=settings).frame
    with_tokens = sum(pool["output"] != "")
    assert 15 < before < with_tokens
    assert len(computed) == with_tokens, "no row was computed twice"
    np.testing.assert_allclose(resumed["loss"], undisturbed["loss"], rtol=1e-5)
    score(pool, ["loss"], settings=settings)
    assert len(computed) == with_tokens, "a second run computes nothing"


def test_a_response_alone_has_the_tokens_that_were_read_after_the_prompt(tiny: LoadedModel) -> None:
    examples = encoded(tiny, load_sample()[:10], "alpaca", 64)
    alone = _after("nothing", examples, [])
    assert [e.response for e in alone] == [e.response for e in examples]
    assert all(not e.prompt for e in alone)
    (piece,) = _pieces("nothing", alone, range(10))
    assert isinstance(piece, Piece)
    assert piece.head == []


@pytest.mark.models
def test_the_embedded_model_reads_english(embedded_models: None) -> None:
    sense = "The capital of France is Paris, a city on the river Seine."
    noise = " ".join(sorted(sense.split(), key=lambda word: word[::-1]))
    pool = pl.DataFrame({"instruction": ["Tell me of France."] * 2, "output": [sense, noise]})
    settings = ScoreSettings(cache=False, dtype="float32")
    frame = score(pool, ["perplexity", "ifd"], settings=settings).frame
    assert frame["perplexity"][0] < 15
    assert frame["perplexity"][1] > 100
    assert frame["ifd"][0] < 1, "the question helps with its answer"
