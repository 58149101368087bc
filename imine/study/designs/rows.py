"""What a design may ask of the candidates, and what a study needs of the rows that were drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from imine.indicators.templates import TEMPLATES, EncodedExample, encode_examples
from imine.study.config import Study
from imine.study.designs.draw import Design, draw_design
from imine.study.pools import StudyData
from imine.study.recipe import FinetuneConfig
from imine.study.scoring import Scorer, ScoresLike


def encode_rows(lm: Any, rows: pl.DataFrame, settings: FinetuneConfig) -> list[EncodedExample]:
    """Tokenise records as they are trained on and evaluated.

    Args:
        lm: base model with its ``tokenizer``.
        rows: records frame.
        settings: for template and length.
    """
    texts: Sequence[list[str]] = [rows[column].to_list() for column in ("instruction", "input", "output")]
    return encode_examples(
        lm.tokenizer, TEMPLATES[settings.template], *texts, max_tokens=settings.max_tokens, add_eos=True
    )


class StudyRows:
    """Candidates with their tokens and scores, of all of them only where the design needs it.

    Attributes:
        study, data: the study and its data.
        lm: base model with its ``tokenizer``.
        make_scorer: gives what computes the scores; called once they are needed, since it may load a model.
    """

    def __init__(self, study: Study, data: StudyData, lm: Any, make_scorer: Callable[[], Scorer]) -> None:
        self._study, self._data, self._lm, self._make_scorer = study, data, lm, make_scorer
        self._encoded: dict[str, EncodedExample] | None = None
        self._scores: ScoresLike | None = None

    def draw(self, before: Mapping[int, Sequence[str]]) -> Design:
        """Draw the design; ``before`` as in :func:`~imine.study.designs.draw.draw_design`."""
        design, candidates = self._study.config.design, self._data.candidates
        lengths = None
        if design.needs_lengths:
            self._encoded = self.encoded(candidates)
            lengths = [len(example.response) for example in self._encoded.values()]
        if design.needs_scores:
            self._scores = self._make_scorer()(candidates.drop("pool"))
        pools = {name: frame["id"].to_list() for name, frame in self._data.pools.items()}
        scores = None if self._scores is None else self._scores.frame
        return draw_design(self._study.config, pools, lengths=lengths, scores=scores, before=before)

    def encoded(self, rows: pl.DataFrame) -> dict[str, EncodedExample]:
        """Tokens of these candidates by id."""
        if self._encoded is not None:
            return {id: self._encoded[id] for id in rows["id"]}
        examples = encode_rows(self._lm, rows, self._study.config.finetune)
        return dict(zip(rows["id"], examples, strict=True))

    def scores(self, rows: pl.DataFrame) -> ScoresLike:
        """Scores of these candidates, or of all where the design was drawn by them."""
        return self._make_scorer()(rows.drop("pool")) if self._scores is None else self._scores
