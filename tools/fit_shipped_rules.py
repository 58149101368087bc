"""Fit the rules that the package ships from the runs that it ships, and write them and their cards beside these.

    python tools/fit_shipped_rules.py [RESULTS]

RESULTS is the folder of a finished run of imine/rules/smollm2_135m/study.toml: its runs and its reference set are
taken over first. What is fitted was settled before any loss of the study was set against an indicator
(docs/findings.md, Plan): ``smollm2-135m`` leaves perplexity out, which costs a forward pass of the base model for
every row; ``smollm2-135m-perplexity`` has it as its logarithm, since means of raw perplexities are those of a few
one-word responses.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import imine
from imine.files import replace_file, sha256_of
from imine.rules import ChoiceRecord, ReferenceFile, Rule
from imine.rules.reference import check_reference

HOME = Path(__file__).resolve().parents[1] / "imine" / "rules" / "smollm2_135m"
CHEAP = ["input_length", "output_length", "mtld", "knn_6"]
TARGET = "loss_selfinstruct_gpt4"
KINDS = (
    "The runs are mixes of pools. Over 162 subsets the shares of the pools predict the loss better than the indicators "
    "do, which beside them add nothing that can be told from chance (p 0.22; 0.08 where noise may differ): the rule "
    "tells kinds of data apart; that it tells rows of one kind apart is not shown. Within the pool dolly the choice of "
    "smollm2-135m-perplexity was better than a random one at two sizes (p 0.02 and 0.06), and not told from that of "
    "the longest responses (docs/findings.md)."
)
RULES = {
    "rule.json": ("smollm2-135m", CHEAP),
    "rule_perplexity.json": ("smollm2-135m-perplexity", [*CHEAP, "log_perplexity"]),
}
TITLE = "SmolLM2-135M-Instruct on six open pools, Self-Instruct, CPU-sized"
ABOUT = (
    "Fitted on 141 finetunes of SmolLM2-135M-Instruct, one epoch on 64 examples each, mixed from alpaca, oasst, "
    "stackexchange, wikihow, p3 and chatterbot: 129 subsets, six of them with two more seeds. The loss is that on 32 "
    "rows of Self-Instruct with GPT-4's answers; dolly, weak_models and MT-bench had no part in it. Small: what two "
    "CPU cores do in some three hours. Terms, target and exclusions were settled before the losses were looked at; "
    "only the logarithm of perplexity was taken after a look at an earlier study of 32 other runs."
)


def fitted(file: str) -> Rule:
    """One of the rules, fitted anew from the shipped runs."""
    name, terms = RULES[file]
    # The seeds of a subset are no new subsets: errors are taken to go together, and subsets are left out whole.
    rule = imine.fit(
        HOME / "runs.parquet",
        terms=terms,
        target=TARGET,
        name=name,
        covariance="cluster",
        groups="subset",
        validate="column:subset",
    )
    source = HOME / "reference.npz"
    reference = ReferenceFile(
        file=source.name, sha256=sha256_of(source), n=check_reference(rule.fingerprints, source)
    )
    changes = {
        "reference": reference,
        "title": TITLE,
        "description": ABOUT,
        "notes": (KINDS, *rule.notes),
        "choice": ChoiceRecord(method="named", saw_losses=False),
    }
    return rule.model_copy(update=changes)


def _write(name: str, text: str) -> None:
    replace_file(HOME / name, lambda beside: beside.write_text(text, encoding="utf-8"))


def main() -> None:
    """Take over the results where they are named, then fit and write both rules and their cards."""
    for name in ("runs.parquet", "reference.npz") if sys.argv[1:] else ():
        shutil.copyfile(Path(sys.argv[1]) / name, HOME / name)
    for file in RULES:
        rule = fitted(file)
        _write(file, rule.to_json() + "\n")
        # Of the rule as it is loaded from here on: a card knows the rules that ship.
        _write(file.replace("rule", "card").replace(".json", ".md"), imine.load_rule(HOME / file).card())
        print(rule.table(), "\n")


if __name__ == "__main__":
    main()
