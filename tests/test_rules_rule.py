import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import f, t

import imine
from imine.errors import RuleError
from imine.regression import fit_ols
from imine.rules import ChoiceRecord, Estimate, Rule, Term, attach_reference, list_rules


@pytest.fixture(scope="module")
def runs() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"mtld": rng.normal(60, 4, 25), "perplexity": rng.normal(1e4, 900, 25)})
    noise = pl.Series(rng.normal(0, 0.01, 25))
    return frame.with_columns(loss=(0.4 - 0.004 * pl.col("mtld") + 1e-5 * pl.col("perplexity") + noise).exp())


@pytest.fixture(scope="module")
def rule(runs) -> Rule:
    metadata = {"fingerprints": {"mtld": {"threshold": 0.72, "words": [1, 2]}}}
    return imine.fit(runs, name="made-up", metadata=metadata)


@pytest.mark.parametrize(
    ("name", "intercept", "coefficients"),
    [
        ("instructmining-v1", 1.0694, {"reward": -0.1498, "output_length": 8.257e-5, "knn_6": -0.9350}),
        (
            "instructmining-v2",
            0.0274,
            {"reward": -0.0078, "understandability": 0.4421, "naturalness": -0.3212, "coherence": -0.1520},
        ),
    ],
)
def test_published_rules(name, intercept, coefficients):
    rule = imine.load_rule(name)
    assert rule.intercept.coefficient == intercept
    assert {term.name: term.coefficient for term in rule.terms} == coefficients
    assert rule.covariance is None
    assert rule.fingerprints == {}
    row = pl.DataFrame({key: [0.5] for key in coefficients})
    predicted = rule.predict(row)
    assert predicted["predicted_log_loss"][0] == pytest.approx(intercept + 0.5 * sum(coefficients.values()))
    assert "mean_low" not in predicted.columns
    assert rule.predict_mean(row.row(0, named=True)).low is None


def test_every_shipped_rule_is_found_by_its_name():
    entries = list_rules()
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert imine.load_rule(entry.name).to_json() == entry.rule.to_json()
        if entry.path.parent.name == "data":
            assert entry.path.stem == entry.name


def test_written_rule_comes_back_whole(rule, tmp_path):
    rule.write(tmp_path / "deep" / "rule.json")
    back = imine.load_rule(tmp_path / "deep" / "rule.json")
    assert back.to_json() == rule.to_json()
    assert back.sha256 == rule.sha256
    assert back.path == (tmp_path / "deep" / "rule.json").resolve()
    assert imine.load_rule(tmp_path / "deep").sha256 == rule.sha256
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["rule.json"]


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=5))
def test_coefficients_survive_the_file_to_the_last_bit(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("rule") / "rule.json"
    terms = tuple(Term(name=f"t{i}", coefficient=x) for i, x in enumerate(numbers[1:]))
    Rule(name="any", intercept=Estimate(coefficient=numbers[0]), terms=terms).write(path)
    back = imine.load_rule(path)
    assert [back.intercept.coefficient, *(t.coefficient for t in back.terms)] == numbers


def test_intervals_are_those_of_the_regression(rule, runs):
    terms = list(rule.indicators)
    results = fit_ols(runs.select(terms).to_numpy(), np.log(runs["loss"].to_numpy()), terms)
    new = pl.DataFrame({"id": ["a", "b"], "perplexity": [9.5e3, 1.3e4], "mtld": [55.0, 70.0]})
    predicted = rule.predict(new, level=0.9)
    assert predicted.columns[:2] == ["id", "predicted_log_loss"]
    for interval, prefix in (("mean", "mean"), ("observation", "obs")):
        expected = results.predict(new.select(terms).to_numpy(), interval=interval, level=0.9)
        np.testing.assert_allclose(predicted["predicted_log_loss"], expected.mean, rtol=1e-12)
        np.testing.assert_allclose(predicted[f"{prefix}_low"], expected.low, rtol=1e-9)
        np.testing.assert_allclose(predicted[f"{prefix}_high"], expected.high, rtol=1e-9)
    one = rule.predict_mean(new.row(1, named=True) | {"other": 3.0}, level=0.9)
    assert (one.low, one.obs_high) == (
        pytest.approx(predicted["mean_low"][1]),
        pytest.approx(predicted["obs_high"][1]),
    )
    assert one.outside == ("mtld", "perplexity")
    wider = math.sqrt(3 * f.isf(0.1, 3, results.df_resid)) / t.isf(0.05, results.df_resid)
    assert one.any_low is not None
    assert one.low is not None
    assert one.value - one.any_low == pytest.approx(wider * (one.value - one.low))
    assert one.any_high == pytest.approx(2 * one.value - one.any_low)


def test_the_interval_for_any_set_holds_for_the_chosen_one() -> None:
    """Indicators that say nothing: the interval of a set fixed in advance holds in 66 %, this one in 97 %."""
    rng = np.random.default_rng(1)
    names, held, narrow = [f"c{i}" for i in range(4)], 0, 0
    rows = rng.normal(size=(500, 4)) * 3.0
    for _ in range(200):
        X, y = rng.normal(size=(60, 4)), 0.5 + 0.02 * rng.normal(size=60)
        D = np.column_stack([np.ones(60), X])
        inverse = np.linalg.inv(D.T @ D)
        b = inverse @ D.T @ y
        variance = float(((y - D @ b) ** 2).sum() / 55)
        terms = tuple(Term(name=name, coefficient=value) for name, value in zip(names, b[1:], strict=True))
        covariance = tuple(map(tuple, inverse * variance))
        rule = Rule(name="r", intercept=Estimate(coefficient=b[0]), terms=terms, covariance=covariance, df_resid=55,
                    sigma=math.sqrt(variance))  # fmt: skip
        best = rows[np.argsort(rows @ b[1:])[:25]].mean(axis=0)
        found = rule.predict_mean(dict(zip(names, best.tolist(), strict=True)))
        assert found.low is not None
        assert found.high is not None
        assert found.any_low is not None
        assert found.any_high is not None
        narrow += found.low <= 0.5 <= found.high
        held += found.any_low <= 0.5 <= found.any_high
    assert narrow < 160
    assert held > 180


def test_contributions_add_up_and_nulls_stay(rule):
    frame = pl.DataFrame({"mtld": [60.0, None, 61.0, 62.0], "perplexity": [1e4, 1e4, math.nan, math.inf]})
    predicted = rule.predict(frame)
    first = predicted.row(0, named=True)
    parts = first["contrib_mtld"] + first["contrib_perplexity"]
    assert first["predicted_log_loss"] == pytest.approx(rule.intercept.coefficient + parts)
    assert predicted["predicted_log_loss"].is_null().to_list() == [False, True, True, True]
    assert predicted["obs_high"].is_null().to_list() == [False, True, True, True]
    assert predicted["contrib_mtld"].is_null().to_list() == [False, True, False, False]


def test_predict_names_what_is_missing(rule):
    with pytest.raises(RuleError, match="missing: perplexity"):
        rule.predict(pl.DataFrame({"mtld": [1.0]}))
    with pytest.raises(RuleError, match="needs numbers in mtld; got String"):
        rule.predict(pl.DataFrame({"mtld": ["1"], "perplexity": [1.0]}))
    with pytest.raises(RuleError, match="finite mean of perplexity"):
        rule.predict_mean({"mtld": 1.0})
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        rule.predict_mean({"mtld": 1.0, "perplexity": 2.0}, level=95)


def minimal() -> dict:
    return {
        "schema": "imine.rule/2",
        "name": "small",
        "intercept": {"coefficient": 1.0},
        "terms": [{"name": "mtld", "coefficient": 2}],
    }


def spoil(**changes) -> str:
    return json.dumps(minimal() | changes)


def with_range(**span) -> dict:
    return {"name": "mtld", "coefficient": 2, "fitted": {"sd": 0.1} | span}


def held_out(**numbers) -> dict:
    return {"method": "leave-one-out", "n_runs": 9, "press_rmse": 0.1} | numbers


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            spoil(schema="imine.rule/3"),
            r"schema is 'imine\.rule/3'; this imine reads 'imine\.rule/1' and 'imine\.rule/2'",
        ),
        (
            spoil(schema="imine.rule/1", formula="log(loss) = 1 + 2 mtld"),
            "formula: unknown key in 'imine.rule/1'",
        ),
        (spoil(schema="imine.rule/1", choice=None), "choice: unknown key in 'imine.rule/1'"),
        (spoil(schema="imine.rule/1", provenance={"data": {}}), r"provenance\.data: unknown key"),
        (
            spoil(formula="log(loss) = 1 + 3 mtld"),
            r"formula: the coefficients make it 'log\(loss\) = 1 \+ 2 mtld'",
        ),
        (spoil(terms=[{"name": "intercept", "coefficient": 1.0}]), "'intercept' is the name of the constant"),
        (spoil(provenance={"data": {"recipe": "xyz"}}), r"provenance\.data\.recipe: .*pattern"),
        (spoil(choice={"method": "named", "seed": 1}), r"choice\.seed: unknown key"),
        (spoil(choice={"method": "forward", "forced": ["knn_6"]}), r"choice: not of this rule: \['knn_6'\]"),
        (
            spoil(choice={"method": "forward", "steps": [{"action": "add"}]}),
            r"choice\.steps\.0: .*term: must be there",
        ),
        (
            spoil(choice={"method": "forward", "steps": [{"action": "guess", "term": "mtld"}]}),
            r"choice\.steps\.0\.action: .*'start', 'add', 'remove' or 'keep'",
        ),
        (
            spoil(stability={"method": "cases", "repeats": 10, "terms": [{"name": "knn_6", "chosen": 0.5}]}),
            r"stability\.terms: not of this rule: \['knn_6'\]",
        ),
        (
            spoil(stability={"method": "cases", "repeats": 10, "terms": [{"name": "mtld", "chosen": 1.5}]}),
            r"stability\.terms\.0\.chosen: .*less than or equal to 1",
        ),
        (
            spoil(other_intervals=[{"method": "HC3", "level": 0.95, "estimates": [{"name": "knn_6"}]}]),
            r"other_intervals\.0\.estimates: not of this rule",
        ),
        (
            spoil(other_intervals=[{"method": "HC3", "level": 0.95, "estimates": [{"name": "mtld"}] * 2}]),
            r"other_intervals\.0\.estimates: each may stand once",
        ),
        (
            spoil(
                other_intervals=[
                    {"method": "HC3", "level": 0.95, "estimates": [{"name": "mtld", "ci": [2.0, 1.0]}]}
                ]
            ),
            r"ci: \[2, 1\] must be ordered",
        ),
        (
            spoil(validation=[{"scheme": "10-fold", "n_runs": 9, "coverage": 0.9}]),
            "coverage: must stand beside coverage_level",
        ),
        (spoil(colour="red"), "colour: unknown key"),
        (spoil(terms=[{"name": "mtld", "coefficient": 1.0, "weight": 1}]), r"terms\.0\.weight: unknown key"),
        (spoil(terms=[{"name": "mtld"}]), r"terms\.0\.coefficient: missing key"),
        (spoil(terms=[]), "terms: "),
        (spoil(terms=[{"name": "mtld", "coefficient": "1.0"}]), r"terms\.0\.coefficient: .*number"),
        (spoil(terms=[{"name": "mtld", "coefficient": 1.0}] * 2), "terms: each may stand once"),
        (spoil(intercept={"coefficient": math.nan}), "NaN is not a number"),
        (spoil(intercept={"coefficient": math.inf}), "Infinity is not a number"),
        (spoil(intercept={"coefficient": 0}).replace("0}", "1e999}"), r"intercept\.coefficient: .*finite"),
        (spoil(fingerprints={"knn_6": {}}), r"fingerprints: not terms of the rule: \['knn_6'\]"),
        (spoil(covariance=[[1.0]], df_resid=3, sigma=1.0), "covariance: must be 2 by 2"),
        (spoil(covariance=[[1.0, 0.0], [0.0, 1.0]]), "covariance: needs df_resid and sigma"),
        (spoil(covariance=[[1.0, 0.5], [0.0, 1.0]], df_resid=3, sigma=1.0), "covariance: not symmetric"),
        (spoil(covariance=[[-1.0, 0.0], [0.0, 1.0]], df_resid=3, sigma=1.0), "a variance is negative"),
        (spoil(covariance=[[4.0, 3.0], [3.0, 1.0]], df_resid=3, sigma=1.0), "covariance: not positive semi"),
        (spoil(covariance=[[0.0, 1.0], [1.0, 1.0]], df_resid=3, sigma=1.0), "covariance: not positive semi"),
        (
            spoil(covariance=[[1e-300, 1e300], [1e300, 1.0]], df_resid=3, sigma=1.0),
            "covariance: not positive semi",
        ),
        (
            spoil(
                covariance=[[1e-6, 0.0], [0.0, 1e6]],
                df_resid=3,
                sigma=1.0,
                intercept={"coefficient": 1.0, "std_error": 1.1e-3},
            ),
            r"intercept\.std_error: 0\.0011 is not the root of its variance in covariance \(0\.001\)",
        ),
        (
            spoil(
                covariance=[[1.0, 0.0], [0.0, 1e6]],
                df_resid=3,
                sigma=1.0,
                terms=[{"name": "mtld", "coefficient": 2, "std_error": 1.000001e3}],
            ),
            r"terms\.0\.std_error: 1000\.001 is not",
        ),
        (
            spoil(intercept={"coefficient": 1.0, "ci": [2.0, 0.0]}),
            r"intercept: .*ci: \[2, 0\] must be ordered",
        ),
        (spoil(terms=[{"name": "mtld", "coefficient": 2, "ci": [0, 1]}]), r"terms\.0: .*ci: .* and hold 2"),
        (spoil(terms=[with_range(min=2, max=1, mean=1.5)]), r"terms\.0\.fitted: .*min, mean, max: must be"),
        (spoil(terms=[with_range(min=1, max=2, mean=2.5)]), r"terms\.0\.fitted: .*; got 1, 2\.5, 2"),
        (spoil(held_out=held_out(press_r2=1.01)), r"held_out\.press_r2: .*less than or equal to 1"),
        (spoil(reference={"file": "../x.npz", "sha256": "0" * 64, "n": 1}), r"reference\.file"),
        (spoil().replace('"name"', '"name": "twice", "name"', 1), "the key 'name' stands twice"),
        ("[1]", "key 'schema' is missing"),
        ("{", "cannot be read as a rule"),
        ("[" * 100_000, "cannot be read as a rule"),
    ],
)
def test_refused_with_file_and_key(tmp_path, text, match):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(RuleError, match=match) as caught:
        imine.load_rule(path)
    assert str(path) in str(caught.value)


def test_minimal_rule_loads(tmp_path):
    (tmp_path / "small.json").write_text(spoil())
    assert imine.load_rule(str(tmp_path / "small.json")).indicators == ("mtld",)


def test_a_rule_of_the_first_version_is_read_and_written_as_one_of_today(tmp_path):
    (tmp_path / "old.json").write_text(spoil(schema="imine.rule/1"))
    old = imine.load_rule(tmp_path / "old.json")
    assert old.schema_version == "imine.rule/2"
    assert (old.choice, old.stability, old.validation, old.other_intervals) == (None, None, (), ())
    assert old.formula == "log(loss) = 1 + 2 mtld"
    old.write(tmp_path / "new.json")
    assert json.loads((tmp_path / "new.json").read_text())["schema"] == "imine.rule/2"
    new = imine.load_rule(tmp_path / "new.json")
    assert (new.to_json(), new.sha256) == (old.to_json(), old.sha256)


FULL = {
    "terms_tried": ["mtld", "knn_6"],
    "formula": "log(loss) = 1 + 2 mtld",
    "choice": {
        "method": "both",
        "criterion": "bic",
        "saw_losses": True,
        "forced": [],
        "settings": {"most_terms": 3, "level": 0.05},
        "steps": [
            {"action": "start", "value": -10.5},
            {"action": "add", "term": "knn_6", "value": -11.25},
            {"action": "add", "term": "mtld", "value": -20.0},
            {"action": "remove", "term": "knn_6", "value": -22.5},
        ],
        "stopped": "no step lowers the criterion",
    },
    "stability": {
        "method": "cases",
        "repeats": 200,
        "seed": 7,
        "terms": [
            {"name": "mtld", "chosen": 0.875, "same_sign": 0.96},
            {"name": "knn_6", "chosen": 0.0, "same_sign": None},
        ],
    },
    "other_intervals": [
        {
            "method": "conditional on the choice",
            "level": 0.95,
            "about": "Right after forward selection.",
            "estimates": [{"name": "mtld", "p": 0.25, "ci": [None, 3.5], "why": "no end"}],
        }
    ],
    "validation": [
        {
            "scheme": "10-fold, 20 times",
            "n_runs": 9,
            "r2": -0.5,
            "rmse": 0.1,
            "bias": -0.25,
            "chose_anew": True,
        },
        {"scheme": "leave one pool out", "n_runs": 9, "coverage": 0.9, "coverage_level": 0.95},
    ],
    "provenance": {"data": {"recipe": "0123456789abcdef"}},
}


def test_everything_that_the_schema_knows_comes_back(tmp_path):
    (tmp_path / "full.json").write_text(spoil(**FULL))
    rule = imine.load_rule(tmp_path / "full.json")
    document = json.loads(rule.to_json())
    for key in ("terms_tried", "formula"):
        assert document[key] == FULL[key]
    assert rule.choice.steps[3].term == "knn_6"
    assert rule.stability.terms[0].chosen == 0.875
    assert rule.other_intervals[0].estimates[0].ci == (None, 3.5)
    assert rule.validation[1].coverage == 0.9
    rule.write(tmp_path / "again.json")
    assert imine.load_rule(tmp_path / "again.json").to_json() == rule.to_json()


def test_a_search_among_the_terms_is_said_beside_the_table(tmp_path):
    (tmp_path / "full.json").write_text(spoil(**FULL))
    table = imine.load_rule(tmp_path / "full.json").table()
    assert "The terms were chosen by the losses (both, by bic): the p-values are too small" in table
    shipped = imine.load_rule("smollm2-135m")
    assert "chosen by the losses" not in shipped.table()
    assert "named after a look at the losses" not in shipped.table()
    looked = shipped.model_copy(update={"choice": ChoiceRecord(method="named", saw_losses=True)})
    assert "named after a look at the losses" in looked.table()


def test_formula_of_a_fit(rule):
    terms = "".join(
        f" {'-' if t.coefficient < 0 else '+'} {abs(t.coefficient):.6g} {t.name}" for t in rule.terms
    )
    assert rule.formula == f"log(loss) = {rule.intercept.coefficient:.6g}{terms}"


def test_a_changed_copy_is_written_with_its_own_formula(rule, tmp_path):
    changed = rule.model_copy(update={"target": "loss_other"})
    assert changed.write(tmp_path / "changed.json") is not None
    assert imine.load_rule(tmp_path / "changed.json").formula == rule.formula.replace(
        "(loss)", "(loss_other)"
    )


def test_numbers_at_their_bounds_load(tmp_path):
    text = spoil(
        covariance=[[1e-6, 1.0, 0.0], [1.0, 1e6, 0.0], [0.0, 0.0, 0.0]],
        df_resid=3,
        sigma=0.0,
        intercept={"coefficient": 1.0, "std_error": 1e-3, "ci": [1.0, 1.0]},
        terms=[
            with_range(min=0.1, max=0.1, mean=math.nextafter(0.1, 1)) | {"std_error": 1e3},
            {"name": "knn_6", "coefficient": 2, "std_error": 0.0},
        ],
        held_out=held_out(press_r2=1.0),
    )
    (tmp_path / "edge.json").write_text(text)
    assert imine.load_rule(tmp_path / "edge.json").held_out.press_r2 == 1.0


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(-6, 6), st.floats(1e-6, 1e3))
def test_any_fit_makes_a_rule(seed, power, spread):
    rng = np.random.default_rng(seed)
    a = 10.0**power * (1 + spread * rng.normal(size=9))
    frame = pl.DataFrame(
        {"a": a, "b": a + 10.0**power * 1e-4 * rng.normal(size=9), "loss": rng.uniform(1, 2, 9)}
    )
    rule = imine.fit(frame, terms=["a", "b"])
    assert Rule.model_validate_json(rule.to_json()) == rule


def test_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(RuleError, match=r"no rule 'nope'.*instructmining-v1, instructmining-v2"):
        imine.load_rule("nope")
    with pytest.raises(RuleError, match="neither a file"):
        imine.load_rule(tmp_path / "absent.json")


def test_rule_cannot_be_changed(rule):
    with pytest.raises(ValidationError, match="frozen"):
        rule.name = "other"


def test_reference_is_copied_and_checked(rule, tmp_path):
    np.savez(tmp_path / "reference.npz", ids=np.array(["a", "b"]), embeddings=np.eye(2, 4))
    attached = attach_reference(rule, tmp_path / "reference.npz", tmp_path / "out" / "mine.json")
    attached.write(tmp_path / "out" / "mine.json")
    loaded = imine.load_rule(tmp_path / "out" / "mine.json")
    assert loaded.reference.n == 2
    assert loaded.reference_path() == (tmp_path / "out" / "mine.reference.npz").resolve()
    (tmp_path / "out" / "mine.reference.npz").write_bytes(b"other")
    with pytest.raises(RuleError, match="SHA-256 differs"):
        loaded.reference_path()
    (tmp_path / "out" / "mine.reference.npz").unlink()
    with pytest.raises(RuleError, match="missing; it must lie beside"):
        loaded.reference_path()
    assert rule.reference_path() is None
    by_hand = Rule.model_validate_json(attached.to_json())
    with pytest.raises(RuleError, match="was not loaded from a file"):
        by_hand.reference_path()


def test_reference_goes_where_the_rule_goes(rule, tmp_path):
    np.savez(tmp_path / "reference.npz", embeddings=np.eye(2, 4))
    attached = attach_reference(rule, tmp_path / "reference.npz", tmp_path / "a" / "first.json")
    first = attached.write(tmp_path / "a" / "first.json")
    assert first == imine.load_rule(tmp_path / "a" / "first.json")
    second = first.write(tmp_path / "b" / "second.json")
    assert second.reference.file == "second.reference.npz"
    assert second.reference_path() == (tmp_path / "b" / "second.reference.npz").resolve()
    assert second == imine.load_rule(tmp_path / "b" / "second.json")
    second.reference_path().write_bytes(b"other")
    with pytest.raises(RuleError, match="SHA-256 differs"):
        second.write(tmp_path / "c" / "third.json")
    assert not (tmp_path / "c").exists()
    with pytest.raises(RuleError, match="may hold letters, digits"):
        first.write(tmp_path / "d" / "my rule.json")
    assert not (tmp_path / "d").exists()


def test_reference_that_is_none(rule, tmp_path):
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(RuleError, match="not a file of reference embeddings"):
        attach_reference(rule, tmp_path / "text.npz", tmp_path / "mine.json")
    np.savez(tmp_path / "flat.npz", x=np.arange(3))
    with pytest.raises(RuleError, match="no two-dimensional array"):
        attach_reference(rule, tmp_path / "flat.npz", tmp_path / "mine.json")


def test_failed_write_leaves_the_old_file(rule, tmp_path):
    path = tmp_path / "rule.json"
    rule.write(path)
    before = path.read_bytes()
    broken = rule.model_copy(update={"fingerprints": {"mtld": {"threshold": math.nan}}})
    with pytest.raises(RuleError, match="cannot be written"):
        broken.write(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["rule.json"]
