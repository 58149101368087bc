from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imine
from imine.errors import RuleError, SettingsError
from imine.indicators.jinja_templates import JinjaTemplate, resolve_template
from imine.indicators.models import load_tokenizer
from imine.indicators.responses import collate
from imine.indicators.score import planned_fingerprints
from imine.indicators.settings import ScoreSettings, settings_from_fingerprints
from imine.indicators.templates import (
    TEMPLATES,
    EncodedExample,
    Template,
    _fit,
    encode_examples,
    start_tokens,
)
from imine.sample import load_sample
from tests.tiny import byte_tokenizer, save_llama


@given(st.text(), st.text())
def test_the_users_braces_survive(instruction: str, input: str) -> None:
    for template in TEMPLATES.values():
        rendered = template.render(instruction, input)
        assert instruction in rendered
        assert (input if input.strip() else "") in rendered


def test_layouts_have_different_hashes() -> None:
    assert TEMPLATES["alpaca"].sha256 != TEMPLATES["plain"].sha256


def test_truncation_keeps_the_start_of_the_response_and_the_end_of_the_prompt() -> None:
    cut = _fit(list(range(100)), list(range(200, 300)), 40)
    assert cut == EncodedExample(list(range(80, 100)), list(range(200, 220)), 160)
    short_prompt = _fit([1, 2], list(range(200, 300)), 40)
    assert short_prompt == EncodedExample([1, 2], list(range(200, 238)), 62)
    short_response = _fit(list(range(100)), [7], 40)
    assert short_response == EncodedExample(list(range(61, 100)), [7], 61)


def test_truncation_keeps_the_start_tokens() -> None:
    cut = _fit([7, *range(100)], list(range(200, 300)), 40, 1)
    assert cut == EncodedExample([7, *range(81, 100)], list(range(200, 220)), 161)
    assert _fit([7, *range(10)], list(range(200, 300)), 40, 1).prompt == [7, *range(10)]


@given(st.integers(1, 60), st.integers(0, 60), st.integers(16, 64))
def test_truncation_counts_what_is_lost(prompt: int, response: int, room: int) -> None:
    cut = _fit([0] * prompt, [1] * response, room)
    assert len(cut.prompt) + len(cut.response) <= room
    assert len(cut.prompt) + len(cut.response) + cut.truncated == prompt + response
    assert bool(cut.response) is bool(response)


@pytest.mark.parametrize("post_processor", [False, True])
def test_a_first_token_is_there_where_the_tokenizer_adds_one(post_processor: bool) -> None:
    tokenizer = byte_tokenizer(bos_token="<s>", eos_token="<eos>", pad_token="<pad>")
    if post_processor:
        from tokenizers.processors import TemplateProcessing

        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
        )
    args = (tokenizer, TEMPLATES["plain"], ["a"], [""], ["b"])
    (example,) = encode_examples(*args, max_tokens=32, add_eos=False)
    assert (example.prompt[0] == tokenizer.bos_token_id) is post_processor
    assert tokenizer.bos_token_id not in example.response


def _starting_tokenizer() -> Any:
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer(bos_token="<s>", eos_token="<eos>", pad_token="<pad>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


@pytest.mark.parametrize("words", [1, 8, 30, 200])
def test_short_and_long_prompts_begin_with_the_first_token(words: int) -> None:
    tokenizer = _starting_tokenizer()
    args = (tokenizer, TEMPLATES["plain"], ["a " * words], [""], ["b " * 40])
    (example,) = encode_examples(*args, max_tokens=32, add_eos=True)
    assert example.prompt[0] == tokenizer.bos_token_id
    assert example.prompt.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(example.prompt).endswith("\n")
    assert len(example.prompt) + len(example.response) == 32


def test_first_tokens_are_in_the_fingerprint_where_there_are_any(tmp_path: Path, tiny_llama: Path) -> None:
    folder = save_llama(tmp_path / "starting")
    _starting_tokenizer().save_pretrained(folder)
    made = planned_fingerprints(["loss"], ScoreSettings(str(folder)))["loss"]
    assert made["start_tokens"] == start_tokens(load_tokenizer(str(folder)))
    assert "start_tokens" not in planned_fingerprints(["loss"], ScoreSettings(str(tiny_llama)))["loss"]


def test_end_of_text_is_part_of_the_response_where_asked_for() -> None:
    tokenizer = byte_tokenizer(eos_token="<eos>", pad_token="<pad>")
    args = (tokenizer, TEMPLATES["plain"], ["a"], [""], ["b"])
    (with_eos,) = encode_examples(*args, max_tokens=32, add_eos=True)
    (without,) = encode_examples(*args, max_tokens=32, add_eos=False)
    assert with_eos.response == [*without.response, tokenizer.eos_token_id]
    assert with_eos.prompt == without.prompt


def test_chatml_lays_out_a_turn_of_the_user() -> None:
    template = TEMPLATES["chatml"]
    assert template.render("Add.", "1 2") == "<|im_start|>user\nAdd.\n1 2<|im_end|>\n<|im_start|>assistant\n"
    assert template.render("Add.") == "<|im_start|>user\nAdd.<|im_end|>\n<|im_start|>assistant\n"


# Texts whose border would disappear in one token, were they tokenised together: "re" + "sponse", " " + "the".
@pytest.mark.parametrize(
    ("layout", "output"), [("{instruction} re", "sponse"), ("{instruction} ", "the"), ("{instruction}", ".")]
)
def test_the_response_begins_at_its_first_token_where_a_token_would_span_the_border(
    layout: str, output: str
) -> None:
    tokenizer = byte_tokenizer(eos_token="<eos>", pad_token="<pad>")
    template = Template("own", layout, layout)
    (example,) = encode_examples(tokenizer, template, ["w w"], [""], [output], max_tokens=64, add_eos=False)
    whole = tokenizer(template.render("w w") + output, add_special_tokens=False)["input_ids"]
    if layout != "{instruction}":
        assert len(whole) < len(example.prompt) + len(example.response), "together they would merge"
    assert tokenizer.decode(example.prompt) == template.render("w w")
    assert tokenizer.decode(example.response) == output
    batch = collate([example], 0)
    assert batch.column[0] == len(example.prompt) - 1, (
        "the last token of the prompt predicts the first of the response"
    )
    assert batch.target.tolist() == example.response


CHAT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<sys>be kind</sys>' }}{% endif %}\n"
    "{%- for message in messages %}\n"
    "{{- '<' + message['role'] + '>' + message['content'] + eos_token }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


@pytest.fixture
def chatty(tmp_path: Path) -> Path:
    folder = save_llama(tmp_path / "chatty")
    tokenizer = load_tokenizer(str(folder))
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


def test_chat_is_what_transformers_makes_of_the_tokenizers_template(chatty: Path) -> None:
    template = resolve_template("chat", str(chatty))
    tokenizer = load_tokenizer(str(chatty))
    for instruction, input in (("Add {{ this }}.", ""), ("Zähle <b>.", "1 2\n3")):
        content = f"{instruction}\n{input}" if input else instruction
        expected = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        assert template.render(instruction, input) == expected


@pytest.mark.models
def test_the_chat_template_of_the_embedded_model(embedded_models: None) -> None:
    tokenizer = load_tokenizer("smollm2-135m")
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Add.\n1 2"}], tokenize=False, add_generation_prompt=True
    )
    assert resolve_template("chat", "smollm2-135m").render("Add.", "1 2") == expected


def test_a_tokenizer_without_a_chat_template_is_told(tiny_llama: Path) -> None:
    with pytest.raises(
        SettingsError, match="has no chat template; choose another template: alpaca, plain, chatml"
    ):
        imine.score(load_sample()[:2], ["loss"], settings=ScoreSettings(str(tiny_llama), template="chat"))


def test_a_chat_template_that_writes_the_first_token_has_it_once(chatty: Path) -> None:
    tokenizer = byte_tokenizer(bos_token="<s>", eos_token="<eos>", pad_token="<pad>")
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    template = JinjaTemplate("own", "{{ bos_token }}{{ instruction }}", {"bos_token": "<s>"})
    (example,) = encode_examples(tokenizer, template, ["a"], [""], ["b"], max_tokens=32, add_eos=False)
    assert example.prompt.count(tokenizer.bos_token_id) == 1
    assert example.prompt[0] == tokenizer.bos_token_id


def test_a_jinja_file_is_a_template_and_its_text_is_in_the_fingerprint(
    tiny_llama: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("Q: {{ instruction }}\n{% if input %}\nC: {{ input }}\n{% endif %}\nA:\n")
    settings = ScoreSettings(str(tiny_llama), template=str(file))
    template = settings.prompt_template()
    assert template.render("Add.", "1 2") == "Q: Add.\nC: 1 2\nA:"
    assert template.render("Add.", " ") == "Q: Add.\nA:"
    made = planned_fingerprints(["loss"], settings)["loss"]["template"]
    assert made == {"name": "mine.jinja", "sha256": template.sha256}
    file.write_text("Q: {{ instruction }}\nA: ")
    assert settings.prompt_template().sha256 != template.sha256


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ instruction", "line 1 of the template: "),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "failed: access to attribute '__class__'"),
        ("{{ raise_exception('one turn only') }}", "failed: one turn only"),
        ("{% include '/etc/hostname' %}", "failed: no loader"),
        ("{{ messages.append(1) }}", "failed: "),
    ],
)
def test_jinja_runs_in_a_sandbox_and_fails_before_any_work(
    tiny_llama: Path, tmp_path: Path, source: str, message: str
) -> None:
    file = tmp_path / "bad.jinja"
    file.write_text(source)
    with pytest.raises(SettingsError, match=message):
        imine.score(load_sample()[:2], ["loss"], settings=ScoreSettings(str(tiny_llama), template=str(file)))


def test_no_date_comes_into_a_prompt() -> None:
    source = "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}26 Jul 2024{% endif %}"
    assert JinjaTemplate("dated", source).render("Add.") == "26 Jul 2024"


@pytest.mark.parametrize("name", ["nope", "absent.jinja"])
def test_unknown_templates_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="template must be one of alpaca, plain, chatml, chat "):
        ScoreSettings(template=name)


def test_a_rule_whose_template_is_a_file_that_is_not_here_says_so() -> None:
    made = {
        "model": {"name": "m"}, "tokenizer": {"name": "m"}, "template": {"name": "gone.jinja"}, "max_tokens": 99,
        "dtype": "float32",
    }  # fmt: skip
    with pytest.raises(
        RuleError,
        match=r"loss cannot be scored here in the way of the rule: .*'gone\.jinja', which is not there",
    ):
        settings_from_fingerprints({"loss": made}, None)
