"""The design of a study: from its file and its candidates to the rows of every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from imine.errors import StudyError
from imine.study.config import StudyConfig
from imine.study.design import Subset, draw_subset
from imine.study.designs.candidates import Candidates, Rows
from imine.study.designs.criterion import log_determinant
from imine.study.designs.levels import draw_level
from imine.study.designs.mixed import given_mix, token_mix
from imine.study.designs.optimal import draw_optimal
from imine.study.designs.repeats import with_repeats
from imine.study.designs.steering import Steering
from imine.study.designs.univariate import draw_banded


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The subsets of a study.

    Attributes:
        subsets: in the order of their runs, the repeats last.
        notes: what a reader should know of them.
        balance: how far the means of a univariate design are from the overall ones; ``None`` for others.
    """

    subsets: tuple[Subset, ...]
    notes: tuple[str, ...] = ()
    balance: pl.DataFrame | None = None


def draw_design(
    config: StudyConfig,
    pools: Mapping[str, Sequence[str]],
    *,
    lengths: Sequence[int] | None = None,
    scores: pl.DataFrame | None = None,
    before: Mapping[int, Sequence[str]] | None = None,
) -> Design:
    """Draw all runs of a study; more subsets or repeats leave those that were there as they are.

    Args:
        config: the study file.
        pools: ids of the candidates of each pool.
        lengths: response tokens, as they are trained on, of all candidates, pool after pool; needed where
            ``config.design.needs_lengths``.
        scores: ``id`` and the indicators of all candidates; needed where ``config.design.needs_scores``.
        before: rows of runs that were drawn already, taken as they are where the rows depend on scores, since
            scores may come out with other last digits.

    Raises:
        StudyConfigError: the candidates cannot give what the design asks for; the message names the key.
        StudyError: lengths or scores are needed and not given, or a row of ``before`` is no candidate.

    Examples:
        >>> from imine.study.config import check_config
        >>> files = {"pools": [{"name": "p", "path": "p"}], "evaluation": [{"name": "e", "path": "e"}]}
        >>> design = {"subsets": 3, "examples": 2, "repeats": {"runs": 1}}
        >>> config = check_config({"name": "a", "out": "o", "design": design} | files)
        >>> [subset.run for subset in draw_design(config, {"p": ["a", "b", "c"]}).subsets]
        [0, 1, 2, 1000000]
    """
    design = config.design
    for what, needed, given in (
        ("scores", design.needs_scores, scores),
        ("lengths", design.needs_lengths, lengths),
    ):
        if needed and given is None:
            raise StudyError(f"the design of kind {design.kind} needs the {what} of all candidates")
    candidates = Candidates.from_pools(pools, lengths)
    if scores is None or not design.needs_scores:
        drawn = Design(tuple(_mixed(config, pools, candidates, run) for run in range(design.subsets)))
    elif design.kind == "univariate":
        drawn = _univariate(config, candidates, scores, _rows(candidates, before or {}))
    else:
        drawn = _optimal(config, candidates, scores, _rows(candidates, before or {}))
    if design.repeats is None:
        return drawn
    repeats = design.repeats
    subsets = with_repeats(drawn.subsets, repeats.runs, repeats.seeds, config.seed)
    return Design(tuple(subsets), drawn.notes, drawn.balance)


def _mixed(
    config: StudyConfig, pools: Mapping[str, Sequence[str]], candidates: Candidates, run: int
) -> Subset:
    design, seed = config.design, config.seed
    alphas = {pool.name: pool.alpha or design.alpha for pool in config.pools}
    if design.weights is not None:
        mix = design.weights[run % len(design.weights)]
        size = {"examples": design.examples, "response_tokens": design.response_tokens}
        return given_mix(candidates, mix, seed, run, **size)
    if design.response_tokens is not None:
        return token_mix(candidates, alphas, design.response_tokens, seed, run)
    assert design.examples is not None
    if levels := design.levels:
        return draw_level(
            candidates, alphas, levels.lower, levels.count, levels.most, design.examples, seed, run
        )
    return draw_subset(pools, alphas, design.examples, seed, run)


def _rows(candidates: Candidates, before: Mapping[int, Sequence[str]]) -> dict[int, Rows]:
    number = {id: row for row, id in enumerate(candidates.ids)}
    if unknown := next((id for ids in before.values() for id in ids if id not in number), None):
        raise StudyError(
            f"the rows that were drawn for this study before hold {unknown}, which is no candidate now: put back "
            "the design.parquet of the study, or start anew in another folder with out or --out"
        )
    return {run: np.array([number[id] for id in ids], dtype=np.int64) for run, ids in before.items()}


def _univariate(
    config: StudyConfig, candidates: Candidates, scores: pl.DataFrame, before: Mapping[int, Rows]
) -> Design:
    design = config.design
    assert design.examples is not None
    steering = Steering.from_scores(scores, candidates.ids, config.indicators.names)
    drawn = [
        draw_banded(
            candidates,
            steering,
            config.design_indicators,
            design.bands,
            design.examples,
            config.seed,
            run,
            before=before.get(run),
        )
        for run in range(design.subsets)
    ]
    balance = pl.concat([own.balance for own in drawn])
    others = balance.filter(~pl.col("banded"))
    notes = []
    if others.height:
        left, had = (others[column].abs().to_numpy() for column in ("difference", "before"))
        worst = others[int(left.argmax())].row(0, named=True)
        notes.append(
            f"univariate design: the other means are {left.mean():.3f} standard deviations from the overall ones on "
            f"average ({had.mean():.3f} before exchanges); furthest {worst['indicator']} in run {worst['run']}, "
            f"{worst['difference']:+.2f}"
        )
    return Design(tuple(own.subset for own in drawn), tuple(notes), balance)


def _optimal(
    config: StudyConfig, candidates: Candidates, scores: pl.DataFrame, before: Mapping[int, Rows]
) -> Design:
    design, seed = config.design, config.seed
    steering = Steering.from_scores(scores, candidates.ids, config.design_indicators)
    known = [before[run] for run in range(design.subsets) if run in before]
    if any(run not in before for run in range(len(known))):
        raise StudyError(
            "the rows that were drawn for this study before have a gap: put back its design.parquet"
        )
    drawn = draw_optimal(
        candidates,
        steering,
        seed,
        design.subsets,
        examples=design.examples,
        response_tokens=design.response_tokens,
        breadth=design.breadth,
        before=tuple(known),
    )
    subsets = tuple(candidates.subset(rows, seed, run) for run, rows in enumerate(drawn.rows))
    note = "optimal design: "
    if design.subsets > len(steering.names) + 1:
        sharper = np.exp(log_determinant(drawn.means) - log_determinant(_plain(config, candidates, steering)))
        note += (
            f"one run tells as much of the coefficients as {sharper:.1f} runs of plain random draws do, by the "
            "determinant of their means"
        )
    else:
        note += f"fewer subsets than the {len(steering.names) + 2} that the coefficients need"
    return Design(subsets, (note,))


def _plain(config: StudyConfig, candidates: Candidates, steering: Steering) -> np.ndarray:
    """Means of as many subsets that are drawn from all candidates alike."""
    n = len(candidates.ids)
    size = config.design.examples
    if size is None:
        assert candidates.lengths is not None
        assert config.design.response_tokens is not None
        size = max(1, round(config.design.response_tokens / float(candidates.lengths.mean())))
    rng = np.random.default_rng(config.seed)
    rows = [rng.choice(n, min(n, size), replace=False) for _ in range(max(200, config.design.subsets))]
    return np.array([steering.means(own) for own in rows])
