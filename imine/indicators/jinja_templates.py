"""Prompt templates written in Jinja: a tokenizer's own chat template, or a file of the user."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from imine.errors import MissingExtraError, SettingsError
from imine.indicators.models import model_path
from imine.indicators.templates import TEMPLATES, PromptTemplate

CHAT = "chat"
"""Name of the template that stands for the tokenizer's own."""

_SUFFIXES = (".jinja", ".jinja2", ".j2")


@dataclass(frozen=True, slots=True)
class JinjaTemplate:
    """A prompt laid out by Jinja, in a sandbox: it can read what it is given and nothing else.

    It is given ``instruction`` and ``input``, and what chat templates expect: ``messages`` with one turn of the user
    (instruction and input, joined by a line break), ``add_generation_prompt`` (true) and the special tokens
    (``bos_token``, ``eos_token`` ...). It is given no date, so that today's prompt is that of tomorrow.

    Attributes:
        name: name that goes into the fingerprint, beside the hash.
        source: text of the template.
        special: special tokens by name.

    Examples:
        >>> JinjaTemplate("own.jinja", "Q: {{ instruction }}\\nA:").render("Add 1 and 2.")
        'Q: Add 1 and 2.\\nA:'
    """

    name: str
    source: str
    special: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of the template's text and of the special tokens, 16 hexadecimal digits."""
        whole = json.dumps([self.source, dict(self.special)], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]

    def render(self, instruction: str, input: str = "") -> str:
        """The prompt of one example.

        Raises:
            SettingsError: the template fails; the message has Jinja's reason.
        """
        from jinja2 import TemplateError

        content = f"{instruction}\n{input}" if input.strip() else instruction
        try:
            return str(
                compile_jinja(self.source).render(
                    instruction=instruction,
                    input=input if input.strip() else "",
                    messages=[{"role": "user", "content": content}],
                    add_generation_prompt=True,
                    **self.special,
                )
            )
        except (TemplateError, TypeError) as error:
            raise SettingsError(f"the template {self.name} failed: {error}") from error


@lru_cache(maxsize=8)
def compile_jinja(source: str) -> Any:
    """A template compiled in the sandbox, with the settings that chat templates are written for.

    Raises:
        SettingsError: a syntax error.
        MissingExtraError: jinja2 is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError(
            'jinja2 is not installed; it comes with the extra: pip install "imine[models]"'
        )
    from jinja2 import TemplateError, TemplateSyntaxError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise SettingsError(f"line {error.lineno} of the template: {error.message}") from error


def check_template(name: str) -> None:
    """Fail where a name stands for no template; whether a tokenizer has a chat template is seen later.

    Raises:
        SettingsError: with what is allowed.

    Examples:
        >>> check_template("alpaca")
    """
    if name in TEMPLATES or name == CHAT or (name.endswith(_SUFFIXES) and Path(name).is_file()):
        return
    absent = ", which is not there" if name.endswith(_SUFFIXES) else ""
    raise SettingsError(
        f"template must be one of {', '.join(TEMPLATES)}, {CHAT} (the tokenizer's own), or a file whose name ends in "
        f"{_SUFFIXES[0]}, not {name!r}{absent}"
    )


def resolve_template(name: str, model: str) -> PromptTemplate:
    """A template by its name.

    Args:
        name: a key of ``TEMPLATES``, ``chat`` for the chat template of the model's tokenizer, or a Jinja file.
        model: name or folder of the causal model.

    Raises:
        SettingsError: there is no such template, or the tokenizer has none.

    Examples:
        >>> resolve_template("plain", "smollm2-135m").render("Add.")
        'Add.\\n'
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    check_template(name)
    settings = _tokenizer_settings(model)
    special = {key: _content(value) for key, value in settings.items() if key.endswith("_token") and value}
    if name == CHAT:
        return JinjaTemplate(CHAT, _chat_source(model, settings), special)
    return JinjaTemplate(Path(name).name, Path(name).read_text(encoding="utf-8"), special)


def _tokenizer_settings(model: str) -> dict[str, Any]:
    path = model_path(model) / "tokenizer_config.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _chat_source(model: str, settings: dict[str, Any]) -> str:
    """The chat template: a file of its own, or in the tokenizer's settings, one or several with names."""
    file = model_path(model) / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):
        found = {one["name"]: one["template"] for one in found}.get("default")
    if not found:
        raise SettingsError(
            f"the tokenizer of {model} has no chat template; choose another template: {', '.join(TEMPLATES)}, or a "
            "Jinja file"
        )
    return str(found)
