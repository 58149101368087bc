"""The command ``imine``: one small file a subcommand, each with a ``register(app)``."""

from __future__ import annotations

import importlib
import pkgutil

import typer

import imine

app = typer.Typer(
    name="imine",
    help="Instruction mining: score instruction data, fit a rule for its quality, choose what to train on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"imine {imine.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
    # The launcher of DeepSpeed puts it before the subcommand; LOCAL_RANK says the same.
    local_rank: int = typer.Option(0, "--local_rank", "--local-rank", hidden=True),
) -> None:
    pass


for _module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
    importlib.import_module(f"{__name__}.{_module}").register(app)
