"""Hashes of models and tokenizers: whatever changes numbers changes them, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import imine
from imine.indicators.models import (
    model_path,
    model_sha256,
    tensors_sha256,
    tokenizer_sha256,
    vocabulary_sha256,
)
from imine.indicators.score import planned_fingerprints
from imine.indicators.settings import ScoreSettings

SHIPPED = Path(imine.__file__).parent / "rules" / "smollm2_135m"
FIRST_TOKEN = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<eos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<eos>": {"id": "<eos>", "ids": [0], "tokens": ["<eos>"]}},
}


def _copied(folder: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_finetuned_copy_of_an_embedded_model_has_another_hash(tiny_llama: Path, tmp_path: Path) -> None:
    folder = _copied(tiny_llama, tmp_path / "copy")
    (folder / "imine.json").write_text('{"sha256": "of the original"}')
    assert model_sha256(folder) == model_sha256(tiny_llama)
    weights = bytearray((tiny_llama / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert model_sha256(folder) != model_sha256(tiny_llama)


def test_tokenizers_with_one_vocabulary_but_other_merges_differ(tiny_llama: Path, tmp_path: Path) -> None:
    folder = _copied(tiny_llama, tmp_path / "copy")
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    joined = [" ".join(pair) for pair in model["merges"]]
    for sha256 in (tokenizer_sha256, vocabulary_sha256):
        _edit(folder / "tokenizer.json", model=model | {"merges": joined})
        assert sha256(str(folder)) == sha256(str(tiny_llama)), "the same merges, written otherwise"
        _edit(folder / "tokenizer.json", model=model | {"merges": joined[:-1]})
        assert sha256(str(folder)) != sha256(str(tiny_llama))


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"rms_norm_eps": 0.1}),
        ("config.json", {"rope_parameters": {"rope_theta": 10.0, "rope_type": "default"}}),
        ("tokenizer.json", {"post_processor": FIRST_TOKEN}),
    ],
)
def test_a_folder_edited_in_place_is_scored_anew(
    own_cache: Path, tiny_llama: Path, tmp_path: Path, file: str, changes: dict[str, Any]
) -> None:
    folder = _copied(tiny_llama, tmp_path / "copy")
    _edit(folder / "tokenizer_config.json", bos_token="<eos>")
    pool = pl.DataFrame({"instruction": ["the quick"], "output": ["brown fox jumps over the lazy dog"]})
    settings = ScoreSettings(str(folder), template="plain", devices=("cpu",))

    def score(cache: bool) -> float:
        made = imine.score(pool, ["perplexity_alone"], settings=replace(settings, cache=cache)).frame
        return float(made["perplexity_alone"].item())

    before = score(cache=True)
    _edit(folder / file, **changes)
    assert score(cache=True) == score(cache=False) != before


def test_what_does_not_change_numbers_does_not_change_hashes(tiny_llama: Path, tmp_path: Path) -> None:
    folder = _copied(tiny_llama, tmp_path / "copy")
    _edit(folder / "config.json", transformers_version="4.0", dtype="bfloat16", use_cache=False, _own="a")
    _edit(folder / "tokenizer.json", truncation={"max_length": 9}, padding={"pad_id": 0})
    _edit(folder / "tokenizer_config.json", chat_template="{{ messages }}", model_max_length=9)
    assert model_sha256(folder) == model_sha256(tiny_llama)
    assert tokenizer_sha256(str(folder)) == tokenizer_sha256(str(tiny_llama))


def test_lengths_of_a_copied_vocabulary_have_one_fingerprint(tiny_llama: Path, tmp_path: Path) -> None:
    folder = _copied(tiny_llama, tmp_path / "copy")
    _edit(folder / "tokenizer.json", post_processor=FIRST_TOKEN)
    there, here = (
        planned_fingerprints(["output_length"], ScoreSettings(str(path)))["output_length"]["tokenizer"]
        for path in (tiny_llama, folder)
    )
    assert there["sha256"] == here["sha256"]
    assert tokenizer_sha256(str(folder)) != tokenizer_sha256(str(tiny_llama))


def test_embedded_models_are_pinned_by_their_weights_and_vocabulary(
    own_cache: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = _copied(tiny_llama, own_cache / "models" / "smollm2-135m")
    (folder / "imine.json").write_text(json.dumps({"sha256": tensors_sha256(tiny_llama)}))
    _edit(folder / "config.json", rope_theta=10.0)
    _edit(folder / "tokenizer.json", post_processor=FIRST_TOKEN)
    assert model_sha256(folder) == tensors_sha256(tiny_llama)
    assert tokenizer_sha256("smollm2-135m") == vocabulary_sha256(str(tiny_llama))
    elsewhere = _copied(folder, tmp_path / "smollm2-135m")
    assert model_sha256(elsewhere) != model_sha256(folder), "a folder of that name is not the embedded model"


@pytest.mark.models
def test_embedded_models_have_the_hashes_of_the_shipped_rules(embedded_models: None) -> None:
    rule = json.loads((SHIPPED / "rule_perplexity.json").read_text())
    made = rule["fingerprints"]
    loss, encoder = made["log_perplexity"], made["knn_6"]["encoder"]
    assert model_sha256(model_path("smollm2-135m")) == loss["model"]["sha256"]
    assert tokenizer_sha256("smollm2-135m") == loss["tokenizer"]["sha256"]
    assert vocabulary_sha256("smollm2-135m") == made["output_length"]["tokenizer"]["sha256"]
    assert model_sha256(model_path("all-minilm-l6-v2")) == encoder["sha256"]
    assert tokenizer_sha256("all-minilm-l6-v2") == encoder["tokenizer_sha256"]
