"""``imine search`` with a tiny model: from files to the curve, resumed; what files and options must say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from imine._cli import app
from imine.errors import (
    FingerprintMismatchError,
    FingerprintMismatchWarning,
    SearchError,
    StudyConfigError,
)
from imine.records import read
from imine.rules import Estimate, Rule, Term, load_rule
from imine.rules.parts import Provenance
from imine.search import load_search, make_plan, run_search
from imine.study.ledger import read_ledger

WORDS = ["fox", "dog", "task", "request", "response", "number", "letter", "quick", "lazy", "brown", "context"]

SEARCH = """
name = "tiny"
seed = 3
rule = "rule.json"
[[pools]]
name = "pool"
path = "pool.jsonl"
[[evaluation]]
name = "one"
path = "one.jsonl"
[[evaluation]]
name = "two"
path = "two.jsonl"
[search]
strategy = "grid"
sizes = [8, 16, 24]
seeds = 2
repeats = 200
[finetune]
model = "MODEL"
max_tokens = 64
learning_rate = 3e-3
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_llama: Path) -> Path:
    for seed, (name, count) in enumerate([("pool", 30), ("one", 6), ("two", 4)]):
        rng = np.random.default_rng(seed)
        rows = [
            {"instruction": f"{name} {i}", "output": " ".join(rng.choice(WORDS, rng.integers(3, 12)))}
            for i in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rule = Rule(
        name="longer",
        intercept=Estimate(coefficient=1.0),
        terms=(Term(name="output_words", coefficient=-0.01),),
    )
    rule.write(tmp_path / "rule.json")
    (tmp_path / "search.toml").write_text(SEARCH.replace("MODEL", str(tiny_llama)))
    return tmp_path


def imine(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_files_to_the_curve_and_on(folder: Path) -> None:
    pytest.importorskip("deepspeed")
    out = folder / "sizes"
    imine("search", "--config", folder / "search.toml", "-o", out, "--seeds", "1")
    said = imine("search", "--config", folder / "search.toml", "-o", out)
    assert "chosen: " in said
    assert "on two (not searched): loss " in said
    runs = read_ledger(out / "ledger.jsonl").runs
    assert len(runs) == 3 * 2 * 2
    trials = pl.read_parquet(out / "trials.parquet")
    # What was counted before is what was trained on.
    facts = json.loads((out / "search.json").read_text())
    assert facts["cost"] == trials["tokens"].sum()
    # The best rows by this rule are the longest.
    first = trials.filter(size=8).group_by("arm").agg(pl.col("response_tokens").mean()).sort("arm")
    mined, random = first["response_tokens"]
    assert mined > random
    baseline = facts["baseline_searched"]
    assert all(point["searched"]["mined"]["value"] < baseline for point in facts["points"])
    before = (out / "search.json").read_bytes()
    imine("search", "--config", folder / "search.toml", "-o", out)
    assert (out / "search.json").read_bytes() == before


def test_options_in_place_of_a_file(folder: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("deepspeed")
    study = f"""
name = "recipe"
[[pools]]
name = "pool"
path = "pool.jsonl"
[[evaluation]]
name = "one"
path = "one.jsonl"
rows = 3
[design]
subsets = 2
examples = 8
[finetune]
model = "{tiny_llama}"
max_tokens = 64
"""
    (folder / "study.toml").write_text(study)
    monkeypatch.chdir(folder)
    said = imine(
        "search", "pool.jsonl", "--study", "study.toml", "--rule", "rule.json", "--strategy", "grid",
        "--min", "8", "--max", "16", "--trials", "2", "--seeds", "1",
    )  # fmt: skip
    assert "no other set was named to report on" in said
    facts = json.loads((folder / "search-out" / "search.json").read_text())
    assert [point["size"] for point in facts["points"]] == [8, 16]
    assert facts["search_on"] == ["one"]


def test_a_wrong_key_or_set_is_named(folder: Path) -> None:
    file = folder / "search.toml"
    whole = file.read_text()
    file.write_text(whole.replace("sizes =", "size ="))
    with pytest.raises(StudyConfigError, match=r"search.size: unknown key; allowed: strategy, min, max"):
        load_search(file)
    file.write_text(whole.replace('"grid"', '"random"'))
    with pytest.raises(StudyConfigError, match=r"search.strategy: .*'blendsearch', 'optuna' or 'grid'"):
        load_search(file)
    file.write_text(whole)
    with pytest.raises(SearchError, match="search_on: no evaluation set three; there are: one, two"):
        load_search(file, search_on=["three"])
    with pytest.raises(SearchError, match="report_on: one is searched on"):
        load_search(file, search_on=["one"], report_on=["one"])
    plan = load_search(file, search_on=["two"], trials=5)
    assert (plan.search_on, plan.report_on, plan.settings.trials) == (("two",), ("one",), 5)
    with pytest.raises(StudyConfigError, match="name at least one evaluation set, or a study"):
        make_plan({"out": "o", "pools": [{"name": "p", "path": "p"}]}, Path("options"))
    twice = [{"name": "p", "path": "p"}] * 2
    with pytest.raises(StudyConfigError, match="pools: the name p stands twice"):
        make_plan({"out": "o", "pools": twice, "evaluation": twice[:1]}, Path("options"))
    with pytest.raises(StudyConfigError, match=r"there is no search file .*none.toml"):
        load_search(folder / "none.toml")


def smallest_search(folder: Path) -> tuple[str | Path, ...]:
    """Arguments of a search of one size and one seed."""
    return (
        "search",
        "--config",
        folder / "search.toml",
        "-o",
        folder / "out",
        "--seeds",
        "1",
        "--trials",
        "1",
    )


def test_what_the_rule_was_fitted_on_is_said(folder: Path) -> None:
    pytest.importorskip("deepspeed")
    made = {
        f"{part}.{name}": hashlib.sha256((folder / f"{name}.jsonl").read_bytes()).hexdigest()[:16]
        for part, name in (("pools", "pool"), ("evaluation", "two"))
    }
    fitted = Rule(
        name="longer",
        intercept=Estimate(coefficient=1.0),
        terms=(Term(name="output_words", coefficient=-0.01),),
        target="loss_two",
        provenance=Provenance(data=made),
    )
    fitted.write(folder / "rule.json")
    said = imine(*smallest_search(folder))
    assert "NOT HELD OUT: rule longer was fitted on runs drawn from pool." in said
    assert "Rule longer was fitted to the loss on two: for information only." in said
    notes = json.loads((folder / "out" / "search.json").read_text())["notes"]
    assert sum("longer was fitted" in note for note in notes) == 2


def test_a_single_evaluation_example_is_refused_before_any_run(folder: Path) -> None:
    pytest.importorskip("deepspeed")
    file = folder / "search.toml"
    file.write_text(file.read_text().replace('path = "two.jsonl"', 'path = "two.jsonl"\nrows = 1'))
    with pytest.raises(SearchError, match="evaluation set two has a single row"):
        run_search(load_search(file))


def test_a_deepspeed_json_is_read_beside_the_file(folder: Path) -> None:
    file = folder / "search.toml"
    (folder / "own.json").write_text('{"gradient_clipping": 1.0}')
    file.write_text(file.read_text() + 'deepspeed = "own.json"\n')
    assert load_search(file).study.config.finetune.deepspeed == {"gradient_clipping": 1.0}


def test_scores_made_otherwise_are_allowed_by_the_option_that_the_error_names(folder: Path) -> None:
    pytest.importorskip("deepspeed")
    pool = read(folder / "pool.jsonl")
    words = pool["output"].str.split(" ").list.len()
    pool.select("id", output_words=words).write_parquet(folder / "scores.parquet")
    rule = load_rule(folder / "rule.json")
    rule.model_copy(update={"fingerprints": {"output_words": {"unit": "syllables"}}}).write(
        folder / "rule.json"
    )
    file = folder / "search.toml"
    file.write_text(file.read_text().replace("[[pools]]", 'scores = "scores.parquet"\n[[pools]]'))
    asked = smallest_search(folder)
    with pytest.raises(FingerprintMismatchError, match="--allow-mismatch"):
        imine(*asked)
    with pytest.warns(FingerprintMismatchWarning, match="no fingerprint"):
        assert "chosen: " in imine(*asked, "--allow-mismatch")
    notes = json.loads((folder / "out" / "search.json").read_text())["notes"]
    assert sum(note.startswith("Mismatch allowed: ") for note in notes) == 1


def test_the_ready_search_is_a_valid_file() -> None:
    plan = load_search(Path(__file__).resolve().parents[1] / "comparisons" / "search_dolly.toml")
    assert plan.report_on
    assert plan.settings.seeds >= 3
