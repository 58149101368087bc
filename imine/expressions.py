"""Lexical measures as polars expressions: ``pl.col("output").imine.mtld(threshold=0.72)``.

They work in eager and lazy frames and in the streaming engine. ``import imine`` registers them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import polars as pl

from imine.columns.lexical import MEASURES
from imine.columns.parameters import PARAMETERS_OF, LexicalParameters

_DEFAULTS = {field.name: field.default for field in fields(LexicalParameters)}


@pl.api.register_expr_namespace("imine")
class ImineExpressions:
    """The lexical measures of a text column, one method a measure; ``imine indicators lexical`` lists them.

    A method takes the parameters that matter to its measure, by name. The value is null where the measure has none
    (too few words), and for a null text; :func:`imine.indicators.lexical.measure_text` also gives the reasons.

    Args:
        expression: a String expression.

    Examples:
        >>> import imine, polars as pl
        >>> frame = pl.LazyFrame({"output": ["So it goes, and so it goes.", None]})
        >>> frame.select(pl.col("output").imine.ttr()).collect().to_series().round(3).to_list()
        [0.571, None]
    """

    def __init__(self, expression: pl.Expr) -> None:
        self._expression = expression

    def copied_share(self, prompt: pl.Expr | str) -> pl.Expr:
        """Share of the words of the text that occur in another one; null where either is.

        Args:
            prompt: the other text: a String expression, or the name of a column.

        Examples:
            >>> import imine, polars as pl
            >>> frame = pl.DataFrame({"input": ["a rose"], "output": ["A rose is red"]})
            >>> frame.select(pl.col("output").imine.copied_share("input")).item()
            0.5
        """
        other = pl.col(prompt) if isinstance(prompt, str) else prompt
        if self._expression.meta.has_multiple_outputs() or other.meta.has_multiple_outputs():
            # polars makes one call a column of this.
            return pl.map_batches(
                [self._expression, other], _copied_of_list, return_dtype=pl.Float64, **_ELEMENTWISE
            )
        # A struct, since not every polars streams functions of two columns.
        both = pl.struct(self._expression.alias("text"), other.alias("prompt"))
        name = self._expression.meta.output_name(raise_if_undetermined=False)
        share = both.map_batches(_copied_of_struct, return_dtype=pl.Float64, is_elementwise=True)
        return share if name is None else share.alias(name)


# polars 1.30 takes it for granted and has no such argument.
_ELEMENTWISE: dict[str, Any] = (
    {"is_elementwise": True} if "is_elementwise" in inspect.signature(pl.map_batches).parameters else {}
)


def _copied_of_struct(both: pl.Series) -> pl.Series:
    return _copied(both.struct.field("text"), both.struct.field("prompt")).alias(both.name)


def _copied_of_list(both: Sequence[pl.Series]) -> pl.Series:
    text, prompt = both
    # A literal comes as one row, however many the other has.
    return _copied(text, prompt.new_from_index(0, len(text)) if len(prompt) == 1 else prompt)


def _copied(text: pl.Series, prompt: pl.Series) -> pl.Series:
    from imine.indicators.lexical import measure_text

    return measure_text(text, ["copied_share"], prompt=prompt)["copied_share"].alias(text.name)


def _method(name: str) -> Callable[..., pl.Expr]:
    def method(self: ImineExpressions, **parameters: Any) -> pl.Expr:
        allowed = PARAMETERS_OF.get(name, ())
        if unknown := sorted(set(parameters) - set(allowed)):
            takes = f"takes {', '.join(allowed)}" if allowed else "takes no parameters"
            raise TypeError(f"{name}() {takes}, not {', '.join(unknown)}")
        chosen = LexicalParameters(**parameters)

        def measure(column: pl.Series) -> pl.Series:
            from imine.indicators.lexical import measure_text

            return measure_text(column, [name], chosen)[name].alias(column.name)

        dtype = getattr(pl, MEASURES[name].dtype)
        return self._expression.map_batches(measure, return_dtype=dtype, is_elementwise=True)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{MEASURES[name].doc.replace('the text', 'each text').capitalize()}."
    method.__signature__ = _signature(PARAMETERS_OF.get(name, ()))  # type: ignore[attr-defined]
    return method


def _signature(parameters: tuple[str, ...]) -> inspect.Signature:
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    return inspect.Signature(
        own
        + [
            inspect.Parameter(p, kind, default=_DEFAULTS[p], annotation=type(_DEFAULTS[p]))
            for p in parameters
        ]
    )


for _name in MEASURES:
    if _name != "copied_share":
        setattr(ImineExpressions, _name, _method(_name))
