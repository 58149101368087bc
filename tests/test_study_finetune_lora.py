"""Adapters: what is trained, what is not, and the numbers against a plain loop with peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imine.errors import MissingExtraError, StudyError
from imine.study.evaluate import evaluate
from imine.study.finetune import check_training, finetuned
from imine.study.recipe import FinetuneConfig, LoraConfig
from tests.plain_finetune import PAD, SETTINGS, examples, plain_loop, tiny_model

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

LORA = LoraConfig(rank=4, alpha=8, targets=("q_proj", "v_proj", "down_proj"))


def settings(**changes: Any) -> FinetuneConfig:
    return SETTINGS.model_copy(update={"lora": LORA, **changes})


def adapt(model: Any) -> Any:
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=[*LORA.targets])
    return peft.get_peft_model(model, config).get_base_model()


@pytest.fixture(scope="module")
def base() -> Any:
    return tiny_model()


@pytest.mark.parametrize("stage", [0, 3])
def test_twenty_steps_equal_a_plain_loop_with_peft(base: Any, stage: int) -> None:
    data, held_out = examples(39), examples(10, seed=1)
    before = {k: v.clone() for k, v in base.state_dict().items()}
    reference = plain_loop(base, data, SETTINGS, seed=7, adapt=adapt)
    with finetuned(base, data, settings(zero_stage=stage), seed=7, pad_id=PAD) as tuned:
        losses = tuned.losses
        after = evaluate(tuned.model, held_out, pad_id=PAD)
        learned = evaluate(tuned.model, data, pad_id=PAD).loss
        if stage == 0:
            frozen = {n: p for n, p in tuned.model.named_parameters() if "lora_" not in n}
            assert all(torch.equal(p, before[n.replace(".base_layer", "")]) for n, p in frozen.items())
            # Nobody writes to the frozen weights, so the copy shares them.
            shared = {p.data_ptr() for p in base.parameters()}
            assert {p.data_ptr() for p in frozen.values()} == shared
    np.testing.assert_allclose(losses, reference.losses, rtol=0, atol=1e-5)
    assert after.loss == pytest.approx(evaluate(reference.model, held_out, pad_id=PAD).loss, abs=1e-5)
    assert learned < evaluate(base, data, pad_id=PAD).loss
    assert tuned.trained == 2 * 4 * ((32 + 32) + (32 + 16) + (64 + 32))
    assert all(torch.equal(v, before[k]) for k, v in base.state_dict().items())
    assert all(p.requires_grad for p in base.parameters())


def test_all_linear_leaves_the_output_embedding_out(base: Any) -> None:
    with finetuned(base, examples(2), settings(lora=LoraConfig(rank=2)), seed=0, pad_id=PAD) as tuned:
        adapted = {n.split(".")[-4] for n, p in tuned.model.named_parameters() if p.requires_grad}
    kinds = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert adapted == kinds


def test_dropout_is_on_in_training_and_off_in_evaluation(base: Any) -> None:
    dropped = settings(lora=LORA.model_copy(update={"dropout": 0.5}), epochs=1)
    with finetuned(base, examples(20), dropped, seed=7, pad_id=PAD) as tuned:
        sums = [evaluate(tuned.model, examples(3), pad_id=PAD).sums for _ in range(2)]
    np.testing.assert_array_equal(*sums)
    with finetuned(base, examples(20), settings(epochs=1), seed=7, pad_id=PAD) as plain:
        assert plain.losses[0] == tuned.losses[0]
        assert plain.losses[1:] != tuned.losses[1:]


def test_a_matrix_that_is_not_there_is_named(base: Any) -> None:
    wrong = settings(lora=LORA.model_copy(update={"targets": ("c_attn",)}))
    with (
        pytest.raises(StudyError, match=r"finetune\.lora\.targets: .*c_attn"),
        finetuned(base, examples(2), wrong, seed=0, pad_id=PAD),
    ):
        pass


def test_peft_is_asked_for_only_with_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    check_training()
    with pytest.raises(MissingExtraError, match=r'peft is not installed.*pip install "imine\[train\]"'):
        check_training(lora=True)


@pytest.mark.parametrize("stage", [0, 3])
def test_a_saved_adapter_loads_onto_the_base(tmp_path: Path, tiny_llama: Path, stage: int) -> None:
    from imine.indicators.models import load_causal_lm
    from imine.study.finetune import finetune_records
    from imine.study.finetune.single import encode_records
    from tests.finetune_ranks import frame

    recipe = settings(model=str(tiny_llama), max_tokens=64, zero_stage=stage)
    record = finetune_records(frame(9), tmp_path / "adapter", recipe, evaluation={"held": frame(5, 20)})
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "finetune.json"} <= names
    assert not names & {"model.safetensors", "README.md"}
    lm = load_causal_lm(str(tiny_llama))
    adapted = peft.PeftModel.from_pretrained(lm.model, tmp_path / "adapter").get_base_model()
    rows = encode_records(lm.tokenizer, frame(5, 20), recipe)
    again = evaluate(adapted, rows, pad_id=lm.tokenizer.pad_token_id)
    np.testing.assert_allclose(again.sums, record["evaluation"]["held"]["sums"], rtol=1e-5)
    assert record["evaluation"]["held"]["loss"] < record["evaluation"]["held"]["loss_before"]
