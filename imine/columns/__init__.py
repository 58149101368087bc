"""One frozen spec for every score column; code, ``imine indicators`` and the docs read it."""

from __future__ import annotations

import difflib

from imine.columns.lexical import LEXICAL, find_lexical_column
from imine.columns.likelihood import LIKELIHOOD
from imine.columns.neighbors import NEIGHBORS, find_neighbor_column
from imine.columns.reward import REWARD
from imine.columns.spec import ColumnSpec
from imine.columns.tokens import TOKENS
from imine.columns.unieval import UNIEVAL
from imine.errors import UnknownIndicatorError

__all__ = ["COLUMNS", "DEFAULT_INDICATORS", "NOT_IN_RUNS", "ColumnSpec", "find_column", "require_column"]

# The columns that are listed; a measure of another side, or another rank of neighbour, is found by its name.
COLUMNS: dict[str, ColumnSpec] = {
    spec.name: spec for spec in (*LEXICAL, *TOKENS, *LIKELIHOOD, *NEIGHBORS, *REWARD, *UNIEVAL)
}

# Names that mean something else in a table of runs, and what: there they are no indicators.
NOT_IN_RUNS = {
    "loss": "the loss of finetuned models in the runs; log_perplexity is that of a response",
    "response_tokens": "the tokens that a run was trained on; output_length is the length of a response",
}

# What is scored where nothing is asked for: the cheap indicators of InstructMining, with the embedded models.
DEFAULT_INDICATORS = (
    "input_words",
    "output_words",
    "mtld",
    "input_length",
    "output_length",
    "perplexity",
    "log_perplexity",
    "knn_6",
)


def find_column(name: str) -> ColumnSpec | None:
    """The spec of a column by its name: listed, made of a pattern, or of a plug-in; ``None`` where there is none.

    Examples:
        >>> find_column("both_mtld").group, find_column("knn_12").group, find_column("charm")
        ('lexical', 'neighbors', None)
    """
    if spec := own_column(name):
        return spec
    from imine.indicators.plugins import load_plugins

    load_plugins()
    return COLUMNS.get(name)


def own_column(name: str) -> ColumnSpec | None:
    """The spec of a column by its name, without looking for plug-ins that are not loaded yet.

    Examples:
        >>> own_column("perplexity").group
        'likelihood'
    """
    return COLUMNS.get(name) or find_lexical_column(name) or find_neighbor_column(name)


def require_column(name: str) -> ColumnSpec:
    """The spec of a column by its name.

    Raises:
        UnknownIndicatorError: there is none; the message names those that are near.

    Examples:
        >>> require_column("mtld").unit
        'words a factor'
    """
    spec = find_column(name)
    if spec is None:
        near = difflib.get_close_matches(name, COLUMNS, n=3)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise UnknownIndicatorError(f"no indicator {name!r}; {hint}imine indicators lists them all")
    return spec
