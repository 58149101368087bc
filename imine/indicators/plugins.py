"""Indicators of one's own: by decorator, or by the entry points of an installed package."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import polars as pl

from imine.columns import COLUMNS, own_column
from imine.columns.spec import ColumnSpec
from imine.errors import PluginError, PluginWarning
from imine.indicators.plugin_source import (
    Function,
    bare_function,
    partial_arguments,
    source_sha256,
    unseen,
)

GROUP = "plugins"
"""Group of all indicators of one's own, and name of the stage that computes them."""

ENTRY_POINTS = "imine.indicators"
"""Group of entry points whose modules are imported when an indicator is not found or all are listed."""

VARIABLE = "IMINE_PLUGINS"
"""Environment variable with further modules or files to import, parted as in PATH."""

_RESERVED = ("id", "source", "instruction", "input", "output", "plugins")

Takes = Literal["records", "instruction", "input", "output"]


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for the value of a row that has none.

    Attributes:
        why: the reason, for people.

    Examples:
        >>> Missing("the response has no numbers").why
        'the response has no numbers'
    """

    why: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """An indicator of one's own.

    Attributes:
        spec: its column.
        function: computes it.
        takes: what the function is given.
        parameters: what else decides the values.
        keep: whether values are kept in the cache.
        sha256: hash of the function's source; ``None`` where there is none to be read.
    """

    spec: ColumnSpec
    function: Function
    takes: Takes = "records"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = False
    sha256: str | None = None


PLUGINS: dict[str, Plugin] = {}
_loaded: set[str] = set()


def indicator(
    *,
    name: str,
    unit: str,
    doc: str = "",
    direction: str = "larger value",
    definition: str = "",
    null_when: str = "the function gives no value",
    reference: str = "",
    low: float | None = None,
    high: float | None = None,
    dtype: Literal["Float64", "Int64"] = "Float64",
    version: int = 1,
    takes: Takes = "records",
    parameters: Mapping[str, Any] | None = None,
    keep: bool = False,
) -> Callable[[Function], Function]:
    """Make a function an indicator: scored, listed and used in rules as those of imine itself.

    The function is given all records, a polars frame with ``id``, ``instruction``, ``input`` and ``output`` (and the
    user's own columns), or one text column of them, a polars series. It returns one value a row, in their order: a
    polars series, a numpy array or a list; ``None``, a NaN or :class:`Missing` with a reason where a row has none.

    Its fingerprint holds ``version``, ``parameters`` and a hash of the function's source without comments and
    docstring; of a ``functools.partial`` that of the function below, and the values filled in. Other functions that it
    calls are not seen: raise ``version`` when they change the values.

    Args:
        name: name of the column: a letter, then letters, digits and single underscores.
        unit, doc, direction, definition, null_when, reference, low, high, dtype: as in
            :class:`imine.columns.ColumnSpec`; what is not given is filled in from the function's docstring.
        version: raised when the numbers change for the same text.
        takes: ``records``, or the column ``instruction``, ``input`` or ``output`` that the function is given.
        parameters: what else decides the values, as JSON: a model's name and hash, a threshold.
        keep: keep values in the cache, by the content of instruction, input and output; only for functions whose
            value of a row depends on these three texts alone. The function is then given new rows only. One whose
            source does not tell it from another (no source to be read, a closure, a method) needs ``parameters``.

    Returns:
        A decorator that gives the function back as it is.

    Raises:
        PluginError: the name cannot be used, or belongs to another indicator; or values are to be kept of a function
            that cannot be told from another.

    Examples:
        >>> @indicator(name="shouts", unit="characters", takes="output")
        ... def shouts(texts):
        ...     "Exclamation marks of the response."
        ...     return texts.str.count_matches("!")
        >>> import imine
        >>> pool = pl.DataFrame({"instruction": ["Greet."], "output": ["Hello!!"]})
        >>> imine.score(pool, ["shouts"]).frame["shouts"].to_list()
        [2.0]
        >>> remove_indicator("shouts")
    """

    def register(function: Function) -> Function:
        where = ".".join(_place(function))
        about = (inspect.getdoc(bare_function(function)) or name).strip().splitlines()[0].rstrip(".")
        spec = ColumnSpec(
            name=name,
            group=GROUP,
            doc=doc or about,
            unit=unit,
            direction=direction,
            definition=definition or f"{(doc or about)}, by {where}.",
            null_when=null_when,
            reference=reference,
            low=low,
            high=high,
            dtype=dtype,
            version=version,
        )
        plugin = Plugin(spec, function, takes, dict(parameters or {}), keep, source_sha256(function))
        _check(plugin)
        PLUGINS[name] = plugin
        COLUMNS[name] = spec
        return function

    return register


def remove_indicator(name: str) -> None:
    """Take an indicator of one's own away again.

    Raises:
        KeyError: there is none of this name.
    """
    del PLUGINS[name]
    del COLUMNS[name]


def _check(plugin: Plugin) -> None:
    name = plugin.spec.name
    if (
        not (name.isascii() and name.isidentifier() and name[0].isalpha())
        or "__" in name
        or name in _RESERVED
    ):
        raise PluginError(
            f"indicator {name!r}: a name has a letter, then letters, digits and single underscores, and is none of "
            f"{', '.join(_RESERVED)}"
        )
    before = PLUGINS.get(name)
    same = before is not None and _place(before.function) == _place(plugin.function)
    if not same and (before is not None or own_column(name) is not None):
        owner = f"the plug-in {'.'.join(_place(before.function))}" if before else "imine itself"
        raise PluginError(f"indicator {name!r}: the name belongs to {owner}; choose another")
    if plugin.takes not in ("records", "instruction", "input", "output"):
        raise PluginError(
            f"indicator {name!r}: takes must be records, instruction, input or output, not {plugin.takes!r}"
        )
    if plugin.keep and not plugin.parameters and (why := unseen(plugin.function)):
        raise PluginError(
            f"indicator {name!r}: keep=True would take values of another function for its own, since {why}; say in "
            "parameters= what decides its values, or leave keep out"
        )


def _place(function: Function) -> tuple[str, str]:
    bare = bare_function(function)
    return str(getattr(bare, "__module__", None)), str(getattr(bare, "__qualname__", type(bare).__name__))


def plugin_fingerprint(plugin: Plugin) -> dict[str, Any]:
    """What makes a column of a plug-in."""
    about: dict[str, Any] = {"name": ".".join(_place(plugin.function)), "sha256": plugin.sha256}
    if arguments := partial_arguments(plugin.function):
        about["arguments"] = arguments
    if plugin.parameters:
        about["parameters"] = dict(plugin.parameters)
    return {"indicator": plugin.spec.name, "version": plugin.spec.version, "plugin": about}


def run_plugin(plugin: Plugin, records: pl.DataFrame) -> pl.DataFrame:
    """Values of a plug-in.

    Args:
        plugin: the indicator.
        records: checked records.

    Returns:
        One row a record: ``value`` and ``why``.

    Raises:
        PluginError: the function failed, or gave something else than a number a row; the message names it.
    """
    name, given = plugin.spec.name, records if plugin.takes == "records" else records[plugin.takes]
    try:
        made = plugin.function(given)
    except Exception as error:
        where = ".".join(_place(plugin.function))
        raise PluginError(f"indicator {name!r} ({where}) failed: {type(error).__name__}: {error}") from error
    values = _values(name, made)
    if len(values) != records.height:
        raise PluginError(f"indicator {name!r} gave {len(values):,} values for {records.height:,} rows")
    pairs = [_pair(name, value, plugin.spec) for value in values]
    dtype = getattr(pl, plugin.spec.dtype)
    return pl.DataFrame(pairs, schema={"value": dtype, "why": pl.String}, orient="row")


def _values(name: str, made: Any) -> Sequence[Any]:
    if isinstance(made, (pl.Series, np.ndarray)):
        return list(made.to_list() if isinstance(made, pl.Series) else made.tolist())
    if isinstance(made, Iterable) and not isinstance(made, (str, bytes, Mapping, pl.DataFrame)):
        return list(made)
    raise PluginError(
        f"indicator {name!r} gave {type(made).__name__}, not a series, an array or a list of numbers"
    )


def _pair(name: str, value: Any, spec: ColumnSpec) -> tuple[Any, str | None]:
    """A value and no reason, or a reason."""
    if value is None:
        return None, "the indicator gave no value"
    if isinstance(value, Missing):
        return None, value.why or "the indicator gave no value"
    if isinstance(value, (str, bytes)) or not isinstance(value, (bool, int, float, np.number)):
        raise PluginError(f"indicator {name!r} gave {value!r}, which is no number")
    if not math.isfinite(value):
        return None, f"the indicator gave {float(value)}"
    if spec.dtype == "Int64" and value != int(value):
        raise PluginError(f"indicator {name!r} gave {value!r}, and its type is Int64")
    if (spec.low is not None and value < spec.low) or (spec.high is not None and value > spec.high):
        raise PluginError(f"indicator {name!r} gave {value!r}, outside its range {spec.range()}")
    return (int(value) if spec.dtype == "Int64" else float(value)), None


def load_plugins() -> None:
    """Import the plug-ins of installed packages and of ``IMINE_PLUGINS``, each once.

    One that fails is told in a :class:`imine.errors.PluginWarning` and left out.
    """
    for point in _entry_points():
        _load_once(f"{point.name} = {point.value}", point.load)
    for place in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        _load_once(place, lambda place=place: _import(place))  # type: ignore[misc]


@cache
def _entry_points() -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINTS))


def _load_once(name: str, load: Callable[[], object]) -> None:
    if name in _loaded:
        return
    _loaded.add(name)
    try:
        load()
    except Exception as error:
        warnings.warn(
            f"the plug-in {name} could not be loaded: {type(error).__name__}: {error}",
            PluginWarning,
            stacklevel=4,
        )


def _import(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    name = Path(place).stem
    found = importlib.util.spec_from_file_location(name, place)
    if found is None or found.loader is None:
        raise ImportError(f"{place} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module
