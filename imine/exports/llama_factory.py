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

    Raises:
        FormatError: a ``dataset_info.json`` is there that is no JSON object, or the name is no file name.
    """
    if Path(about.name).name != about.name:
        raise FormatError(f"the name of the data set {about.name!r} becomes a file's name: leave / away")
    rows, info, beside = paths(folder, about.name)
    known = _known(info)
    write_frame(alpaca(records), rows)
    if rejected is not None:
        write_frame(alpaca(rejected), beside)
    text = json.dumps(known | {about.name: entry(rows.name)}, indent=2, ensure_ascii=False) + "\n"
    replace_file(info, lambda path: path.write_text(text, encoding="utf-8"))
    return [rows, info, beside if rejected is not None else None]


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
