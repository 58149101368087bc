"""``imine models``: the embedded models."""

from __future__ import annotations

import typer

from imine.progress import LineProgress

sub = typer.Typer(help="The embedded models: list, get, path.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(sub, name="models")


@sub.command("list")
def list_models() -> None:
    """List the embedded models, and whether they are in the cache folder.

    Example: imine models list
    """
    from imine.errors import ModelNotFoundError
    from imine.indicators.models import MODELS, cache_dir, model_path

    for spec in MODELS.values():
        try:
            where = str(model_path(spec.name))
        except ModelNotFoundError:
            where = f"not here; imine models get {spec.name} fetches {spec.megabytes} MB"
        typer.echo(f"{spec.name:18} {spec.kind:17} {spec.licence:11} {spec.origin}\n{'':18} {where}")
    typer.echo(f"cache folder: {cache_dir()} (IMINE_CACHE names another)")


@sub.command()
def get(names: list[str] = typer.Argument(None, help="Names; all where none is given.")) -> None:
    """Fetch and convert embedded models once, into the cache folder.

    Example: imine models get smollm2-135m
    """
    from imine.indicators.models import MODELS, get_model

    for name in names or list(MODELS):
        get_model(name, LineProgress())


@sub.command()
def path(name: str = typer.Argument(..., help="Name of a model.")) -> None:
    """Print the folder of a model.

    Example: imine models path smollm2-135m
    """
    from imine.indicators.models import model_path

    typer.echo(model_path(name))
