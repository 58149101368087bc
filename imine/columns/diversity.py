"""Measures of vocabulary, defined of "the text"."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

DIVERSITY = (
    ColumnSpec(
        name="words",
        group="lexical",
        doc="words of the text",
        unit="words",
        direction="longer text",
        definition="Words as imine splits them (docs/lexical.md): runs of letters, marks and numbers with inner "
        "apostrophes and hyphens; Han, kana and Thai characters one by one.",
        null_when="the text is null",
        dtype="Int64",
    ),
    ColumnSpec(
        name="mtld",
        group="lexical",
        doc="measure of textual lexical diversity of the text",
        unit="words a factor",
        direction="more varied vocabulary",
        definition="Mean length of the runs of words that keep the type-token ratio above 0.72, mean of the forward "
        "and the backward pass, the last run counted in part, a text in which no word recurs counted as one run; "
        "equal to lexicalrichness 0.5.1 on the same words.",
        null_when="the text has fewer words than the minimum (10), or is null",
        reference="McCarthy and Jarvis (2010), Behavior Research Methods 42, 381-392",
    ),
)
