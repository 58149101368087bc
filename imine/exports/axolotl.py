"""Rows and the block of a configuration for axolotl.

Keys as in that project's ``docs/dataset-formats/conversation.qmd`` and ``src/axolotl/utils/schemas/datasets.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from imine.exports.about import About
from imine.exports.layouts import messages
from imine.exports.yaml_text import yaml_lines
from imine.files import replace_file
from imine.records.writing import write_frame


def write_axolotl(
    records: pl.DataFrame, rejected: pl.DataFrame | None, path: Path, about: About
) -> list[Path | None]:
    """Write ``STEM.jsonl`` of messages beside the block."""
    rows, _, beside = paths(path)
    write_frame(messages(records), rows)
    if rejected is not None:
        write_frame(messages(rejected), beside)
    lines = [
        "# A part of a configuration; a path is relative to where axolotl is started.",
        *yaml_lines(block(rows)),
    ]
    replace_file(path, lambda target: target.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    return [rows, path, beside if rejected is not None else None]


def paths(path: Path) -> tuple[Path, Path, Path]:
    """Files of the rows, the block and the rejected rows."""
    return path.with_suffix(".jsonl"), path, path.with_suffix(".rejected.jsonl")


def block(rows: Path) -> dict[str, Any]:
    """The key ``datasets`` for a file of messages, trained on what the assistant says.

    Examples:
        >>> block(Path("mined.jsonl"))["datasets"][0]["type"]
        'chat_template'
    """
    return {
        "datasets": [
            {
                "path": rows.as_posix(),
                "ds_type": "json",
                "split": "train",
                "type": "chat_template",
                "field_messages": "messages",
                "message_property_mappings": {"role": "role", "content": "content"},
                "roles_to_train": ["assistant"],
            }
        ]
    }
