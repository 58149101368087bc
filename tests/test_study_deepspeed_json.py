"""The user's own DeepSpeed JSON: what is taken from it, what contradicts the recipe, and that it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imine.errors import StudyConfigError
from imine.study.config import check_finetune, load_study
from imine.study.deepspeed_json import bf16_weights, deepspeed_config, own_adamw, zero_stage
from imine.study.evaluate import evaluate
from imine.study.finetune import finetuned
from imine.study.recipe import FinetuneConfig
from tests.plain_finetune import PAD, SETTINGS, Plain, examples, plain_loop, tiny_model

# As the trainers of others write it: everything that the recipe knows is "auto".
AUTO = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "fp16": {"enabled": "auto", "loss_scale": 0},
    "bf16": {"enabled": "auto"},
    "optimizer": {
        "type": "AdamW",
        "params": {"lr": "auto", "betas": "auto", "eps": 1e-8, "weight_decay": "auto"},
    },
    "scheduler": {
        "type": "WarmupCosineLR",
        "params": {"warmup_num_steps": "auto", "total_num_steps": "auto"},
    },
    "zero_optimization": {
        "stage": 2,
        "overlap_comm": True,
        "reduce_bucket_size": "auto",
        "offload_optimizer": {"device": "cpu", "pin_memory": False},
    },
    "steps_per_print": 100,
}
STUDY = """
name = "s"
[[pools]]
name = "a"
path = "a.jsonl"
[[evaluation]]
name = "e"
path = "e.jsonl"
[design]
subsets = 4
examples = 6
[finetune]
"""


def with_json(content: Any, **changes: Any) -> FinetuneConfig:
    return check_finetune(SETTINGS.model_dump(exclude_unset=True) | {"deepspeed": content} | changes)


def test_without_a_json_the_configuration_is_the_recipe() -> None:
    config = deepspeed_config(FinetuneConfig(zero_stage=1, clip=0.3, offload=("optimizer",)))
    assert config["gradient_clipping"] == 0.3
    assert config["zero_optimization"]["stage"] == 1
    assert config["zero_optimization"]["offload_optimizer"] == {"device": "cpu"}
    assert "offload_param" not in config["zero_optimization"]
    assert "optimizer" not in config


def test_auto_takes_the_value_of_the_recipe_or_the_default() -> None:
    config = deepspeed_config(with_json(AUTO))
    assert config["gradient_clipping"] == SETTINGS.clip
    zero = config["zero_optimization"]
    assert (zero["stage"], zero["overlap_comm"], zero["reduce_bucket_size"]) == (2, True, 50_000_000)
    assert zero["offload_optimizer"] == {"device": "cpu", "pin_memory": False}
    assert config["steps_per_print"] == 100
    assert '"auto"' not in json.dumps(config)
    assert not {"optimizer", "scheduler", "train_batch_size"} & set(config)
    assert config["bf16"] == {"enabled": False}
    assert config["fp16"] == {"loss_scale": 0}


def test_another_optimizer_is_made_by_deepspeed_with_the_rates_of_the_recipe() -> None:
    settings = with_json({"optimizer": {"type": "Lion", "params": {"lr": "auto", "betas": [0.9, 0.99]}}})
    assert own_adamw(settings) is None
    assert deepspeed_config(settings)["optimizer"] == {
        "type": "Lion",
        "params": {"lr": 5e-3, "betas": [0.9, 0.99], "weight_decay": 0.01},
    }


def test_the_json_decides_the_stage_where_the_recipe_does_not() -> None:
    assert zero_stage(with_json({"zero_optimization": {"stage": 3}})) == 3
    assert zero_stage(with_json({"zero_optimization": {"stage": "auto"}}, zero_stage=2)) == 2
    assert zero_stage(with_json({"zero_optimization": {"stage": 2}}, zero_stage=2)) == 2


def test_bfloat16_weights_only_where_the_json_asks_for_them() -> None:
    assert not bf16_weights(FinetuneConfig(dtype="bfloat16"))
    assert bf16_weights(with_json({"bf16": {"enabled": True}}, dtype="bfloat16"))
    assert bf16_weights(with_json({"bf16": {"enabled": "auto"}}, dtype="bfloat16"))
    assert not bf16_weights(with_json({"bf16": {"enabled": False}}, dtype="bfloat16"))
    assert not bf16_weights(with_json({"bf16": {"enabled": "auto"}}))


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        ({"gradient_clipping": 1.0}, {}, r"gradient_clipping is 1\.0 there and clip is 0\.5 in the recipe"),
        ({"train_batch_size": 16}, {}, "train_batch_size is 16 there and batch_size is 4 in the recipe"),
        (
            {"optimizer": {"type": "AdamW", "params": {"lr": 1e-5}}},
            {},
            r"optimizer\.params\.lr is 1e-05 there and learning_rate is 0\.005",
        ),
        (
            {"optimizer": {"params": {"weight_decay": 0.1}}},
            {},
            r"weight_decay is 0\.1 there and weight_decay is 0\.01",
        ),
        ({"bf16": {"enabled": True}}, {}, r"bf16\.enabled is true there and dtype is false in the recipe"),
        ({"zero_optimization": {"stage": 2}}, {"zero_stage": 1}, r"stage is 2 there and zero_stage is 1"),
        (
            {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "none"}}},
            {"offload": ["optimizer"]},
            r'offload_optimizer\.device is "none" there and offload is "cpu"',
        ),
        (
            {"gradient_accumulation_steps": 4},
            {},
            "gradient_accumulation_steps is 4 there, but micro_tokens = 70",
        ),
        ({"scheduler": {"type": "WarmupDecayLR"}}, {}, "scheduler is .*WarmupDecayLR.* schedule is 'cosine'"),
        (
            {"scheduler": {"type": "WarmupCosineLR", "params": {"warmup_num_steps": 5}}},
            {},
            r"warmup is 0\.1 in the recipe",
        ),
        (
            {"optimizer": {"type": "AdamW", "params": {"amsgrad": True}}},
            {},
            r"optimizer\.params\.amsgrad stands there",
        ),
        ({"fp16": {"enabled": True}}, {}, "fp16 is enabled there, but dtype"),
        ({"tensor_parallel": {"autotp_size": 2}}, {}, "tensor_parallel stands there"),
        ({"sequence_parallel_size": 2}, {}, "sequence_parallel_size is not 1"),
        ({"zero_optimization": True}, {}, "zero_optimization must be an object"),
    ],
)
def test_a_contradiction_names_both_keys(content: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyConfigError, match=rf"finetune: deepspeed: .*{said}"):
        with_json(content, **changes)


def test_every_contradiction_is_said_at_once() -> None:
    with pytest.raises(StudyConfigError, match=r"clip is .*; deepspeed: train_batch_size is"):
        with_json({"gradient_clipping": 2, "train_batch_size": 7})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"offload": ["optimizer"]}, "offload of the optimizer needs zero_stage 1 or more, not 0"),
        ({"offload": ["parameters"], "zero_stage": 2}, "offload of the parameters needs zero_stage 3, not 2"),
        ({"lora": {"rank": 0}}, r"finetune\.lora\.rank: input should be greater than or equal to 1"),
        ({"lora": {"r": 8}}, r"finetune\.lora\.r: unknown key; allowed: rank, alpha, dropout, targets"),
    ],
)
def test_what_a_recipe_cannot_have(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyConfigError, match=said):
        check_finetune(keys)


def test_a_study_takes_the_json_beside_it_into_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(f'{STUDY}deepspeed = "sub/ds.json"\n')
    with pytest.raises(StudyConfigError, match=r"finetune\.deepspeed: .*ds\.json: not a readable JSON file"):
        load_study(tmp_path / "s.toml")
    (tmp_path / "sub").mkdir()
    hashes = []
    for text in ('{"gradient_clipping": "auto", "a": 1}', '{"a": 1,\n "gradient_clipping": "auto"}', "{}"):
        (tmp_path / "sub" / "ds.json").write_text(text)
        recipe = load_study(tmp_path / "s.toml").config.recipe()
        assert not [key for key in recipe if "gradient_clipping" in key or key == "finetune.deepspeed"]
        hashes.append(recipe["finetune.deepspeed (content)"])
    assert hashes[0] == hashes[1] != hashes[2]
    (tmp_path / "sub" / "ds.json").write_text("[1]")
    with pytest.raises(StudyConfigError, match="is a JSON object, not list"):
        load_study(tmp_path / "s.toml")


def test_the_recipe_of_a_study_without_the_new_keys_is_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(STUDY)
    recipe = load_study(tmp_path / "s.toml").config.recipe()
    assert not [key for key in recipe if any(word in key for word in ("lora", "deepspeed", "offload"))]
    (tmp_path / "s.toml").write_text(f"{STUDY}lora = {{ rank = 4 }}\n")
    changed = load_study(tmp_path / "s.toml").config.recipe()
    assert changed["finetune.lora.rank"] == 4
    assert {k: v for k, v in changed.items() if "lora" not in k} == recipe


@pytest.fixture(scope="module")
def reference() -> Plain:
    return plain_loop(tiny_model(), examples(39), SETTINGS, seed=7)


def test_training_with_a_json_equals_a_plain_loop(reference: Plain) -> None:
    pytest.importorskip("deepspeed")
    with finetuned(tiny_model(), examples(39), with_json(AUTO), seed=7, pad_id=PAD) as tuned:
        np.testing.assert_allclose(tuned.losses, reference.losses, rtol=0, atol=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bfloat16_weights_train_to_nearly_the_same(reference: Plain, stage: int) -> None:
    pytest.importorskip("deepspeed")
    import torch

    content = {"bf16": {"enabled": True}, "zero_optimization": {"stage": stage}}
    held_out = examples(10, seed=1)
    settings = with_json(content, dtype="bfloat16")
    with finetuned(tiny_model(), examples(39), settings, seed=7, pad_id=PAD) as tuned:
        assert next(tuned.model.parameters()).dtype == torch.bfloat16
        loss = evaluate(tuned.model, held_out, pad_id=PAD, dtype="bfloat16").loss
        np.testing.assert_allclose(tuned.losses, reference.losses, rtol=0.02)
    assert loss == pytest.approx(evaluate(reference.model, held_out, pad_id=PAD).loss, rel=0.02)
