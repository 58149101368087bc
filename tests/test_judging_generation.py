"""Answers of tiny models: batches against one prompt at a time, draws, ends, adapters, the cache."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from imine.errors import JudgingError, MissingExtraError, ModelError, ModelNotFoundError, SettingsError
from imine.indicators.models import load_causal_lm
from imine.indicators.templates import TEMPLATES
from imine.judging.adapters import find_writer
from imine.judging.answers import read_answers
from imine.judging.completing import NOT_FINITE, Completion, Decoding, complete, row_draws, stop_tokens
from imine.judging.generation import GenerateSettings, check_writer, generate_answers
from tests.tiny import byte_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

RECORDS = pl.DataFrame(
    {
        "id": ["1", "2", "3", "4", "5"],
        "instruction": [
            "Name a fruit.",
            "The quick brown fox jumps over the lazy dog. " * 3,
            "A",
            "Add.",
            "Add.",
        ],
        "input": ["", "", "and b", "1 and 22", "1 and 22"],
        "output": ["An apple.", "", "", "", ""],
    }
)
SHORT = GenerateSettings(dtype="float32", decoding=Decoding(max_new_tokens=12))


def save(folder: Path, kind: str) -> Path:
    """A random model of two layers whose ends of text are likely enough to come up."""
    torch.manual_seed(3)
    tokenizer = byte_tokenizer(eos_token="<eos>", pad_token="<pad>")
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=2048
        )
        model = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config)
    # Untrained weights are so small that one token wins everywhere, whatever the prompt.
    for weights in model.parameters():
        weights.data.mul_(8.0 if weights.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("llama"), "llama")


def naive(lm: Any, prompt: list[int], count: int, draws: Sequence[float] | None, heat: float) -> list[int]:
    """The slow twin: one prompt, no cache, no padding, the whole text through the model for every token."""
    tokens: list[int] = []
    while len(tokens) < count:
        with torch.inference_mode():
            logits = (
                lm.model(input_ids=torch.tensor([prompt + tokens]), use_cache=False).logits[0, -1].double()
            )
        if draws is None:
            tokens.append(int(logits.argmax()))
        else:
            order = logits.sort(descending=True, stable=True).indices
            summed = np.cumsum((logits[order] / heat).softmax(0).numpy())
            tokens.append(
                int(order[min(np.searchsorted(summed, draws[len(tokens)], "right"), len(order) - 1)])
            )
        if tokens[-1] == lm.tokenizer.eos_token_id:
            break
    return tokens


@pytest.mark.parametrize("heat", [0.0, 1.5])
def test_batches_write_what_one_prompt_at_a_time_writes(model: Path, heat: float) -> None:
    lm = load_causal_lm(str(model))
    texts = ["a", "The quick brown fox", "Numbers such as 1, 22 and 333; letters such as a, b and c.", "b c"]
    prompts = [lm.tokenizer(text)["input_ids"] for text in texts]
    for budget in (1, 60, 100_000):
        decoding = Decoding(max_new_tokens=10, temperature=heat, batch_tokens=budget)
        draws = row_draws(texts, decoding) if heat else [None] * len(texts)
        got: dict[int, Completion] = {}
        for rows, made, _ in complete(lm, prompts, texts, decoding, stops=[lm.tokenizer.eos_token_id]):
            got |= dict(zip(rows, made or [], strict=True))
        for i, prompt in enumerate(prompts):
            tokens = naive(lm, prompt, 10, draws[i], heat)
            ended = tokens[-1] == lm.tokenizer.eos_token_id
            text = lm.tokenizer.decode(tokens, skip_special_tokens=True).strip()
            assert got[i] == Completion(text, len(tokens) - ended, ended)


def test_draws_follow_the_probabilities(llama: Path) -> None:
    """10,000 draws of one token: no token's share is further off than five standard errors."""
    lm = load_causal_lm(str(llama))
    prompt = lm.tokenizer("The quick")["input_ids"]
    with torch.inference_mode():
        expected = (lm.model(input_ids=torch.tensor([prompt])).logits[0, -1].double() / 2).softmax(0).numpy()
    from imine.judging.drawing import draw_tokens

    decoding = Decoding(max_new_tokens=1, temperature=2.0)
    names = [str(i) for i in range(10_000)]
    with torch.inference_mode():
        logits = lm.model(input_ids=torch.tensor([prompt])).logits[0, -1:].expand(len(names), -1)
    drawn = draw_tokens(logits, torch.from_numpy(row_draws(names, decoding)[:, 0]).float(), decoding)
    counts = np.bincount(drawn.numpy(), minlength=len(expected))
    error = np.sqrt(len(names) * expected * (1 - expected)) + 1
    assert (np.abs(counts - len(names) * expected) <= 5 * error).all()


def test_top_p_leaves_the_unlikely_out() -> None:
    from imine.judging.drawing import draw_tokens

    logits = torch.log(torch.tensor([[0.1, 0.5, 0.15, 0.25]])).expand(2000, -1)
    draws = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    seen = {
        p: set(draw_tokens(logits, draws, Decoding(temperature=1.0, top_p=p)).tolist())
        for p in (0.4, 0.7, 1.0)
    }
    assert seen == {0.4: {1}, 0.7: {1, 3}, 1.0: {0, 1, 2, 3}}
    kept = draw_tokens(logits, draws, Decoding(temperature=1.0, top_p=0.7))
    assert int((kept == 1).sum()) == pytest.approx(2000 * 2 / 3, abs=5 * (2000 * 2 / 9) ** 0.5)


def test_another_seed_draws_others_and_greedy_has_none() -> None:
    a, b = (row_draws(["x"], Decoding(temperature=1.0, seed=seed)) for seed in (0, 1))
    assert not np.array_equal(a, b)
    assert Decoding(seed=0).fingerprint() == Decoding(seed=1).fingerprint()
    assert Decoding(temperature=1.0, seed=0).fingerprint() != Decoding(temperature=1.0, seed=1).fingerprint()


def test_the_prompt_is_that_of_finetuning(llama: Path, own_cache: Path) -> None:
    lm = load_causal_lm(str(llama))
    answers = generate_answers(RECORDS, str(llama), SHORT)
    for row, answer in zip(RECORDS.iter_rows(named=True), answers.frame["answer"], strict=True):
        prompt = TEMPLATES["alpaca"].render(row["instruction"], row["input"])
        tokens = naive(lm, lm.tokenizer(prompt)["input_ids"], 12, None, 0)
        assert answer == lm.tokenizer.decode(tokens, skip_special_tokens=True).strip()
    assert answers.frame["id"].to_list() == RECORDS["id"].to_list()
    assert answers.frame["answer"][3] == answers.frame["answer"][4]


def test_a_second_run_generates_nothing_and_a_stopped_one_goes_on(
    llama: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imine.judging import completing, generation

    asked: Counter[int] = Counter()
    plain = completing._complete_batch

    def counted(lm: Any, prompts: Any, *rest: Any) -> Any:
        if asked["stop"] and asked["batches"] == 2:
            raise KeyboardInterrupt
        asked["batches"] += 1
        asked["rows"] += len(prompts)
        return plain(lm, prompts, *rest)

    monkeypatch.setattr(completing, "_complete_batch", counted)
    settings = GenerateSettings(dtype="float32", decoding=Decoding(max_new_tokens=12, batch_tokens=1))
    asked["stop"] = 1
    with pytest.raises(KeyboardInterrupt):
        generate_answers(RECORDS, str(llama), settings)
    asked["stop"] = 0
    whole = generate_answers(RECORDS, str(llama), settings)
    # Five rows, two of them the same prompt; two were done when it was stopped.
    assert asked["rows"] == 4
    monkeypatch.setattr(generation.Writer, "load", lambda *_: pytest.fail("loaded for nothing"))
    assert generate_answers(RECORDS, str(llama), settings).frame.equals(whole.frame)
    other = GenerateSettings(dtype="float32", decoding=Decoding(max_new_tokens=11, batch_tokens=1))
    with pytest.raises(pytest.fail.Exception, match="loaded for nothing"):
        generate_answers(RECORDS, str(llama), other)


def test_a_model_that_ended_in_nothing_but_nan_has_no_answers(
    llama: Path, tmp_path: Path, own_cache: Path
) -> None:
    lm = load_causal_lm(str(llama))
    lm.model.lm_head.weight.data[7] = float("nan")
    lm.model.save_pretrained(tmp_path / "broken")
    lm.tokenizer.save_pretrained(tmp_path / "broken")
    for heat in (0.0, 1.0):
        settings = GenerateSettings(dtype="float32", decoding=Decoding(max_new_tokens=3, temperature=heat))
        answers = generate_answers(RECORDS, str(tmp_path / "broken"), settings)
        assert answers.frame["answer"].null_count() == RECORDS.height
        assert set(answers.frame["why"]) == {NOT_FINITE}


def test_long_prompts_keep_their_end(llama: Path, own_cache: Path) -> None:
    settings = GenerateSettings(
        template="plain", dtype="float32", max_prompt_tokens=16, decoding=Decoding(max_new_tokens=8)
    )
    lm = load_causal_lm(str(llama))
    (answer,) = generate_answers(RECORDS[1:2], str(llama), settings).frame["answer"]
    ids = lm.tokenizer(TEMPLATES["plain"].render(RECORDS["instruction"][1]))["input_ids"][-16:]
    assert answer == lm.tokenizer.decode(naive(lm, ids, 8, None, 0), skip_special_tokens=True).strip()


def test_the_template_of_the_finetuning_is_known_where_the_folder_says_so(
    llama: Path, tmp_path: Path, own_cache: Path
) -> None:
    tuned = shutil.copytree(llama, tmp_path / "tuned")
    (tuned / "finetune.json").write_text(json.dumps({"recipe": {"template": "plain"}}))
    for folder, named, expected in ((tuned, "", "plain"), (llama, "", "alpaca"), (tuned, "chatml", "chatml")):
        settings = GenerateSettings(template=named, decoding=Decoding(max_new_tokens=1))
        origin = generate_answers(RECORDS, str(folder), settings).origin
        assert origin["template"] == {"name": expected, "sha256": TEMPLATES[expected].sha256}


def test_what_ends_an_answer(llama: Path, tmp_path: Path) -> None:
    lm = load_causal_lm(str(llama))
    eos, pad = lm.tokenizer.eos_token_id, lm.tokenizer.pad_token_id
    for named, expected in ((pad, {eos, pad}), ([pad, 77], {eos, pad}), (None, {eos})):
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
        assert set(stop_tokens(lm, tmp_path)) == expected


def test_the_models_own_sampling_habits_are_left_out(llama: Path, tmp_path: Path, own_cache: Path) -> None:
    plain = generate_answers(RECORDS, str(llama), SHORT)
    shutil.copytree(llama, tmp_path / "habits")
    habits = {
        "do_sample": True,
        "temperature": 5.0,
        "repetition_penalty": 50.0,
        "num_beams": 3,
        "min_length": 12,
    }
    (tmp_path / "habits" / "generation_config.json").write_text(json.dumps(habits))
    assert generate_answers(RECORDS, str(tmp_path / "habits"), SHORT).frame.equals(plain.frame)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decoding": Decoding(max_new_tokens=2000)}, "are more than the 2,048 positions"),
        ({"template": "chat"}, "has no chat template"),
    ],
)
def test_what_does_not_fit_is_told_before_any_work(llama: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_writer(str(llama), GenerateSettings(**settings))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Decoding(max_new_tokens=0), "max_new_tokens must be at least 1"),
        (lambda: Decoding(temperature=-1), "temperature must be 0 or above"),
        (lambda: Decoding(temperature=float("nan")), "temperature must be 0 or above"),
        (lambda: Decoding(top_p=0), "top_p must be above 0"),
        (lambda: GenerateSettings(dtype="int8"), "dtype must be one of"),
        (lambda: GenerateSettings(max_prompt_tokens=3), "max_prompt_tokens must be at least 16"),
        (lambda: GenerateSettings(template="nope"), "template must be one of"),
    ],
)
def test_settings_that_are_not_allowed(make: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make()


@pytest.fixture
def adapter(llama: Path, tmp_path: Path) -> Path:
    peft = pytest.importorskip("peft")
    torch.manual_seed(5)
    base = transformers.AutoModelForCausalLM.from_pretrained(llama)
    config = peft.LoraConfig(
        r=4, lora_alpha=64, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    tuned = peft.get_peft_model(base, config)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    tuned.save_pretrained(tmp_path / "lora")
    return tmp_path / "lora"


def test_a_lora_folder_writes_what_the_unmerged_adapter_writes(
    adapter: Path, llama: Path, own_cache: Path
) -> None:
    import peft

    answers = generate_answers(RECORDS, str(adapter), SHORT)
    lm = load_causal_lm(str(llama))
    lm = type(lm)(peft.PeftModel.from_pretrained(lm.model, str(adapter)), lm.tokenizer, "x", "y")
    for row, answer in zip(RECORDS.iter_rows(named=True), answers.frame["answer"], strict=True):
        ids = lm.tokenizer(TEMPLATES["alpaca"].render(row["instruction"], row["input"]))["input_ids"]
        assert answer == lm.tokenizer.decode(naive(lm, ids, 12, None, 0), skip_special_tokens=True).strip()
    assert (
        answers.frame["answer"].to_list()
        != generate_answers(RECORDS, str(llama), SHORT).frame["answer"].to_list()
    )
    assert answers.origin["model"]["base"]["name"] == str(llama)


def test_what_an_adapter_does_is_in_its_fingerprint(adapter: Path, llama: Path) -> None:
    before = find_writer(str(adapter)).fingerprint()
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"lora_alpha": 1}))
    assert find_writer(str(adapter)).fingerprint() != before
    file.write_text(json.dumps(config | {"base_model_name_or_path": "elsewhere"}))
    assert find_writer(str(adapter), base=str(llama)).fingerprint() == before
    with pytest.raises(ModelNotFoundError, match="name it with --base"):
        find_writer(str(adapter))


def test_adapters_that_are_refused(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"pip install \"imine\[train\]\""):
            find_writer(str(adapter))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelNotFoundError, match="can run code on loading"):
        find_writer(str(adapter))
    (adapter / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(ModelError, match="of the kind IA3"):
        find_writer(str(adapter))


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_answers_from_a_file_by_id_and_by_prompt(tmp_path: Path) -> None:
    rows = [
        {"id": "2", "instruction": RECORDS["instruction"][1], "input": "", "output": "by id"},
        {"id": "x", "instruction": "Name a fruit.", "input": "", "output": "by prompt"},
        {"id": "y", "instruction": "A", "input": "and b", "output": "one"},
        {"id": "z", "instruction": "A", "input": "and b", "output": "another"},
    ]
    answers = read_answers(write(tmp_path / "own.jsonl", rows), RECORDS)
    assert answers.frame["answer"].to_list() == ["by prompt", "by id", None, None, None]
    assert answers.frame["why"].to_list() == [
        None, None, "own.jsonl has 2 different answers to this prompt", *["no answer in own.jsonl"] * 2
    ]  # fmt: skip
    assert answers.missing == 3


def test_a_file_of_another_set_is_refused(tmp_path: Path) -> None:
    other = [{"id": "2", "instruction": "Something else.", "input": "", "output": "?"}]
    with pytest.raises(JudgingError, match="the id '2' has another prompt"):
        read_answers(write(tmp_path / "a.jsonl", other), RECORDS)
    with pytest.raises(JudgingError, match="no answer to any of the 5 prompts"):
        read_answers(write(tmp_path / "b.jsonl", [other[0] | {"id": "9"}]), RECORDS)
    with pytest.raises(JudgingError, match="there is no file"):
        read_answers(tmp_path / "none.jsonl", RECORDS)
