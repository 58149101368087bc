"""Perplexity against the plain loop: one example at a time, transformers' own loss, labels of -100 on the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from imine.indicators import likelihood
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.indicators.score import score
from imine.indicators.settings import ScoreSettings
from imine.indicators.templates import TEMPLATES, EncodedExample, encode_examples
from imine.progress import SilentProgress
from imine.sample import load_sample

torch = pytest.importorskip("torch")


def naive_perplexity(lm: LoadedModel, example: EncodedExample) -> float:
    ids = torch.tensor([example.prompt + example.response])
    labels = torch.tensor([[-100] * len(example.prompt) + example.response])
    with torch.inference_mode():
        return float(lm.model(input_ids=ids, labels=labels).loss.double().exp())


def encoded(lm: LoadedModel, frame: pl.DataFrame, template: str, max_tokens: int) -> list[EncodedExample]:
    columns = [frame[name].to_list() for name in ("instruction", "input", "output")]
    return encode_examples(lm.tokenizer, TEMPLATES[template], *columns, max_tokens=max_tokens, add_eos=False)


@pytest.fixture(scope="module")
def tiny(tiny_llama: Path) -> LoadedModel:
    return load_causal_lm(str(tiny_llama))


@pytest.mark.parametrize("template", ["alpaca", "plain"])
@pytest.mark.parametrize("max_tokens", [64, 256])
@pytest.mark.parametrize("batch_tokens", [1, 500, 5000])
def test_equals_the_plain_loop(
    tiny: LoadedModel, template: str, max_tokens: int, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "BATCH_TOKENS", batch_tokens)
    examples = encoded(tiny, load_sample()[:30], template, max_tokens)
    found = dict(likelihood._perplexities(tiny, examples, SilentProgress()))
    assert sorted(found) == list(range(30))
    for i, example in enumerate(examples):
        if example.response:
            assert found[i] == pytest.approx(naive_perplexity(tiny, example), rel=1e-5)
        else:
            assert found[i] is None


def test_a_shared_beginning_is_used_and_changes_nothing(tiny: LoadedModel) -> None:
    examples = encoded(tiny, load_sample()[:60], "alpaca", 4096)
    groups = list(likelihood._groups(examples))
    assert max(len(head) for _, head in groups) >= 20
    assert sorted(i for rows, _ in groups for i in rows) == [i for i, e in enumerate(examples) if e.response]
    found = dict(likelihood._perplexities(tiny, examples, SilentProgress()))
    for rows, head in groups:
        assert found[rows[0]] == pytest.approx(naive_perplexity(tiny, examples[rows[0]]), rel=1e-5)
        assert all(examples[i].prompt[: len(head)] == head for i in rows)
        assert all(len(examples[i].prompt) > len(head) for i in rows)


def test_an_empty_response_is_null_with_its_reason(tiny_llama: Path, own_cache: Path) -> None:
    pool = pl.DataFrame({"instruction": ["Say nothing.", "Say yes."], "output": ["", "yes"]})
    frame = score(pool, ["perplexity"], settings=ScoreSettings(model=str(tiny_llama))).frame
    assert frame["perplexity"][0] is None
    assert frame["perplexity__why"].to_list() == ["the response has no tokens", None]
    assert frame["perplexity"][1] > 1


def test_a_stopped_run_goes_on_where_it_was(
    tiny_llama: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = load_sample()[:40]
    settings = ScoreSettings(model=str(tiny_llama))
    undisturbed = score(
        pool, ["perplexity"], settings=ScoreSettings(model=str(tiny_llama), cache=False)
    ).frame
    batches = likelihood._batch_perplexities
    computed: list[EncodedExample] = []

    def stopping(lm: Any, examples: list[EncodedExample], cache: Any) -> list[float]:
        if len(computed) > 15:
            raise KeyboardInterrupt
        return counting(lm, examples, cache)

    def counting(lm: Any, examples: list[EncodedExample], cache: Any) -> list[float]:
        computed.extend(examples)
        return batches(lm, examples, cache)

    with monkeypatch.context() as patch:
        patch.setattr(likelihood, "_batch_perplexities", stopping)
        patch.setattr(likelihood, "BATCH_TOKENS", 1500)
        with pytest.raises(KeyboardInterrupt):
            score(pool, ["perplexity"], settings=settings)
    before = len(computed)
    monkeypatch.setattr(likelihood, "_batch_perplexities", counting)
    resumed = score(pool, ["perplexity"], settings=settings).frame
    assert 15 < before < 40
    assert len(computed) == 40, "no row was computed twice"
    np.testing.assert_allclose(resumed["perplexity"], undisturbed["perplexity"], rtol=1e-5)
    score(pool, ["perplexity"], settings=settings)
    assert len(computed) == 40, "a second run computes nothing"


@pytest.mark.models
def test_the_embedded_model_reads_english(embedded_models: None) -> None:
    sense = "The capital of France is Paris, a city on the river Seine."
    noise = " ".join(sorted(sense.split(), key=lambda word: word[::-1]))
    pool = pl.DataFrame({"instruction": ["Tell me of France."] * 2, "output": [sense, noise]})
    values = score(pool, ["perplexity"], settings=ScoreSettings(cache=False)).frame["perplexity"]
    assert values[0] < 15
    assert values[1] > 100
