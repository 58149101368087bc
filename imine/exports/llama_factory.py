"""A folder that LLaMA-Factory takes as its ``dataset_dir``.

Keys as in that project's ``data/README.md`` and ``src/llamafactory/data/parser.py``: in a description with ``columns``
a column that is not named counts as absent, so all that are meant are named.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import FormatError
from imine.exports.about import About
from imine.exports.layouts import alpaca
from imine.files import replace_file
from imine.records.writing import write_frame

INFO = "dataset_info.json"


def write_llama_factory(
    records: pl.DataFrame, rejected: pl.DataFrame | None, folder: Path, about: About
) -> list[Path | None]:
    """Write ``NAME.json`` in the Alpaca layout and its entry in ``dataset_info.json``; other entries stay.

    The name must have passed :func:`check_folder`.
    """
    rows, info, beside = paths(folder, about.name)
    known = _known(info)
    write_frame(alpaca(records), rows)
    if rejected is not None:
        write_frame(alpaca(rejected), beside)
    text = json.dumps(known | {about.name: entry(rows.name)}, indent=2, ensure_ascii=False) + "\n"
    replace_file(info, lambda path: path.write_text(text, encoding="utf-8"))
    return [rows, info, beside if rejected is not None else None]


def check_folder(folder: Path, name: str) -> None:
    """Refuse, before any work, a name whose file would not hold the rows, and descriptions that take no entry.

    Raises:
        FormatError: says what is wrong.

    Examples:
        >>> check_folder(Path("data"), "dataset_info")
        Traceback (most recent call last):
        imine.errors.FormatError: no data set can be named 'dataset_info': dataset_info.json describes the data sets
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise FormatError(
            f"the name of the data set {name!r} becomes a file's name: it cannot be empty, . or .., "
            "nor have / or \\ in it"
        )
    rows, info, _ = paths(folder, name)
    # Some file systems take dataset_info.json and DATASET_INFO.JSON for one file.
    if rows.name.casefold() == INFO:
        raise FormatError(f"no data set can be named {name!r}: {INFO} describes the data sets")
    _known(info)


def paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Files of the rows, the descriptions and the rejected rows."""
    return folder / f"{name}.json", folder / INFO, folder / f"{name}.rejected.json"


def entry(file_name: str) -> dict[str, Any]:
    """The description of a file of Alpaca rows.

    Examples:
        >>> entry("mined.json")["columns"]
        {'prompt': 'instruction', 'query': 'input', 'response': 'output'}
    """
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    return {"file_name": file_name, "formatting": "alpaca", "columns": columns}


def _known(info: Path) -> dict[str, Any]:
    if not info.exists():
        return {}
    try:
        known = json.loads(info.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{info}: cannot be read, so no entry can be added to it: {error}") from None
    if not isinstance(known, dict):
        raise FormatError(f"{info}: holds no JSON object; name another folder, or mend it")
    return known
