"""Records as the rows that other programs read."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from imine.errors import FormatError
from imine.records.assembling import free_name

NEEDED = ("instruction", "output")


def checked(records: pl.DataFrame) -> pl.DataFrame:
    """Records with ``instruction``, ``input`` and ``output`` as text, input empty where there is none.

    Raises:
        FormatError: a column is missing or not text.
    """
    if "input" not in records.columns:
        records = records.with_columns(input=pl.lit(""))
    for name in (*NEEDED, "input"):
        if records.schema.get(name) != pl.String:
            raise FormatError(f"records to export need the text column {name}; there are: {records.schema}")
    return records.with_columns(pl.col("input").fill_null(""))


def user_text() -> pl.Expr:
    """What the user says: the instruction, and the input on the next line where there is one."""
    both = pl.concat_str("instruction", pl.lit("\n"), "input")
    return pl.when(pl.col("input") != "").then(both).otherwise("instruction")


def alpaca(records: pl.DataFrame) -> pl.DataFrame:
    """``instruction``, ``input``, ``output``, then the other columns.

    Examples:
        >>> alpaca(pl.DataFrame({"id": ["a"], "output": ["4"], "instruction": ["2 + 2?"]})).row(0, named=True)
        {'instruction': '2 + 2?', 'input': '', 'output': '4', 'id': 'a'}
    """
    records = checked(records)
    first = ["instruction", "input", "output"]
    return records.select(*first, *_others(records))


def sharegpt(records: pl.DataFrame) -> pl.DataFrame:
    """``conversations`` of ``from`` (human, gpt) and ``value``, then the other columns.

    Examples:
        >>> rows = sharegpt(pl.DataFrame({"instruction": ["Add."], "input": ["2, 2"], "output": ["4"]}))
        >>> rows["conversations"].to_list()
        [[{'from': 'human', 'value': 'Add.\\n2, 2'}, {'from': 'gpt', 'value': '4'}]]
    """
    return _talk(records, "conversations", "from", "value", ("human", "gpt"))


def messages(records: pl.DataFrame) -> pl.DataFrame:
    """``messages`` of ``role`` (user, assistant) and ``content``, then the other columns.

    Examples:
        >>> messages(pl.DataFrame({"instruction": ["2 + 2?"], "output": ["4"]}))["messages"].to_list()
        [[{'role': 'user', 'content': '2 + 2?'}, {'role': 'assistant', 'content': '4'}]]
    """
    return _talk(records, "messages", "role", "content", ("user", "assistant"))


def everything(records: pl.DataFrame) -> pl.DataFrame:
    """The records' columns as they are, and ``messages`` beside them."""
    records = checked(records)
    talk = messages(records).select("messages")
    own = {"messages": free_name("messages_original", records.columns)}
    return records.rename(own, strict=False).hstack(talk.get_columns())


def _talk(records: pl.DataFrame, name: str, who: str, what: str, roles: tuple[str, str]) -> pl.DataFrame:
    records = checked(records)
    turns = [
        pl.struct(pl.lit(role).alias(who), text.alias(what))
        for role, text in zip(roles, (user_text(), pl.col("output")), strict=True)
    ]
    others = _others(records)
    own = {name: free_name(f"{name}_original", others)} if name in others else {}
    talk = records.select(pl.concat_list(turns).alias(name))
    return talk.hstack(records.select(others).rename(own).get_columns())


def _others(records: pl.DataFrame) -> list[str]:
    return [name for name in records.columns if name not in ("instruction", "input", "output")]


LAYOUTS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "alpaca": alpaca,
    "sharegpt": sharegpt,
    "messages": messages,
    "parquet": lambda records: checked(records),
}
"""Layouts of a single file."""
