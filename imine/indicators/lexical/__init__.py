"""Lexical indicators: measures of the words and characters of prompt and response."""

from __future__ import annotations

from imine.columns.parameters import LexicalParameters
from imine.indicators.lexical.scoring import lexical_fingerprint, measure_text, score_lexical

__all__ = ["LexicalParameters", "lexical_fingerprint", "measure_text", "score_lexical"]
