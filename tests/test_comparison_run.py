"""A whole comparison of tiny runs: what it finds, how it resumes, what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.__main__ import main
from imine.errors import SelectionError, StudyChangedError, StudyConfigError, StudyError
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.rules import Estimate, Rule, Term
from imine.selection.comparison import ComparisonResult, load_comparison, plan_comparison
from imine.study.ledger import Ledger, read_ledger
from imine.study.sweep import Job

pytest.importorskip("deepspeed")

WORDS = ["fox", "dog", "task", "request", "response", "number", "letter", "quick", "lazy", "brown", "context"]
GARBAGE = list("qxzjkvw0123456789#@&%")
FILES = ("results.parquet", "comparison.json", "comparison.md", "choices.parquet")

COMPARISON = """
name = "tiny"
seed = 3
out = "out"
rule = "rule.json"
selectors = ["rule", "random", "output_words:high"]
seeds = 4
repeats = 4000
[[pools]]
name = "mixed"
path = "mixed.jsonl"
[[evaluation]]
name = "test"
path = "test.jsonl"
[budget]
sizes = [16]
[finetune]
max_tokens = 64
batch_size = 4
epochs = 2
learning_rate = 3e-3
threads = 1
"""


def rows(count: int, vocabulary: Sequence[str], join: str, seed: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"{seed}-{i}",
            "instruction": f"{seed}: {' '.join(rng.choice(WORDS, 4))}",
            "output": join.join(rng.choice(vocabulary, rng.integers(6, 12))),
        }
        for i in range(count)
    ]


def write_rows(path: Path, found: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")


def make_folder(folder: Path) -> Path:
    """A pool of which half is garbage, and a rule that knows which half."""
    folder.mkdir(exist_ok=True)
    write_rows(folder / "mixed.jsonl", rows(60, WORDS, " ", 1) + rows(60, GARBAGE, "", 2))
    write_rows(folder / "test.jsonl", rows(24, WORDS, " ", 3))
    term = Term(name="mtld", coefficient=-0.1)
    Rule(name="planted", intercept=Estimate(coefficient=1.0), terms=(term,)).write(folder / "rule.json")
    (folder / "tiny.toml").write_text(COMPARISON, encoding="utf-8")
    return folder / "tiny.toml"


def planted(frame: pl.DataFrame, names: Sequence[str], settings: Any) -> Any:
    """Scores of which ``mtld`` knows the garbage, and ``output_words`` is noise that knows nothing."""
    noise = np.random.default_rng(0).random((2, frame.height))
    good = frame["output"].str.contains(" ").cast(pl.Float64).to_numpy()
    columns = {"mtld": good + noise[0], "output_words": noise[1]}
    return SimpleNamespace(
        frame=frame.select("id").with_columns(**{n: columns[n] for n in names}), fingerprints={}
    )


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> LoadedModel:
    return load_causal_lm(str(tiny_llama))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, lm: LoadedModel) -> tuple[Path, ComparisonResult]:
    file = make_folder(tmp_path_factory.mktemp("compared") / "whole")
    return file, imine.compare(file, lm=lm, scorer=planted)


@pytest.fixture
def copied(tmp_path: Path, undisturbed: tuple[Path, ComparisonResult]) -> Path:
    """A copy of the finished comparison that a test may spoil."""
    shutil.copytree(undisturbed[0].parent, tmp_path / "copy")
    return tmp_path / "copy" / "tiny.toml"


def go(file: Path, lm: LoadedModel, **more: Any) -> ComparisonResult:
    return imine.compare(file, lm=lm, scorer=planted, **more)


def by_selector(result: ComparisonResult) -> dict[str, Any]:
    return {d.selector: d for d in result.differences}


def test_the_planted_selector_is_found(undisturbed: tuple[Path, ComparisonResult]) -> None:
    found = by_selector(undisturbed[1])["rule"]
    assert found.outcome == "better"
    assert found.contrast.high < 0
    assert found.p_holm < 0.05
    assert found.contrast.wins > found.contrast.losses


def test_noise_cannot_be_told_from_random(undisturbed: tuple[Path, ComparisonResult]) -> None:
    found = by_selector(undisturbed[1])["output_words:high"]
    assert found.outcome == "cannot tell"
    assert found.contrast.low < 0 < found.contrast.high
    assert found.p_holm >= found.contrast.p > 0.05


def test_the_verdict_says_both_in_one_sentence(undisturbed: tuple[Path, ComparisonResult]) -> None:
    (verdict,) = undisturbed[1].verdicts
    assert verdict.text.startswith("From mixed, 16 average rows' response tokens (")
    assert "on test: rule is better than random by 0." in verdict.text
    assert "cannot tell output_words:high from random (difference " in verdict.text
    assert verdict.text.endswith("corrected).")
    page = (undisturbed[0].parent / "out" / "comparison.md").read_text()
    assert verdict.text in page
    assert "The intervals hold for this pool as it is." in page
    assert "does not record what it was fitted on" in page


def test_what_the_rule_foretold_stands_beside_what_was_measured(
    undisturbed: tuple[Path, ComparisonResult],
) -> None:
    file, result = undisturbed
    foretold = {part.selector: part for part in result.foretold}
    assert foretold["random"].difference is None
    # The rule takes -0.1 for a unit of mtld, of which the garbage has one less.
    mine, base = (foretold[name].means["mtld"] for name in ("rule", "random"))
    assert foretold["rule"].difference == pytest.approx(-0.1 * (mine - base))
    assert foretold["rule"].difference < foretold["output_words:high"].difference
    page = (file.parent / "out" / "comparison.md").read_text()
    arms = {arm.selector: arm for arm in result.arms}
    rule, random = (np.log(np.mean(arms[name].losses["test"])) for name in ("rule", "random"))
    told = page.split("## What the rule foretold")[1]
    line = next(line for line in told.splitlines() if "| rule |" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[4:] == [f"{foretold['rule'].difference:+.4f}", f"{rule - random:+.4f}"]
    stored = json.loads((file.parent / "out" / "comparison.json").read_text())["foretold"]
    assert [part["selector"] for part in stored] == ["rule", "random", "output_words:high"]


def test_training_that_differs_beside_the_budget_is_told(undisturbed: tuple[Path, ComparisonResult]) -> None:
    arms = {arm.selector: arm for arm in undisturbed[1].arms}
    mine, theirs = (sum(arms[name].rows) / 4 for name in ("rule", "random"))
    # Garbage has fewer tokens a row, so the same tokens are fewer rows without it.
    assert mine / theirs < 0.9
    (note,) = [note for note in undisturbed[1].notes if "rule trains otherwise than random" in note]
    assert f"{mine:,.0f} rows to its {theirs:,.0f}" in note
    assert "response tokens to its" not in note


def test_the_budget_is_the_same_for_all(undisturbed: tuple[Path, ComparisonResult]) -> None:
    result = undisturbed[1]
    arms = {arm.selector: arm for arm in result.arms}
    totals = {name: [tokens / 2 for tokens in arm.response_tokens] for name, arm in arms.items()}
    budget = float(arms["rule"].budget.split("(")[1].rstrip(")").replace(",", ""))
    assert all(abs(total - budget) <= 32 for each in totals.values() for total in each)
    # A score chooses the same rows for every seed, random anew.
    assert arms["rule"].distinct == arms["rule"].rows[0] < arms["random"].distinct
    assert len(set(arms["rule"].losses["test"])) == 4
    choices = pl.read_parquet(undisturbed[0].parent / "out" / "choices.parquet")
    assert choices.filter(pl.col("selector") == "rule")["id"].str.starts_with("1-").all()
    garbage = choices.filter(pl.col("selector") == "random")["id"].str.starts_with("2-").mean()
    assert 0.2 < garbage < 0.8  # type: ignore[operator]


def test_the_table_adds_up_to_the_differences(undisturbed: tuple[Path, ComparisonResult]) -> None:
    result = undisturbed[1]
    assert result.table.equals(pl.read_parquet(undisturbed[0].parent / "out" / "results.parquet"))
    assert result.table.height == 3 * 4 * 24
    losses = (
        result.table.group_by("selector", "seed")
        .agg(loss=pl.col("loss_sum").sum() / pl.col("tokens").sum())
        .group_by("selector")
        .agg(pl.col("loss").mean())
    )
    means = dict(losses.rows())
    for name, found in by_selector(result).items():
        assert found.contrast.value == pytest.approx(means[name] - means["random"], rel=1e-9)
    baseline = result.table.filter(seed=0, selector="rule")
    assert result.baseline["test"] == pytest.approx(baseline["baseline_sum"].sum() / baseline["tokens"].sum())
    assert max(means.values()) < result.baseline["test"]


class Stopped(Exception):
    pass


def test_stopped_and_resumed_gives_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[Path, ComparisonResult], lm: LoadedModel
) -> None:
    file = make_folder(tmp_path / "stopped")
    seen: list[str] = []

    def stop(run: str) -> None:
        seen.append(run)
        if len(seen) == 5:
            raise Stopped

    with pytest.raises(Stopped):
        go(file, lm, after_run=stop)
    assert not (file.parent / "out" / "comparison.json").exists()
    fresh: list[str] = []
    go(file, lm, after_run=fresh.append)
    assert len(fresh) == 7
    assert not set(fresh) & set(seen)
    for name in FILES:
        whole = undisturbed[0].parent / "out" / name
        assert (file.parent / "out" / name).read_bytes() == whole.read_bytes(), name


def test_a_run_that_failed_in_its_worker_is_named_and_made_the_next_time(
    copied: Path, lm: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(jobs: Sequence[Job], trainer: Any, ledger: Ledger, **more: Any) -> None:
        ledger.append({"kind": "failed", "run": jobs[-1].run, "reason": "no memory", "seconds_lost": 1.0})

    copied.write_text(COMPARISON.replace('"random", ', '"random", "output_words:low", '))
    monkeypatch.setattr("imine.selection.comparison.run.run_jobs", failing)
    said = r"4 of 16 runs are not finished, mixed-16-output_words_low-0 among them; the comparison needs them all"
    with pytest.raises(StudyError, match=said):
        go(copied, lm)
    monkeypatch.undo()
    assert len(go(copied, lm).differences) == 3


def test_another_selector_needs_only_its_own_runs(copied: Path, lm: LoadedModel) -> None:
    copied.write_text(COMPARISON.replace('"random", ', '"random", "output_words:low", '))
    fresh: list[str] = []
    result = go(copied, lm, after_run=fresh.append)
    assert fresh == [f"mixed-16-output_words_low-{seed}" for seed in range(4)]
    assert len(result.differences) == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("3e-3", "1e-3", r"finetune\.learning_rate: 0\.003 when it was started, now 0\.001"),
        ("seed = 3", "seed = 4", "seed: 3 when it was started, now 4"),
        ("[budget]", '[budget]\nunit = "total_tokens"', "budget.unit: response_tokens when it was started"),
        ("seeds = 4", 'seeds = 4\ndraw_from = "parts"', "draw_from: 1.0 when it was started, now parts"),
    ],
)
def test_a_changed_comparison_is_refused(
    copied: Path, lm: LoadedModel, old: str, new: str, said: str
) -> None:
    assert old in COMPARISON
    copied.write_text(COMPARISON.replace(old, new))
    with pytest.raises(StudyChangedError, match=said):
        go(copied, lm)


def test_another_rule_under_the_same_name_is_refused(copied: Path, lm: LoadedModel) -> None:
    term = Term(name="mtld", coefficient=0.1)
    Rule(name="planted", intercept=Estimate(coefficient=1.0), terms=(term,)).write(
        copied.parent / "rule.json"
    )
    with pytest.raises(
        StudyError, match=r"run mixed-16-rule-0 was trained on other rows than are chosen for it now"
    ):
        go(copied, lm)


def test_a_pool_that_does_not_fill_the_budget_is_refused_before_any_run(
    copied: Path, lm: LoadedModel
) -> None:
    copied.write_text(
        COMPARISON.replace("[16]", "[121]").replace("[finetune]", f'[finetune]\nmodel = "{lm.name}"')
    )
    said = r"pool mixed, seed 0: its 120 candidates have [\d,]+ response tokens together, fewer than"
    with pytest.raises(SelectionError, match=said):
        imine.compare(copied, lm=lm, scorer=lambda *_: pytest.fail("rows are scored"))
    with pytest.raises(SelectionError, match=said):
        plan_comparison(load_comparison(copied))
    assert len(read_ledger(copied.parent / "out" / "ledger.jsonl").runs) == 12


def test_a_single_evaluation_example_is_refused_before_any_run(copied: Path, lm: LoadedModel) -> None:
    copied.write_text(COMPARISON.replace('path = "test.jsonl"', 'path = "test.jsonl"\nrows = 1'))
    with pytest.raises(SelectionError, match="evaluation set test has a single row"):
        go(copied, lm)
    with pytest.raises(SelectionError, match="evaluation set test has a single row"):
        plan_comparison(load_comparison(copied))


def test_evaluation_prompts_are_not_chosen(tmp_path: Path, lm: LoadedModel) -> None:
    file = make_folder(tmp_path / "leaking")
    test = [json.loads(line) for line in (file.parent / "test.jsonl").read_text().splitlines()]
    leaked = [
        row | {"id": f"leak-{i}", "instruction": row["instruction"].upper()} for i, row in enumerate(test)
    ]
    with (file.parent / "mixed.jsonl").open("a") as pool:
        pool.writelines(json.dumps(row) + "\n" for row in leaked)
    assert plan_comparison_rows(file, lm) == {"mixed": 120}


def plan_comparison_rows(file: Path, lm: LoadedModel) -> dict[str, int]:
    file.write_text(file.read_text().replace("[finetune]", f'[finetune]\nmodel = "{lm.name}"'))
    return plan_comparison(load_comparison(file)).candidates


def test_the_plan_counts_what_is_done(
    tmp_path: Path, undisturbed: tuple[Path, ComparisonResult], lm: LoadedModel
) -> None:
    file = make_folder(tmp_path / "planned")
    file.write_text(file.read_text().replace("[finetune]", f'[finetune]\nmodel = "{lm.name}"'))
    plan = plan_comparison(load_comparison(file))
    result = undisturbed[1]
    assert plan.runs == 12
    assert plan.train_tokens == pytest.approx(sum(sum(arm.tokens) for arm in result.arms), rel=0.1)
    assert not (file.parent / "out").exists()


def run(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def test_the_command_with_real_scores_and_a_split_pool(
    tmp_path: Path, tiny_llama: Path, own_cache: Path, capsys: Any
) -> None:
    folder = make_folder(tmp_path / "command").parent
    term = Term(name="output_words", coefficient=-0.1)
    rule = Rule(name="words", intercept=Estimate(coefficient=1.0), terms=(term,)).write(folder / "rule.json")
    recipe = [f"model={tiny_llama}", "max_tokens=64", "learning_rate=3e-3", "threads=1"]
    command = [
        "compare", f"pool={folder / 'mixed.jsonl'}", "--evaluate", folder / "test.jsonl", "--rule", rule.path,
        "--selectors", "rule,random,length", "--size", "8", "--seeds", "2", "--draw-from", "parts",
        "-o", folder / "out", *(part for key in recipe for part in ("--set", key)),
    ]  # fmt: skip
    code, out, err = run(capsys, *command, "--size", "4", "--plan", "--rates", "90,330")
    assert (code, "12 finetunes, some" in out, "2 workers: " in out) == (0, True, True), err
    assert not (folder / "out").exists()
    code, out, err = run(capsys, *command)
    assert code == 0, err
    assert out.startswith("From pool, 8 average rows' response tokens (")
    choices = pl.read_parquet(folder / "out" / "choices.parquet")
    # Each seed has a part of its own.
    parts = [set(choices.filter(seed=s)["id"]) for s in (0, 1)]
    assert not parts[0] & parts[1]
    pool = pl.DataFrame([json.loads(line) for line in (folder / "mixed.jsonl").read_text().splitlines()])
    words = dict(zip(pool["id"], imine.score(pool, ["output_words"]).frame["output_words"], strict=True))
    ruled = [words[id] for id in choices.filter(selector="rule", size=8, seed=0)["id"]]
    assert ruled == sorted(ruled, reverse=True)
    assert "length_high" in choices["selector"].unique()


def test_the_command_names_what_is_wrong(tmp_path: Path, capsys: Any) -> None:
    file = make_folder(tmp_path / "wrong")
    assert "no selector 'longest'" in run(capsys, "compare", file, "--selectors", "random,longest")[2]
    assert "no selector 'longest'" in run(capsys, "compare", file, "--selectors", "random, longest ")[2]
    assert "random must be among them" in run(capsys, "compare", file, "--selectors", "rule")[2]
    assert "takes KEY=VALUE" in run(capsys, "compare", file, "--set", "epochs")[2]
    assert "not a number: 'many'" in run(capsys, "compare", file, "--size", "many")[2]
    for size in ("1.5", "nan", "inf"):
        assert f"--size: not a whole number: {size}" in run(capsys, "compare", file, "--size", size)[2]
    with pytest.raises(StudyConfigError, match="there is no comparison file"):
        load_comparison(tmp_path / "none.toml")
