"""A folder that Hugging Face ``datasets`` and its hub read: Parquet, and a card with its configurations.

The card's front matter as in the hub's documentation: ``configs`` with ``config_name`` and ``data_files``, of ``split``
and ``path``; ``size_categories`` by number of rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import FormatError
from imine.exports.about import About
from imine.exports.layouts import everything
from imine.exports.yaml_text import yaml_lines
from imine.files import replace_file
from imine.records.writing import write_frame

ROWS, REJECTED = Path("data/train-00000-of-00001.parquet"), Path("rejected/train-00000-of-00001.parquet")

_OURS = "rows of instruction data, chosen with imine"

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)


def write_dataset(
    records: pl.DataFrame, rejected: pl.DataFrame | None, folder: Path, about: About
) -> list[Path | None]:
    """Write the rows, the rejected ones as a configuration of their own, and the card, ``README.md``.

    Where there are none, those of an earlier export into the folder are deleted: the card no longer tells of them.
    """
    rows, readme, beside = paths(folder)
    frame = everything(records)
    write_frame(frame, rows)
    if rejected is not None:
        write_frame(everything(rejected), beside)
    text = card(frame, None if rejected is None else rejected.height, about)
    replace_file(readme, lambda path: path.write_text(text, encoding="utf-8"))
    if rejected is None:
        beside.unlink(missing_ok=True)
    return [rows, readme, beside if rejected is not None else None]


def paths(folder: Path) -> tuple[Path, Path, Path]:
    """Files of the rows, the card and the rejected rows."""
    return folder / ROWS, folder / "README.md", folder / REJECTED


def check_card(folder: Path) -> None:
    """Refuse to write the card over a README.md of something else.

    Raises:
        FormatError: the file is there, and no export of imine wrote it.
    """
    readme = folder / "README.md"
    if readme.is_file() and _OURS not in readme.read_text(encoding="utf-8", errors="replace"):
        raise FormatError(
            f"{readme}: is no card that imine wrote, and the export would replace it; name another folder"
        )


def card(frame: pl.DataFrame, rejected: int | None, about: About) -> str:
    """The card: front matter, then what the rows are.

    Args:
        frame: the rows.
        rejected: number of rejected rows; ``None`` where there is no file of them.
        about: name, licence and how the rows were chosen.

    Examples:
        >>> print(card(pl.DataFrame({"output": ["4"]}), None, About("mined")).splitlines()[1])
        configs:
    """
    front = "\n".join(yaml_lines(_front(frame.height, rejected is not None, about)))
    columns = "\n".join(f"| `{name}` | {dtype} |" for name, dtype in frame.schema.items())
    parts = [
        f"---\n{front}\n---\n\n# {about.name}",
        f"{frame.height:,} {_OURS}. `messages` holds each row as a conversation of one exchange.",
        "\n".join(f"- {line}" for line in about.lines),
        f"| column | type (polars) |\n|---|---|\n{columns}",
    ]
    if rejected is not None:
        parts.append(
            f"The configuration `rejected` has the {rejected:,} rows that were not chosen, each with its reason in "
            "`imine_reason`."
        )
    if not about.license:
        parts.append("No licence is stated here: that of the sources applies.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(rows: int, rejected: bool, about: About) -> dict[str, Any]:
    default = {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}
    other = {"config_name": "rejected", "data_files": [{"split": "train", "path": "rejected/train-*"}]}
    front: dict[str, Any] = {"configs": [default, *([other] if rejected else [])]}
    if about.license:
        front["license"] = about.license
    size = next((name for limit, name in _SIZES if rows < limit), "n>10M")
    tags = ["instruction-tuning", "imine"]
    return front | {"task_categories": ["text-generation"], "tags": tags, "size_categories": [size]}
