"""Tables as aligned text and as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> list[str]:
    """Lines of a plain-text table: headings, a rule, rows; numbers to the right.

    Args:
        columns: headings.
        rows: cells, as many a row as there are columns.
        left: headings of columns that are set to the left.

    Examples:
        >>> print(*aligned(["term", "change"], [["mtld", "0.5"]], left=["term"]), sep="\\n")
        term  change
        ----  ------
        mtld     0.5
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ).rstrip()
        for row in (columns, *rows)
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def markdown_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[str] = ()
) -> list[str]:
    """Lines of a Markdown table; what would end a cell is escaped.

    Args:
        columns, rows, left: as for :func:`aligned`.

    Examples:
        >>> print(*markdown_table(["term", "p"], [["a|b", "0.5"]], left=["term"]), sep="\\n")
        | term | p |
        |---|---:|
        | a\\|b | 0.5 |
    """
    rule = "|" + "|".join("---" if column in left else "---:" for column in columns) + "|"
    lines = ["| " + " | ".join(markdown_cell(cell) for cell in row) + " |" for row in (columns, *rows)]
    lines.insert(1, rule)
    return lines


def markdown_cell(text: str) -> str:
    """Text that stays within one cell of a Markdown table.

    Examples:
        >>> markdown_cell("a|b\\nc")
        'a\\\\|b c'
    """
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def or_dash(value: float | None, form: str) -> str:
    """A number in a format, or a dash where there is none.

    Examples:
        >>> or_dash(0.25, ".1%"), or_dash(None, ".1%")
        ('25.0%', '–')
    """
    return "–" if value is None else format(value, form)
