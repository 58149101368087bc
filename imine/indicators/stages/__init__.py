"""The stages of scoring, one a group of indicators: how each is computed, and its fingerprint beforehand."""

from __future__ import annotations

from imine.indicators.stages import lexical, likelihood, neighbors, tokens
from imine.indicators.stages.stage import Column, Stage

__all__ = ["STAGES", "Column", "Stage"]

STAGES: dict[str, Stage] = {
    stage.name: stage for stage in (lexical.STAGE, tokens.STAGE, likelihood.STAGE, neighbors.STAGE)
}
