"""Every command has a help that ends with an example, and is documented in the README."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from imine._cli import app

ROOT = Path(__file__).resolve().parents[1]


def commands(group: Any, path: str = "imine") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_there() -> None:
    assert {"imine select", "imine score", "imine fit", "imine study run", "imine models get"} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_help_ends_with_an_example(name: str) -> None:
    last = ALL[name].help.strip().split("\n\n")[-1]
    assert " ".join(last.split()).startswith(f"Example: {name}"), last


def test_select_shows_what_holds_without_an_option() -> None:
    said = " ".join(CliRunner().invoke(app, ["select", "--help"]).stdout.split())
    for described in ("counts by [output_length].", "1 diversity alone [0.5].", "draws of --stability [0]."):
        assert described in said


@pytest.mark.parametrize("name", ALL)
def test_the_readme_or_a_page_of_docs_mentions_it(name: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(name in page.read_text() for page in pages)
