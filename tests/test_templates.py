from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imine.indicators.templates import TEMPLATES, EncodedExample, _fit, encode_examples
from tests.tiny import byte_tokenizer


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


def test_end_of_text_is_part_of_the_response_where_asked_for() -> None:
    tokenizer = byte_tokenizer(eos_token="<eos>", pad_token="<pad>")
    args = (tokenizer, TEMPLATES["plain"], ["a"], [""], ["b"])
    (with_eos,) = encode_examples(*args, max_tokens=32, add_eos=True)
    (without,) = encode_examples(*args, max_tokens=32, add_eos=False)
    assert with_eos.response == [*without.response, tokenizer.eos_token_id]
    assert with_eos.prompt == without.prompt
