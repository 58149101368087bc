"""Fit the rules that the package ships from the runs that it ships, and write them beside these.

    python tools/fit_shipped_rules.py [RESULTS]

RESULTS is the folder of a finished run of imine/rules/smollm2_135m/study.toml: its runs and its reference set are
taken over first. ``smollm2-135m`` leaves perplexity out, which costs a forward pass of the base model for every row;
``smollm2-135m-perplexity`` has it as its logarithm, since means of raw perplexities are those of a few one-word
responses. The first was settled by cost before any fit; the logarithm after a look at the first 15 runs, where raw
perplexity had a mean of up to 1.7 million and ruined the fit, which the rule says.
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
LOGARITHM = (
    " The logarithm of perplexity was taken after a look at a fit of the first 15 runs with raw perplexity, which "
    "predicted nothing: its p-value and held-out error are somewhat too good."
)
RULES = {
    "rule.json": ("smollm2-135m", CHEAP),
    "rule_perplexity.json": ("smollm2-135m-perplexity", [*CHEAP, "log_perplexity"]),
}
TITLE = "SmolLM2-135M-Instruct on seven open pools, Self-Instruct and MT-bench, CPU-sized"
ABOUT = (
    "Fitted on 32 finetunes of SmolLM2-135M-Instruct, one epoch on 32 examples each, mixed from alpaca, dolly, "
    "oasst, stackexchange, wikihow, weak_models and p3; evaluated on 24 rows each of Self-Instruct (GPT-4 answers) "
    "and MT-bench. Small: what two CPU cores do in about half an hour."
)


def fitted(file: str) -> Rule:
    """One of the rules, fitted anew from the shipped runs."""
    name, terms = RULES[file]
    rule = imine.fit(HOME / "runs.parquet", terms=terms, name=name)
    source = HOME / "reference.npz"
    reference = ReferenceFile(
        file=source.name, sha256=sha256_of(source), n=check_reference(rule.fingerprints, source)
    )
    looked = "log_perplexity" in terms
    changes = {
        "reference": reference,
        "title": TITLE,
        "description": ABOUT + (LOGARITHM if looked else ""),
        "choice": ChoiceRecord(method="named", saw_losses=looked),
    }
    return rule.model_copy(update=changes)


def main() -> None:
    """Take over the results where they are named, then fit and write both rules."""
    for name in ("runs.parquet", "reference.npz") if sys.argv[1:] else ():
        shutil.copyfile(Path(sys.argv[1]) / name, HOME / name)
    for file in RULES:
        rule = fitted(file)
        text = rule.to_json() + "\n"
        replace_file(HOME / file, lambda beside, text=text: beside.write_text(text, encoding="utf-8"))
        print(rule.table(), "\n")


if __name__ == "__main__":
    main()
