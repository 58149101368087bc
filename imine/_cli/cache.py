"""``imine cache``: what is kept between runs."""

from __future__ import annotations

from typing import Annotated

import typer

sub = typer.Typer(
    help="What is kept between runs: show, clear. Without a subcommand: show.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(sub, name="cache")


@sub.callback()
def _main(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show()


@sub.command()
def show() -> None:
    """Show what the cache folder holds: kind, size, rows, last use, and what made it.

    Example: imine cache show
    """
    from imine.indicators.cache_folder import cache_entries, fingerprint_line
    from imine.indicators.models import cache_dir

    entries = cache_entries()
    for entry in entries:
        rows = "" if entry.rows is None else f"{entry.rows:,} rows"
        use = "in use" if entry.current else f"last used {entry.last_used:%Y-%m-%d %H:%M}"
        typer.echo(f"{entry.kind:16} {_size(entry.bytes):>9}  {rows:>14}  {use}  {entry.path.name}")
        if entry.fingerprint:
            typer.echo(f"{'':16} {fingerprint_line(entry.fingerprint)}")
    typer.echo(f"{_size(sum(entry.bytes for entry in entries))} in {cache_dir()} (IMINE_CACHE names another)")


@sub.command()
def clear(
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only this kind, e.g. likelihood or kernels. Repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove kept scores and the compiled kernels of other versions; models stay (remove their folders yourself).

    Example: imine cache clear --kind likelihood
    """
    from imine.errors import SettingsError
    from imine.indicators.cache_folder import cache_entries, clear_cache, clearable

    entries = clearable(cache_entries())
    kinds = list(dict.fromkeys(entry.kind for entry in entries))
    if unknown := [name for name in kind or () if name not in kinds]:
        there = f"there are {', '.join(kinds)}" if kinds else "there is nothing to clear"
        raise SettingsError(f"--kind {unknown[0]}: nothing of this kind can be cleared; {there}")
    chosen = clearable(entries, kind or ())
    size = _size(sum(entry.bytes for entry in chosen))
    if chosen and not yes:
        what = ", ".join(dict.fromkeys(entry.kind for entry in chosen))
        typer.confirm(f"Remove {len(chosen)} folders ({what}), {size}?", abort=True)
    freed = clear_cache(chosen)
    typer.echo(f"{len(chosen)} folders removed, {_size(freed)} freed")


def _size(count: int) -> str:
    """A number of bytes, for people."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
