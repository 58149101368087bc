"""Ids made of content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b

import polars as pl


def content_keys(frame: pl.DataFrame) -> list[str]:
    """A key for the content of every row: equal texts have equal keys, whatever their id.

    128-bit BLAKE2b over instruction, input and output, each as UTF-8 after its length in bytes (8 bytes,
    little-endian), so that text moved from one field to the next changes the key.

    Args:
        frame: has the String columns ``instruction``, ``input`` and ``output``, without nulls.

    Returns:
        32 hexadecimal digits for each row.

    Examples:
        >>> rows = pl.DataFrame({"instruction": ["Add."], "input": ["1 2"], "output": ["3"]})
        >>> content_keys(rows)
        ['48718b183b37647a65d372d1fff26c9f']
    """
    columns = (frame[name].to_list() for name in ("instruction", "input", "output"))
    return [_key(a.encode(), b.encode(), c.encode()) for a, b, c in zip(*columns, strict=True)]


def _key(*fields: bytes) -> str:
    parts = [part for field in fields for part in (len(field).to_bytes(8, "little"), field)]
    return blake2b(b"".join(parts), digest_size=16).hexdigest()


def content_ids(frame: pl.DataFrame) -> list[str]:
    """An id for every row, made of its content; rows with the same content get ``-2``, ``-3`` and so on.

    Args:
        frame: as for :func:`content_keys`.

    Returns:
        Unique ids in the order of the rows.

    Examples:
        >>> rows = pl.DataFrame({"instruction": ["Hi"] * 2, "input": [""] * 2, "output": ["Ho"] * 2})
        >>> first, second = content_ids(rows)
        >>> second == first + "-2"
        True
    """
    return make_unique(content_keys(frame))


def make_unique(names: Sequence[str], taken: set[str] | None = None) -> list[str]:
    """The names, those met before with the suffix ``-2``, ``-3`` and so on.

    Args:
        names: names in order.
        taken: names that are in use already.

    Examples:
        >>> make_unique(["a", "b", "a", "a-2"], {"b"})
        ['a', 'b-2', 'a-2', 'a-2-2']
    """
    used = set(taken or ())
    times: Counter[str] = Counter()
    unique = []
    for name in names:
        candidate = name
        while candidate in used:
            times[name] = max(times[name], 1) + 1
            candidate = f"{name}-{times[name]}"
        used.add(candidate)
        unique.append(candidate)
    return unique


def choose_ids(own: Sequence[str | None], keys: Callable[[Sequence[int]], list[str]]) -> list[str]:
    """The user's own id where a row has one that no other row has, else an id made of the content.

    All rows that share an id lose it, the first one too, so that the ids do not depend on the order of
    the files.

    Args:
        own: the user's ids, ``None`` where there is none.
        keys: gives the content keys of the rows at some positions; called only where needed.
    """
    counts = Counter(own)
    at = [i for i, name in enumerate(own) if not name or counts[name] > 1]
    if not at:
        return [name for name in own if name]
    made = set(at)
    kept = {name for i, name in enumerate(own) if name and i not in made}
    fresh = dict(zip(at, make_unique(keys(at), kept), strict=True))
    return [fresh[i] if i in made else str(name) for i, name in enumerate(own)]
