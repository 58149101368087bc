"""The card of a rule says what the rule's document holds, and what it does not hold."""

from __future__ import annotations

import json
import re

import pytest

import imine
from imine.rules import Rule, list_rules
from tests.test_rules_rule import FULL, spoil

SECTIONS = [
    "Coefficients",
    "How the terms were chosen",
    "How well it predicts",
    "Where it holds",
    "How the indicators were made",
    "Where it comes from",
    "How to use it",
]


def load(text: str) -> Rule:
    return Rule.model_validate_json(text)


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+\.\d+", text))


def test_a_rule_that_knows_little_says_so():
    card = load(spoil()).card()
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == SECTIONS
    assert "log(loss) = 1 + 2 mtld" in card
    assert "| mtld | 2 | – | – | – | – |" in card
    assert "How the terms were chosen is not recorded." in card
    assert "Terms tried: not recorded." in card
    assert "This rule holds no held-out error" in card
    assert "The fitted ranges are not recorded." in card
    assert "Examples in the sets that were fitted: not recorded." in card
    assert "How these were made is not recorded" in card
    for what in ("made", "source", "study", "runs", "runs, SHA-256 of their content"):
        assert f"| {what} | not recorded |" in card
    assert numbers(card) <= {"2307.06290"}, "no number but that of the publication"


def test_a_full_rule_says_all_of_it():
    card = load(spoil(**FULL, notes=["one\nnote | with a bar"])).card()
    for said in (
        "Terms tried: `mtld`, `knn_6`.",
        "Chosen by a search: both, by bic.",
        "Settings: most_terms 3; level 0.05.",
        "| 3 | remove | knn_6 | -22.5 |",
        "It stopped there: no step lowers the criterion",
        "repeated 200 times on resampled runs (cases, seed 7; 0 gave no model)",
        "| mtld | 87.5% | 96.0% |",
        "| knn_6 | 0.0% | – |",
        "Intervals by another method: conditional on the choice. Right after forward selection.",
        "| mtld | – | 0.2500 | [unbounded, 3.5] |",
        "An end of mtld is not bounded: no end",
        "10-fold, 20 times, 9 runs: R2 -0.500, root mean squared error of the log loss 0.1, bias -0.25; the terms",
        "Leave one pool out, 9 runs: 90.0% of the runs inside their 95% prediction intervals.",
        "| recipe, SHA-256 | 0123456789abcdef |",
        "- one note | with a bar",
    ):
        assert said in card, said


@pytest.mark.parametrize("name", [entry.name for entry in list_rules()])
def test_cards_of_the_shipped_rules(name):
    rule = imine.load_rule(name)
    card = rule.card()
    assert card == imine.load_rule(name).card()
    assert rule.formula in card
    assert rule.sha256 in card
    assert f"loaded by its name, `{name}`" in card
    for term in rule.terms:
        assert f"| {term.name} | {term.coefficient:.5g} |" in card
        assert term.name in rule.fingerprints or f"`{term.name}`" in card.split("scores cannot be checked")[1]
    for digest in rule.provenance.data.values():
        assert digest in card
    for table in re.findall(r"(?:^\|.*\n)+", card, flags=re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1, table


def test_text_of_others_stays_in_its_cell():
    rule = load(
        spoil(
            fingerprints={"mtld": {"text": "a | b\n| c |", "nested": {"key": [1, 2]}}},
            provenance={"source": "x | y"},
        )
    )
    card = rule.card()
    assert r"| mtld | text a \| b \| c \|; nested.key [1, 2] |" in card
    assert r"| source | x \| y |" in card


def test_a_fitted_rule_names_its_file(tmp_path):
    rule = imine.load_rule("smollm2-135m")
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(json.loads(rule.to_json()) | {"reference": None}))
    assert "The rule is the file `mine.json`." in imine.load_rule(path).card()
    assert "imine check mine.json runs.parquet" in imine.load_rule(path).card()
