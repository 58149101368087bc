"""The stages of scoring, one a group of indicators: how each is computed, and its fingerprint beforehand."""

from __future__ import annotations

from imine.indicators.stages import lexical, likelihood, neighbors, plugins, reward, tokens, unieval
from imine.indicators.stages.stage import Column, Stage

__all__ = ["STAGES", "Column", "Stage"]

STAGES: dict[str, Stage] = {
    module.STAGE.name: module.STAGE
    for module in (lexical, tokens, likelihood, neighbors, reward, unieval, plugins)
}
