"""Training with DeepSpeed against a plain torch loop, and the mask of the loss."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from imine.errors import StudyError
from imine.indicators.responses import bucket, collate, token_losses
from imine.indicators.templates import EncodedExample
from imine.study.evaluate import evaluate
from imine.study.finetune import finetuned, learning_rate_factor
from tests.plain_finetune import PAD, SETTINGS, Plain, examples, naive_loss_sum, plain_loop, tiny_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def base() -> Any:
    return tiny_model()


@pytest.fixture(scope="module")
def reference(base: Any) -> Plain:
    return plain_loop(base, examples(39), SETTINGS, seed=7)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_twenty_steps_equal_a_plain_loop(base: Any, reference: Plain, stage: int) -> None:
    data, held_out = examples(39), examples(10, seed=1)
    settings = SETTINGS.model_copy(update={"zero_stage": stage})
    before = {k: v.clone() for k, v in base.state_dict().items()}
    with finetuned(base, data, settings, seed=7, pad_id=PAD) as tuned:
        losses = tuned.losses
        after = evaluate(tuned.model, held_out, pad_id=PAD)
    assert len(losses) == 20
    np.testing.assert_allclose(losses, reference.losses, rtol=0, atol=1e-5)
    assert after.loss == pytest.approx(evaluate(reference.model, held_out, pad_id=PAD).loss, abs=1e-5)
    assert losses[-1] < losses[0]
    assert all(torch.equal(v, before[k]) for k, v in base.state_dict().items())


def test_the_split_in_micro_batches_changes_nothing(base: Any) -> None:
    data, losses = examples(16), []
    for micro_tokens in (1, 64, 10_000):
        settings = SETTINGS.model_copy(update={"micro_tokens": micro_tokens, "batch_size": 8, "epochs": 1})
        with finetuned(base, data, settings, seed=1, pad_id=PAD) as tuned:
            losses.append([*tuned.losses, evaluate(tuned.model, data, pad_id=PAD).loss])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    np.testing.assert_allclose(losses[0], losses[2], atol=1e-5)


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not(base: Any) -> None:
    def train(seed: int) -> tuple[float, ...]:
        with finetuned(base, examples(16), SETTINGS, seed=seed, pad_id=PAD) as tuned:
            return tuned.losses

    first = train(3)
    assert train(3) == first
    assert train(4) != first


def test_counts_of_tokens(base: Any) -> None:
    data = examples(6)
    with finetuned(base, data, SETTINGS, seed=0, pad_id=PAD) as tuned:
        assert tuned.tokens == 2 * sum(len(e.prompt) + len(e.response) for e in data)
        assert tuned.response_tokens == 2 * sum(len(e.response) for e in data)
        assert tuned.padded_tokens >= tuned.tokens


def test_an_example_without_trainable_token_is_an_error(base: Any) -> None:
    with (
        pytest.raises(StudyError, match="example 1 of the subset has no trainable token"),
        finetuned(base, [*examples(1), EncodedExample([1, 2], [], 0)], SETTINGS, seed=0, pad_id=PAD),
    ):
        pass


def test_engines_leave_no_weights_behind(base: Any) -> None:
    def tensors() -> int:
        gc.collect()
        return sum(isinstance(o, torch.nn.Parameter) for o in gc.get_objects())

    counts = []
    for stage in (0, 0, 2, 2):
        settings = SETTINGS.model_copy(update={"zero_stage": stage, "epochs": 1})
        with finetuned(base, examples(4), settings, seed=0, pad_id=PAD):
            pass
        counts.append(tensors())
    assert counts[1] == counts[0]
    assert counts[3] == counts[2] == counts[0]


@pytest.mark.parametrize("kind", ["llama", "cohere"])
def test_losses_equal_one_example_at_a_time(kind: str) -> None:
    model, data = tiny_model(kind), examples(9)
    result = evaluate(model, data, pad_id=PAD, micro_tokens=60)
    expected = [naive_loss_sum(model, e).item() for e in data]
    np.testing.assert_allclose(result.sums, expected, rtol=1e-5)
    assert result.tokens.tolist() == [len(e.response) for e in data]
    assert result.loss == pytest.approx(sum(expected) / result.tokens.sum(), rel=1e-6)


def test_the_loss_sees_every_response_token_and_no_prompt_token(base: Any) -> None:
    one = EncodedExample([11, 12, 13], [21, 22], 0)
    batch = collate([one], PAD)
    assert batch.target.tolist() == [21, 22]
    assert batch.column.tolist() == [2, 3]
    with torch.no_grad():
        losses = token_losses(base, batch)
        ids = torch.tensor([[11, 12, 13, 21, 22]])
        logprobs = torch.log_softmax(base(input_ids=ids).logits[0], -1)
    assert losses[0].item() == pytest.approx(-logprobs[2, 21].item(), abs=1e-5)
    assert losses[1].item() == pytest.approx(-logprobs[3, 22].item(), abs=1e-5)


def test_padding_and_neighbours_change_nothing(base: Any) -> None:
    short, long = (
        EncodedExample([5, 6], [7, 8], 0),
        EncodedExample(list(range(1, 30)), list(range(30, 60)), 0),
    )
    alone = evaluate(base, [short], pad_id=PAD).sums[0]
    with torch.no_grad():
        together = token_losses(base, collate([short, long], PAD))[:2].sum().item()
        other_padding = token_losses(base, collate([short, long], 150))[:2].sum().item()
    assert together == pytest.approx(alone, rel=1e-5)
    assert other_padding == pytest.approx(alone, rel=1e-5)


def test_a_text_without_prompt_starts_at_its_second_token() -> None:
    batch = collate([EncodedExample([], [4, 5, 6], 0)], PAD)
    assert (batch.column.tolist(), batch.target.tolist()) == ([0, 1], [5, 6])


def test_buckets_keep_to_the_limit_and_lose_nothing() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 200).tolist()
    groups = bucket(lengths, 1024)
    assert sorted(i for g in groups for i in g) == list(range(200))
    assert all(max(lengths[i] for i in g) * len(g) <= 1024 for g in groups)
    padded = sum(max(lengths[i] for i in g) * len(g) for g in groups)
    assert padded < 1.1 * sum(lengths)
    assert len(bucket(lengths, 1024, overhead=500)) < len(groups)
    assert bucket([5000], 1024) == [[0]]
    assert bucket([], 1024) == []


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0.0), (1, 1.0), (6, 0.1), (20, 0.5), (7, 0.0)])
def test_learning_rates_are_never_zero_and_peak_once_warm(schedule: str, total: int, warmup: float) -> None:
    rates = [learning_rate_factor(s, total, warmup, schedule) for s in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) == 1.0
    peak = rates.index(1.0)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
