"""``imine models``: what is known by name, what is here, and how it is fetched and converted."""

from __future__ import annotations

from pathlib import Path

import typer

from imine.progress import LineProgress

sub = typer.Typer(
    help="Models by name: list, get, convert, path.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(sub, name="models")


@sub.command("list")
def list_models() -> None:
    """List the models known by name, and whether they are in the cache folder.

    Example: imine models list
    """
    from imine.errors import ModelNotFoundError
    from imine.indicators.models import MODELS, cache_dir, model_path

    for spec in MODELS.values():
        verb = "convert" if spec.weights == "pickle" else "get"
        try:
            where = str(model_path(spec.name))
        except ModelNotFoundError:
            where = f"not here; imine models {verb} {spec.name} fetches {spec.size}"
        licence = spec.licence or "not stated"
        typer.echo(f"{spec.name:21} {spec.kind:17} {licence:13} {spec.origin}\n{'':21} {where}")
    typer.echo(f"cache folder: {cache_dir()} (IMINE_CACHE names another)")


@sub.command()
def get(
    names: list[str] = typer.Argument(
        None,
        help="Names, or ids on the Hugging Face hub (owner/name); the embedded models where none is given.",
    ),
) -> None:
    """Fetch models once into the cache folder; of a hub, safetensors only.

    Example: imine models get smollm2-135m
    """
    from imine.indicators.models import EMBEDDED, get_model

    for name in names or EMBEDDED:
        get_model(name, LineProgress())


@sub.command()
def convert(
    source: str = typer.Argument(..., help="A name, an id on the hub, a folder, or a GGUF file."),
    output: Path | None = typer.Option(
        None, "-o", "--output", help="New folder; for a name or id by default the cache folder."
    ),
) -> None:
    """Convert a model to safetensors once: GGUF dequantised, or the tensors of a pickle.

    A pickle is read by torch's restricted unpickler, which makes tensors and refuses everything else.

    Example: imine models convert unieval-dialog
    """
    from imine.indicators.models import convert_model

    typer.echo(convert_model(source, output, LineProgress()))


@sub.command()
def path(name: str = typer.Argument(..., help="Name of a model.")) -> None:
    """Print the folder of a model.

    Example: imine models path smollm2-135m
    """
    from imine.indicators.models import model_path

    typer.echo(model_path(name))
