"""Results as text, Markdown and HTML, from one description."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imine.rendering import format_p

if TYPE_CHECKING:
    from imine.regression.results import OlsResults


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Attributes:
        title: heading, or empty.
        header: names of the columns; left: how many of them, from the left, hold words and not numbers.
        rows: cells.
        ragged: whether the last column is left-aligned too.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    ragged: bool = True


Block = Table | str

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def render(blocks: Sequence[Block], format: str) -> str:
    """Tables and paragraphs in one of three formats.

    Args:
        blocks: tables and texts; nothing in them is markup, in any format.
        format: ``text``, ``markdown`` or ``html``.

    Raises:
        ValueError: an unknown format.

    Examples:
        >>> print(render([Table("", ("term", "t"), (("a|b", "1.0"),), ragged=False), "R2 < 1"], "markdown"))
        | term | t |
        |:---|---:|
        | a\\|b | 1.0 |
        <BLANKLINE>
        R2 \\< 1
    """
    if format not in _RENDERERS:
        raise ValueError(f"format must be one of {', '.join(_RENDERERS)}; got {format!r}")
    table, paragraph, between = _RENDERERS[format]
    return between.join(paragraph(b) if isinstance(b, str) else table(b) for b in blocks)


def _text_table(table: Table) -> str:
    lines = [table.header, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    left = _left_columns(table)
    shown = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *shown] if table.title else shown)


def _markdown_table(table: Table) -> str:
    left = _left_columns(table)
    rule = "|" + "|".join(":---" if i in left else "---:" for i in range(len(table.header))) + "|"
    header, *rows = (
        "| " + " | ".join(_markdown(cell) for cell in line) + " |" for line in (table.header, *table.rows)
    )
    title = [f"**{_markdown(table.title)}**", ""] if table.title else []
    return "\n".join([*title, header, rule, *rows])


def _html_table(table: Table) -> str:
    left = _left_columns(table)

    def line(cells: Sequence[str], tag: str) -> str:
        styles = ("" if i in left else ' style="text-align: right"' for i in range(len(cells)))
        shown = (f"<{tag}{s}>{html.escape(cell)}</{tag}>" for s, cell in zip(styles, cells, strict=True))
        return f"<tr>{''.join(shown)}</tr>"

    caption = f"<caption>{html.escape(table.title)}</caption>\n" if table.title else ""
    body = "\n".join(line(row, "td") for row in table.rows)
    return f"<table>\n{caption}<thead>{line(table.header, 'th')}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _left_columns(table: Table) -> set[int]:
    last = {len(table.header) - 1} if table.ragged else set()
    return {*range(table.left), *last}


def _markdown(text: str) -> str:
    return " ".join(_MARKDOWN.sub(r"\\\1", text).split("\n"))


def _html_paragraph(text: str) -> str:
    return f"<p>{html.escape(text).replace(chr(10), '<br>' + chr(10))}</p>"


def _markdown_paragraph(text: str) -> str:
    return "  \n".join(_markdown(line) for line in text.split("\n"))


_RENDERERS: dict[str, tuple[Callable[[Table], str], Callable[[str], str], str]] = {
    "text": (_text_table, str, "\n\n"),
    "markdown": (_markdown_table, _markdown_paragraph, "\n\n"),
    "html": (_html_table, _html_paragraph, "\n"),
}


def summarise(results: OlsResults, format: str, level: float, notes: Sequence[str]) -> str:
    """The summary of a fit: see :meth:`imine.regression.OlsResults.summary`.

    Args:
        results: the fit.
        format: ``text``, ``markdown`` or ``html``.
        level: of the intervals.
        notes: sentences to stand under the table.
    """
    header = ("parameter", "estimate", "std error", "t", "p", f"{100 * level:g} % interval")
    numbers = zip(
        results.names,
        results.params,
        results.std_errors,
        results.t,
        results.p,
        results.conf_int(level),
        strict=True,
    )
    rows = tuple(
        (name, f"{value:.5g}", f"{error:.4g}", f"{t:.3f}", format_p(p), f"[{low:.5g}, {high:.5g}]")
        for name, value, error, t, p, (low, high) in numbers
    )
    return render([Table("", header, rows), _whole(results), *_kinds(results), *notes], format)


def _whole(results: OlsResults) -> str:
    fit = results
    return (
        f"n {fit.n_runs}, df {fit.df_resid}, sigma {fit.sigma:.4g}, R2 {_fixed(fit.r2, 4)}, "
        f"adjusted {_fixed(fit.adjusted_r2, 4)}, PRESS R2 {_fixed(fit.press_r2, 4)}\n"
        f"F {_fixed(fit.f, 1)}{'' if math.isnan(fit.f) else f' (p {format_p(fit.f_p)})'}, "
        f"log-likelihood {_fixed(fit.log_likelihood, 2)}, AIC {_fixed(fit.aic, 2)}, "
        f"AICc {_fixed(fit.aicc, 2)}, BIC {_fixed(fit.bic, 2)}"
    )


def _kinds(results: OlsResults) -> list[str]:
    said = []
    if results.weighted:
        said.append("Weighted: sigma is that of a run of weight 1, R2 and PRESS R2 are of weighted squares.")
    if results.covariance_kind == "cluster":
        said.append(
            f"Standard errors by {results.n_groups} groups, with {results.df_inference} degrees of freedom; "
            "F is Wald's."
        )
    elif results.covariance_kind != "classical":
        said.append(
            f"Standard errors {results.covariance_kind}, robust against unequal variances; F is Wald's."
        )
    return said


def _fixed(value: float, digits: int) -> str:
    return "not defined" if math.isnan(value) else f"{value:.{digits}f}"
