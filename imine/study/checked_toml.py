"""Checked TOML files: read, and held against a model of their keys, with errors that say what is allowed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from imine.errors import StudyConfigError
from imine.study.deepspeed_json import read_deepspeed_json

_Model = TypeVar("_Model", bound=BaseModel)


def read_toml(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Read a file of settings; the folder of its results is named after it where it names none.

    A DeepSpeed JSON that its section ``finetune`` names is put in the place of its path.

    Args:
        path: a TOML file.
        what: what the messages call it, such as ``study file``.
        hint: where there is an example, for the message on a file that is not there.

    Raises:
        StudyConfigError: it cannot be read.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyConfigError(f"there is no {what} {path}; {hint}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyConfigError(f"{path}: not a readable TOML file: {error}") from error
    raw.setdefault("out", f"{path.stem}-out")
    return with_deepspeed_json(raw, path)


def with_deepspeed_json(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of the DeepSpeed JSON in the place of its path in the section ``finetune``.

    Args:
        raw: nested dictionaries as TOML gives them.
        path: the file they come from; the path of the JSON is relative to its folder.

    Raises:
        StudyConfigError: it cannot be read.
    """
    finetune = raw.get("finetune")
    if not isinstance(finetune, dict) or not isinstance(finetune.get("deepspeed"), str):
        return raw
    try:
        content = read_deepspeed_json(path.parent / finetune["deepspeed"])
    except ValueError as error:
        raise StudyConfigError(f"{path}: finetune.deepspeed: {error}") from error
    return raw | {"finetune": finetune | {"deepspeed": content}}


def check_model(
    kind: type[_Model],
    raw: Mapping[str, Any],
    where: str,
    *,
    root: type[BaseModel] | None = None,
    under: tuple[str, ...] = (),
) -> _Model:
    """Hold nested dictionaries against a model of their keys.

    Args:
        kind: the model.
        raw: nested dictionaries, as TOML gives them.
        where: what the message names as the place.
        root: model of the whole file where ``raw`` is a section of it, at the keys ``under``.

    Raises:
        StudyConfigError: names every wrong key and what is allowed.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(item, (*under, *item["loc"]), root or kind) for item in error.errors()]
        raise StudyConfigError("\n  ".join([f"{where}:", *lines])) from None


def _describe(item: Any, loc: tuple[Any, ...], root: type[BaseModel]) -> str:
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    if item["type"] == "missing":
        return f"{key}: missing"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed: {', '.join(_section(loc[:-1], root).model_fields)}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = "" if isinstance(item["input"], dict | list) else f" (given: {item['input']!r})"
    return f"{key}: {message}{given}" if key else message


def _section(loc: tuple[Any, ...], section: type[BaseModel]) -> type[BaseModel]:
    for part in loc:
        if isinstance(part, str):
            kind = section.model_fields[part].annotation
            kinds = [k for k in (kind, *get_args(kind)) if isinstance(k, type)]
            section = next(k for k in kinds if issubclass(k, BaseModel))
    return section
