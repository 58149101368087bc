import json
import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

import imine
from imine.errors import RegressionError, RuleError
from imine.indicators.neighbors import ReferenceSet
from imine.indicators.score import settings_for_rule
from imine.regression import fit_ols, runs_sha256


def made_up_runs(n: int = 30, seed: int = 0, effect: float = 0.01) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "run_id": [f"r{i:02d}" for i in range(n)],
            "input_words": rng.normal(30, 5, n),
            "mtld": rng.normal(60, 4, n),
            "mtld__sd": rng.normal(25, 2, n),
            "output_words": rng.normal(90, 20, n),
            "output_length": rng.normal(150, 30, n),
            "perplexity": rng.normal(12, 3, n),
        }
    )
    noise = pl.Series(rng.normal(0, 0.02, n))
    return frame.with_columns(loss=(0.5 + effect * (pl.col("perplexity") - 12) + noise).exp())


METADATA = {
    "fingerprints": {"mtld": {"threshold": 0.72}, "knn_6": {"i": 6}},
    "study": {"name": "tiny"},
    "versions": {"polars": "1"},
}


def test_default_terms_prefer_tokens_and_say_so():
    rule = imine.fit(made_up_runs())
    assert rule.indicators == ("input_words", "mtld", "output_length", "perplexity")
    assert rule.terms_tried == rule.indicators
    assert (rule.choice.method, rule.choice.saw_losses) == ("all", False)
    named = imine.fit(made_up_runs(), terms=["mtld"])
    assert (named.choice.method, named.choice.saw_losses) == ("named", None)
    assert any("output_words left out in favour of output_length" in note for note in rule.notes)


def test_numbers_are_those_of_the_regression_on_the_log_loss():
    runs = made_up_runs()
    terms = ["mtld", "perplexity"]
    rule = imine.fit(runs, terms=terms, level=0.9)
    X, y = runs.select(terms).to_numpy(), np.log(runs["loss"].to_numpy())
    results = fit_ols(X, y, terms)
    stored = [rule.intercept, *rule.terms]
    assert [e.coefficient for e in stored] == results.params.tolist()
    assert [e.std_error for e in stored] == results.std_errors.tolist()
    assert [e.p for e in stored] == results.p.tolist()
    assert [list(e.ci) for e in stored] == results.conf_int(0.9).tolist()
    assert [list(row) for row in rule.covariance] == results.covariance.tolist()
    assert (rule.n_runs, rule.df_resid, rule.level) == (30, 27, 0.9)
    assert rule.fit.adjusted_r2 == results.adjusted_r2
    others = [
        fit_ols(np.delete(X, i, 0), np.delete(y, i), terms).predict(X[i]).mean[0] for i in range(len(y))
    ]
    sst = np.sum((y - y.mean()) ** 2)
    assert rule.held_out.press_r2 == pytest.approx(1 - np.sum((y - others) ** 2) / sst)
    assert rule.held_out.press_rmse == pytest.approx(math.sqrt(np.mean((y - others) ** 2)))
    assert rule.held_out.spearman == pytest.approx(spearmanr(others, y).statistic)


def test_ranges_and_spread():
    runs = made_up_runs()
    rule = imine.fit(runs, terms=["mtld", "perplexity"])
    span = rule.ranges["mtld"]
    assert (span.min, span.max) == (runs["mtld"].min(), runs["mtld"].max())
    assert span.sd == pytest.approx(runs["mtld"].std())
    assert span.spread_ratio == pytest.approx(runs["mtld__sd"].mean() / runs["mtld"].std())
    assert rule.ranges["perplexity"].spread_ratio is None


def test_metadata_of_the_file_goes_into_the_rule(tmp_path):
    runs = made_up_runs()
    runs.write_parquet(tmp_path / "runs.parquet", metadata={"imine": json.dumps(METADATA)})
    rule = imine.fit(tmp_path / "runs.parquet", terms=["mtld", "perplexity"])
    assert rule.name == "tiny"
    assert rule.fingerprints == {"mtld": {"threshold": 0.72}}
    assert any("no fingerprint of perplexity" in note for note in rule.notes)
    assert rule.provenance.study == "tiny"
    assert rule.provenance.versions["polars"] == "1"
    assert rule.provenance.runs_sha256 == runs_sha256(runs)
    assert rule.provenance.created.endswith("+00:00")
    assert rule.provenance.data == {}


def test_hashes_of_what_a_study_was_made_from():
    recipe = {
        "seed": 1,
        "pools.dolly.rows": 40,
        "pools.dolly (content)": "a" * 16,
        "finetune.model (content)": "b" * 64,
    }
    study = {"name": "s", "recipe": recipe, "recipe_sha256": "c" * 16}
    rule = imine.fit(made_up_runs(), metadata={"study": study})
    assert rule.provenance.data == {"recipe": "c" * 16, "finetune.model": "b" * 64, "pools.dolly": "a" * 16}


def runs_with_neighbors(folder) -> ReferenceSet:
    folder.mkdir(exist_ok=True)
    reference = ReferenceSet.make("tiny", ["a", "b", "c"], np.eye(3, dtype=np.float32), "00")
    about = {"kind": "set", "name": "tiny", "n": 3, "sha256": reference.sha256}
    encoder = {"name": "some-encoder", "sha256": "00"}
    facts = {"fingerprints": {"knn_6": {"encoder": encoder, "reference": about}, "mtld": {}}}
    runs = made_up_runs().with_columns(knn_6=pl.col("perplexity") / 20)
    runs.write_parquet(folder / "runs.parquet", metadata={"imine": json.dumps(facts)})
    return reference


def test_written_rule_finds_its_reference_set(tmp_path):
    reference = runs_with_neighbors(tmp_path / "study")
    reference.save(tmp_path / "study" / "reference.npz")
    rule = imine.fit(tmp_path / "study" / "runs.parquet", terms=["mtld", "knn_6"])
    assert rule.reference is None
    assert settings_for_rule(rule).reference.sha256 == reference.sha256, "before it is written"
    written = rule.write(tmp_path / "rule.json")
    (tmp_path / "study" / "reference.npz").unlink()
    loaded = imine.load_rule(tmp_path / "rule.json")
    assert written == loaded
    assert (loaded.reference.file, loaded.reference.n) == ("rule.reference.npz", 3)
    settings = settings_for_rule(loaded)
    assert settings.reference.sha256 == reference.sha256
    assert settings.encoder == "some-encoder"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rule.json", "rule.reference.npz", "study"]
    with pytest.raises(RuleError, match=r"reference\.npz: missing"):
        rule.write(tmp_path / "again.json")


def test_reference_set_is_left_where_no_term_needs_it(tmp_path):
    runs_with_neighbors(tmp_path / "study").save(tmp_path / "study" / "reference.npz")
    rule = imine.fit(tmp_path / "study" / "runs.parquet", terms=["mtld", "perplexity"])
    assert rule.write(tmp_path / "rule.json").reference is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rule.json", "study"]


def test_missing_reference_set_is_noted(tmp_path):
    runs_with_neighbors(tmp_path)
    path = tmp_path / "runs.parquet"
    facts = json.loads(pl.read_parquet_metadata(path)["imine"])
    alone = imine.fit(path, terms=["knn_6"])
    frame = imine.fit(pl.read_parquet(path), terms=["knn_6"], metadata=facts)
    assert "knn_6 is not at hand: no reference.npz lies beside the runs" in alone.notes[-1]
    assert "knn_6 is not at hand: the runs were given without their file" in frame.notes[-1]
    for rule in (alone, frame):
        rule.write(tmp_path / "rule.json")
        with pytest.raises(RuleError, match=r"\.npz file must lie beside the rule"):
            settings_for_rule(imine.load_rule(tmp_path / "rule.json"))


def test_another_reference_set_is_refused(tmp_path):
    runs_with_neighbors(tmp_path)
    other = ReferenceSet.make("tiny", ["a", "b"], np.eye(2, 3, dtype=np.float32), "00")
    other.save(tmp_path / "reference.npz")
    with pytest.raises(RuleError, match=r"reference\.npz: not the reference set .*knn_6 expects"):
        imine.fit(tmp_path / "runs.parquet", terms=["knn_6"])
    assert imine.fit(tmp_path / "runs.parquet", terms=["mtld"]).notes == ()
    (tmp_path / "reference.npz").write_bytes((tmp_path / "reference.npz").read_bytes()[:200])
    with pytest.raises(RuleError, match="not a file of reference embeddings"):
        imine.fit(tmp_path / "runs.parquet", terms=["knn_6"])


def test_brackets_in_a_path(tmp_path):
    folder = tmp_path / "study [1]*"
    folder.mkdir()
    made_up_runs().write_parquet(folder / "runs.parquet", metadata={"imine": json.dumps(METADATA)})
    assert imine.fit(folder / "runs.parquet", terms=["mtld"]).name == "tiny"


def test_what_cannot_stand_in_a_rule_is_named():
    runs = made_up_runs()
    with pytest.raises(RegressionError, match=r"cannot stand in a rule: fingerprints\.mtld: .*dictionary"):
        imine.fit(runs, terms=["mtld"], metadata={"fingerprints": {"mtld": "made somehow"}})
    spread = runs.with_columns(mtld__sd=pl.lit(math.inf))
    with pytest.raises(RegressionError, match=r"cannot stand in a rule: example_sd: .*finite"):
        imine.fit(spread, terms=["mtld"])


def test_hash_follows_the_content():
    runs = made_up_runs()
    changed = runs.with_columns(loss=pl.col("loss") + 1e-12)
    assert runs_sha256(runs) == runs_sha256(runs.select(reversed(runs.columns)))
    assert runs_sha256(runs) != runs_sha256(changed)


def test_incomplete_runs_are_named_or_dropped():
    runs = made_up_runs().with_columns(
        mtld=pl.when(pl.col("run_id") == "r03").then(None).otherwise("mtld"),
        perplexity=pl.when(pl.col("run_id") == "r07").then(math.nan).otherwise("perplexity"),
    )
    with pytest.raises(RegressionError, match=r"2 of 30 runs have no value in mtld, perplexity: r03, r07"):
        imine.fit(runs, terms=["mtld", "perplexity"])
    rule = imine.fit(runs, terms=["mtld", "perplexity"], drop_incomplete=True)
    assert rule.n_runs == 28
    assert any(note.startswith("Left out: 2 of 30 runs") for note in rule.notes)
    assert imine.fit(runs, terms=["output_length"]).n_runs == 30


def test_null_column_is_incomplete():
    runs = made_up_runs().with_columns(mtld=pl.lit(None))
    with pytest.raises(RegressionError, match="30 of 30 runs have no value in mtld: r00, r01"):
        imine.fit(runs)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_too_few_runs(n):
    with pytest.raises(RegressionError, match=rf"{n} runs are too few for 4 terms .*: at least 7 are needed"):
        imine.fit(made_up_runs(n))


def test_constant_and_dependent_terms_are_named():
    runs = made_up_runs().with_columns(mtld=pl.lit(61.25), double=2 * pl.col("perplexity"))
    with pytest.raises(RegressionError, match="constant in all runs: mtld"):
        imine.fit(runs)
    with pytest.raises(RegressionError, match="is a combination of"):
        imine.fit(runs, terms=["perplexity", "double"])


@pytest.mark.parametrize(
    ("change", "arguments", "match"),
    [
        ({}, {"target": "loss_none"}, "no column loss_none; they have: run_id"),
        ({}, {"terms": ["mtld", "zeal"]}, "no column zeal"),
        ({}, {"terms": []}, "at least one indicator"),
        ({}, {"terms": "mtld"}, "must be a list"),
        ({}, {"terms": ["run_id"]}, r"not numbers: run_id \(String\)"),
        ({}, {"terms": ["mtld", "mtld"]}, "terms must differ"),
        ({"loss": pl.col("loss") - 1.6}, {"terms": ["mtld"]}, "loss must be positive .* r"),
        ({"mtld": pl.col("mtld") * 1e-160}, {"terms": ["mtld"]}, r"too small to be squared .*: mtld \("),
        ({"loss": pl.lit(1.5)}, {"terms": ["mtld"]}, "loss is 1.5 in all runs"),
        ({"run_id": pl.lit("r00")}, {}, "more than once: r00"),
        (
            {"mtld": (pl.col("run_id") == "r04").cast(pl.Float64)},
            {"terms": ["mtld"]},
            "not determined.*: r04",
        ),
    ],
)
def test_what_cannot_be_fitted(change, arguments, match):
    with pytest.raises(RegressionError, match=match):
        imine.fit(made_up_runs().with_columns(**change), **arguments)


def test_no_indicators_and_no_file(tmp_path):
    with pytest.raises(RegressionError, match="none of the indicators"):
        imine.fit(made_up_runs().select("run_id", "loss"))
    with pytest.raises(RegressionError, match="no such file"):
        imine.fit(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(RegressionError, match=r"text\.parquet: cannot be read as runs"):
        imine.fit(tmp_path / "text.parquet")


def test_verdict_of_noise_says_that_it_predicts_nothing():
    rule = imine.fit(made_up_runs(seed=3, effect=0.0))
    assert rule.held_out.press_r2 <= 0
    text = rule.table()
    assert "This rule predicts nothing out of sample" in text
    assert f"PRESS R2 = {rule.held_out.press_r2:.2f}" in text
    assert "cannot be told from chance (F test, p = " in text


def test_verdict_bands_and_warnings():
    strong = imine.fit(made_up_runs(effect=0.02)).table()
    assert "This rule predicts out of sample" in strong
    assert "residual degrees of freedom" not in strong
    weak = imine.fit(made_up_runs(effect=0.02))
    held_out = weak.held_out.model_copy(update={"press_r2": 0.2})
    assert "This rule predicts weakly out of sample" in weak.model_copy(update={"held_out": held_out}).table()
    small = made_up_runs(9, effect=0.02).with_columns(
        mtld=pl.col("perplexity") + pl.Series(np.tile([0.0, 0.1, -0.1], 3))
    )
    text = imine.fit(small).table()
    assert "Only 4 residual degrees of freedom" in text
    assert "variance inflation factor above 10): mtld (" in text


def test_table_shows_every_term_and_no_line_is_cut():
    rule = imine.fit(made_up_runs())
    from imine.rules import rule_table

    wide, narrow = rule_table(rule).to_text(), rule_table(rule).to_text(60)
    for text in (wide, narrow):
        for term in rule.terms:
            assert f"{term.coefficient:.5g}" in text
            assert f"{term.fitted.min:.4g} to {term.fitted.max:.4g}" in text
    body = narrow.split("\n\n")[1:-1]
    assert len(body) > 1
    assert max(len(line) for block in body for line in block.splitlines()) <= 60


def test_a_logarithm_is_preferred_to_perplexity_itself():
    runs = made_up_runs().with_columns(log_perplexity=pl.col("perplexity").log())
    rule = imine.fit(runs)
    assert rule.indicators == ("input_words", "mtld", "output_length", "log_perplexity")
    assert any("perplexity left out in favour of log_perplexity" in note for note in rule.notes)


def test_means_over_a_part_of_a_set_and_unfinished_studies_are_noted():
    rng = np.random.default_rng(3)
    runs = made_up_runs().with_columns(
        n_examples=pl.lit(32), mtld__n=pl.Series(rng.integers(9, 31, 30)), perplexity__n=pl.lit(32)
    )
    rule = imine.fit(runs, metadata={"study": {"name": "s", "finished": 30, "subsets": 40}})
    (part,) = [note for note in rule.notes if "rows that have it" in note]
    least, most = runs["mtld__n"].min() / 32, runs["mtld__n"].max() / 32
    assert part.startswith(
        f"mtld: a set's mean is that of its rows that have it, in these runs {least:.0%} to {most:.0%}"
    )
    assert "The study is not finished: 30 of 40 runs." in rule.notes
    assert rule.set_size == (32, 32)
