"""Rewards against a plain reference: one example at a time, no padding, the texts laid out here by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import imine
from imine.errors import ModelError, ModelNotFoundError
from imine.indicators import judging, reward
from imine.indicators.gpt_neox_reward import architecture
from imine.indicators.layouts import RewardLayout, encode_pairs, reward_layout
from imine.indicators.models import load_classifier, load_tokenizer
from imine.indicators.settings import ScoreSettings
from imine.progress import SilentProgress
from imine.rules import load_rule
from imine.sample import load_sample
from tests.tiny_judges import save_deberta_reward, save_llama_reward, save_neox_reward

torch = pytest.importorskip("torch")

POOL = load_sample()[:20]
AWKWARD = pl.DataFrame(
    {
        "instruction": ["", "Say {response}.", "Sum up.", "Repeat.", "Nothing?"],
        "input": ["", "{prompt}", "x " * 40, "", ""],
        "output": ["A prompt is missing.", "{response} {prompt}", "ok", "ha " * 60, "  \n"],
    }
)


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def joined(instruction: str, input: str) -> str:
    return f"{instruction}\n{input}" if input else instruction


def texts_of(frame: pl.DataFrame) -> list[tuple[str, str]]:
    rows = frame.select("instruction", "input", "output").iter_rows()
    return [(joined(a, b), response) for a, b, response in rows]


def plain_llama(folder: Path) -> Callable[[str, str], float]:
    from transformers import AutoTokenizer, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForSequenceClassification.from_pretrained(folder).eval()

    def rate(prompt: str, response: str) -> float:
        text = f"<user>{prompt}<eos>\n<assistant>{response}<eos>\n"
        with torch.inference_mode():
            return float(model(torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])).logits)

    return rate


def plain_deberta(folder: Path) -> Callable[[str, str], float]:
    from transformers import AutoTokenizer, DebertaV2ForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = DebertaV2ForSequenceClassification.from_pretrained(folder).eval()

    def rate(prompt: str, response: str) -> float:
        with torch.inference_mode():
            return float(model(**tokenizer(prompt, response, return_tensors="pt")).logits)

    return rate


def plain_neox(folder: Path) -> Callable[[str, str], float]:
    """The trunk of transformers and the linear layer by hand, from the file of weights."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXModel

    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    trunk = GPTNeoXModel(GPTNeoXConfig(**{k: v for k, v in config.items() if k != "model_type"})).eval()
    inner = {k.removeprefix("gpt_neox."): v for k, v in weights.items() if k.startswith("gpt_neox.")}
    trunk.load_state_dict(inner)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def rate(prompt: str, response: str) -> float:
        text = f"<|prompter|>{prompt}<|endoftext|><|assistant|>{response}<|endoftext|>"
        with torch.inference_mode():
            states = trunk(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0]
            pooled = states[-1] if config["pooling"] == "last" else states.mean(0)
            return float(weights["out_proj.weight"][0] @ pooled + weights["out_proj.bias"][0])

    return rate


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Callable[[str, str], float]]]] = {
    "llama": (save_llama_reward, plain_llama),
    "llama without padding token": (lambda f: save_llama_reward(f, pad=False), plain_llama),
    "deberta": (lambda f: save_deberta_reward(f, 2048), plain_deberta),
    "neox last": (save_neox_reward, plain_neox),
    "neox mean": (lambda f: save_neox_reward(f, "mean"), plain_neox),
}


@pytest.mark.parametrize("kind", KINDS)
def test_equals_one_example_at_a_time_whatever_the_batch(
    kind: str, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, plain = KINDS[kind]
    folder = save(tmp_path / "model")
    pool = pl.concat([POOL.select("instruction", "input", "output"), AWKWARD])
    rate = plain(folder)
    expected = [rate(*pair) if pair[1].strip() else None for pair in texts_of(pool)]
    settings = ScoreSettings(reward_model=str(folder), cache=False)
    assert len({round(v, 3) for v in expected if v is not None}) > 18, "the rewards differ"
    for budget, frame, step in ((1, pool, 1), (700, pool.reverse(), -1), (100_000, pool, 1)):
        monkeypatch.setattr(judging, "_BATCH_TOKENS", {"cpu": budget})
        scored = imine.score(frame, ["reward"], settings=settings).frame
        rows = zip(scored["reward"], scored["reward__why"], expected[::step], strict=True)
        for value, why, reference in rows:
            assert value == (None if reference is None else pytest.approx(reference, abs=1e-5))
            assert why == (None if reference is not None else "the response is empty")


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_papers_architecture_is_right_under_padding_on_either_side(
    pooling: str, side: str, tmp_path: Path
) -> None:
    loaded = load_classifier(str(save_neox_reward(tmp_path / "model", pooling)))
    rows = [[5, 6, 7, 8, 9, 10, 11], [3, 4], [9, 8, 7, 6]]
    with torch.inference_mode():
        alone = [float(loaded.model(torch.tensor([row])).logits) for row in rows]
        batch = loaded.tokenizer.pad({"input_ids": rows}, padding_side=side, return_tensors="pt")
        together = loaded.model(**batch).logits.squeeze(-1).tolist()
    assert together == pytest.approx(alone, abs=1e-5)


def test_old_checkpoints_of_the_papers_architecture_load(tmp_path: Path) -> None:
    """Their configuration has the older names of the rotary embedding, and two labels; their weights have masks."""
    from safetensors.torch import load_file, save_file

    folder = save_neox_reward(tmp_path / "model")
    expected = plain_neox(folder)("Hi", "Ho")
    config = json.loads((folder / "config.json").read_text())
    config |= {"rotary_pct": 0.25, "rotary_emb_base": 10000, "id2label": {"0": "a", "1": "b"}}
    del config["rope_parameters"]
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    weights["gpt_neox.layers.0.attention.bias"] = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    scores = imine.score(
        pl.DataFrame({"instruction": ["Hi"], "output": ["Ho"]}),
        ["reward"],
        settings=ScoreSettings(reward_model=str(folder), cache=False),
    )
    assert scores.frame["reward"][0] == pytest.approx(expected, abs=1e-5)


def test_pooling_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be one of last, mean, not 'max'"):
        architecture()[0](pooling="max")


def layout_of(folder: Path, tokens: int) -> RewardLayout:
    found = reward_layout(folder)
    return RewardLayout(found.name, found.template, tokens)


@pytest.mark.parametrize("kind", ["llama", "deberta", "neox last"])
@pytest.mark.parametrize("tokens", [56, 57, 72])
def test_long_texts_keep_the_layout_the_prompts_end_and_the_responses_beginning(
    kind: str, tokens: int, tmp_path: Path
) -> None:
    folder = KINDS[kind][0](tmp_path / "model")
    tokenizer, layout = load_tokenizer(str(folder)), layout_of(folder, tokens)
    prompt = " ".join(f"p{i}" for i in range(50)) + " é€𝄞"
    response = "€𝄞é " + " ".join(f"r{i}" for i in range(50))
    (whole,) = encode_pairs(tokenizer, reward_layout(folder), [prompt], [response])
    (both,) = encode_pairs(tokenizer, layout, [prompt], [response])
    assert tokens - 4 <= len(both.ids) <= tokens, "the room is used"
    text = tokenizer.decode(both.ids)
    inside = re.findall(r"p\d+|r\d+", text)
    assert text.count("é€𝄞") == 1, "the end of the prompt"
    assert "€𝄞é r0" in text
    assert 0 < sum(part[0] == "p" for part in inside) < 50
    assert abs(whole.cut) == 0
    assert both.cut == pytest.approx(len(whole.ids) - len(both.ids), abs=4)
    (short,) = encode_pairs(tokenizer, layout, [prompt], ["ok"])
    assert tokenizer.decode(short.ids).count("ok") == 1, "a short response is kept whole"
    if kind == "deberta":
        assert short.types is not None
        assert sum(short.types) == len(tokenizer("ok", add_special_tokens=False)["input_ids"]) + 1


def test_cut_rows_are_counted_also_when_they_come_from_the_cache(tmp_path: Path, own_cache: Path) -> None:
    folder = save_deberta_reward(tmp_path / "model", positions=48)
    pool = pl.DataFrame({"instruction": ["Go"] * 3, "output": ["short", "word " * 100, "much " * 5000]})
    for _ in range(2):
        notes = Notes()
        imine.score(pool, ["reward"], settings=ScoreSettings(reward_model=str(folder)), progress=notes)
        assert any("reward: 2 of 3 rows were longer than 48 tokens and were cut" in n for n in notes.lines)


@pytest.mark.parametrize(
    ("config", "tokenizer", "limit"),
    [
        ({"max_position_embeddings": 512}, {}, 512),
        ({"max_position_embeddings": 514, "model_type": "roberta"}, {}, 512),
        ({"max_position_embeddings": 131072}, {"model_max_length": int(1e30)}, 2048),
        ({"n_positions": 1024}, {"model_max_length": 384}, 384),
        ({}, {}, 2048),
    ],
)
def test_a_model_reads_no_more_than_it_can(
    config: dict[str, Any], tokenizer: dict[str, Any], limit: int, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": {"0": "LABEL_0"}}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    assert reward_layout(tmp_path).max_tokens == limit


def test_the_layout_is_found_and_hashed(tmp_path: Path) -> None:
    layouts = [
        reward_layout(save_neox_reward(tmp_path / "neox")),
        reward_layout(save_llama_reward(tmp_path / "chat")),
        reward_layout(save_llama_reward(tmp_path / "pair", chat=False)),
    ]
    assert [one.name for one in layouts] == ["open-assistant", "chat-template", "text-pair"]
    assert len({one.sha256 for one in layouts}) == 3
    old = tmp_path / "pair" / "tokenizer_config.json"
    named = [{"name": "default", "template": "{{ messages }}"}, {"name": "tools", "template": "x"}]
    old.write_text(json.dumps(json.loads(old.read_text()) | {"chat_template": named}))
    assert reward_layout(tmp_path / "pair").template == "{{ messages }}"


def test_the_day_does_not_enter_a_chat_template(tmp_path: Path) -> None:
    folder = save_llama_reward(tmp_path / "model")
    template = "{{ strftime_now('%d %b %Y') }} {{ messages[1]['content'] }}"
    layout = RewardLayout("chat-template", template, 100)
    tokenizer = load_tokenizer(str(folder))
    (row,) = encode_pairs(tokenizer, layout, ["a"], ["b"])
    assert tokenizer.decode(row.ids) == "26 Jul 2024 b"


def test_a_template_that_takes_no_such_turns_is_named(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(save_llama_reward(tmp_path / "model")))
    layout = RewardLayout("chat-template", "{{ raise_exception('only one turn') }}", 100)
    with pytest.raises(ModelError, match="chat template takes no prompt and response: only one turn"):
        encode_pairs(tokenizer, layout, ["a"], ["b"])


def test_more_than_one_output_is_refused_before_any_work(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imine.indicators.lexical.score_lexical", None)  # would fail if it were called
    folder = save_llama_reward(tmp_path / "model", labels=2)
    with pytest.raises(ModelError, match="a reward is one number, and this model has 2 outputs"):
        imine.score(POOL, ["mtld", "reward"], settings=ScoreSettings(reward_model=str(folder)))


def test_a_model_without_a_fast_tokenizer_is_refused_before_any_work(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imine.indicators.lexical.score_lexical", None)  # would fail if it were called
    folder = save_llama_reward(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        ModelNotFoundError, match=r"tokenizer\.json is missing: imine reads fast tokenizers only"
    ):
        imine.score(POOL, ["mtld", "reward"], settings=ScoreSettings(reward_model=str(folder)))


def test_a_model_without_its_head_is_refused(tmp_path: Path, tiny_llama: Path, own_cache: Path) -> None:
    for path in tiny_llama.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": {"0": "LABEL_0"}}))
    with pytest.raises(ModelError, match=r"no weights for score\.weight.*random numbers"):
        imine.score(POOL, ["reward"], settings=ScoreSettings(reward_model=str(tmp_path)))


def test_code_of_a_model_is_not_run(tmp_path: Path, own_cache: Path) -> None:
    folder = save_llama_reward(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    own = {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "own.C", "AutoModelForSequenceClassification": "own.M"},
    }
    (folder / "config.json").write_text(json.dumps(config | own))
    (folder / "own.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(ModelError, match="code that comes with a model is never run"):
        imine.score(POOL, ["reward"], settings=ScoreSettings(reward_model=str(folder)))


def test_a_stopped_run_goes_on_and_a_second_one_computes_nothing(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ScoreSettings(reward_model=str(save_neox_reward(tmp_path / "model")))
    monkeypatch.setattr(judging, "_BATCH_TOKENS", {"cpu": 200})
    judge, seen = reward.reward_judge, []

    def counting(stop_after: int) -> Callable[[Any], Any]:
        def make(loaded: Any) -> Any:
            inner = judge(loaded)

            def run(rows: Any) -> Any:
                if sum(seen) >= stop_after:
                    raise KeyboardInterrupt
                seen.append(len(rows))
                return inner(rows)

            return run

        return make

    monkeypatch.setattr(reward, "reward_judge", counting(stop_after=10))
    with pytest.raises(KeyboardInterrupt):
        imine.score(POOL, ["reward"], settings=settings)
    done = sum(seen)
    assert 10 <= done < 19
    monkeypatch.setattr(reward, "reward_judge", counting(stop_after=10**6))
    first = imine.score(POOL, ["reward"], settings=settings)
    rows = (
        POOL.filter(pl.col("output").str.strip_chars() != "")
        .unique(["instruction", "input", "output"])
        .height
    )
    assert sum(seen) == rows, "each row once"
    monkeypatch.setattr(reward, "load_classifier", None)  # would fail if it were called
    second = imine.score(POOL, ["reward"], settings=settings)
    assert second.frame.equals(first.frame)
    fresh = ScoreSettings(reward_model=settings.reward_model, cache=False)
    monkeypatch.undo()
    assert (
        imine.score(POOL, ["reward"], settings=fresh).frame["reward"] - first.frame["reward"]
    ).abs().max() < 1e-5


def test_bfloat16_keeps_the_last_layer_exact_and_is_told(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ScoreSettings(reward_model=str(save_llama_reward(tmp_path / "model")))
    exact = imine.score(POOL, ["reward"], settings=settings)
    monkeypatch.setattr("imine.indicators.models.judge_dtype", lambda: "bfloat16")
    rough = imine.score(POOL, ["reward"], settings=settings)
    assert exact.fingerprints["reward"]["dtype"] == "float32"
    assert rough.fingerprints["reward"]["dtype"] == "bfloat16"
    a, b = exact.frame["reward"].drop_nulls(), rough.frame["reward"].drop_nulls()
    assert 0 < (a - b).abs().max() < 0.1 * a.std()
    rounded = torch.tensor(b.to_list()).bfloat16().double().tolist()
    assert sum(x != y for x, y in zip(rounded, b, strict=True)) > len(b) / 2, "more digits than bfloat16 has"


def test_fingerprint_names_what_matters_and_rebuilds_the_settings(tmp_path: Path, own_cache: Path) -> None:
    from imine.indicators.settings import settings_from_fingerprints

    folder = save_neox_reward(tmp_path / "model")
    made = imine.score(POOL[:2], ["reward"], settings=ScoreSettings(reward_model=str(folder))).fingerprints
    assert set(made["reward"]) == {"indicator", "version", "reward_model", "layout", "max_tokens", "dtype"}
    assert set(made["reward"]["reward_model"]) == {"name", "sha256", "tokenizer_sha256"}
    again = settings_from_fingerprints(made, None)
    assert again == ScoreSettings(reward_model=str(folder))


def test_a_published_rule_is_applied_once_its_models_are_there(
    tmp_path: Path, own_cache: Path, tiny_llama: Path, tiny_encoder: Path
) -> None:
    rule = load_rule("instructmining-v1")
    with pytest.raises(ModelNotFoundError, match=r"imine models convert oasst-rm-pythia-1\.4b"):
        imine.select(POOL, rule, top=3)
    settings = ScoreSettings(
        model=str(tiny_llama),
        encoder=str(tiny_encoder),
        reward_model=str(save_neox_reward(tmp_path / "model")),
    )
    selection = imine.select(POOL, rule, top=3, settings=settings)
    assert selection.kept.height == 3
