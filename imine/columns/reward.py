"""Columns of the stage ``reward``."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

REWARD = (
    ColumnSpec(
        name="reward",
        group="reward",
        doc="how a model of human preferences rates the response",
        unit="the model's own scale",
        direction="response that the model prefers",
        definition="The one output of a reward model that reads prompt (instruction and input) and response in its own "
        "layout: the turns of Open Assistant, the tokenizer's chat template, or a pair of texts. What is longer than "
        "the model reads is cut: the response keeps its beginning, the prompt its end.",
        null_when="the response is empty",
        reference="InstructMining, arXiv 2307.06290, table 1; OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5",
        low=None,
    ),
)
