"""The rules that the package ships: held to the runs that it ships, and usable with the embedded models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.indicators.score import planned_fingerprints, settings_for_rule
from imine.regression import prepare_runs
from imine.regression.validation import KFold
from imine.rules import DEFAULT_RULE, compare_fingerprints, list_rules
from imine.study.findings.pools import pool_shares, pools_or_indicators
from imine.testing import assert_rule_close

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "imine" / "rules" / "smollm2_135m"


def shipping() -> Any:
    spec = importlib.util.spec_from_file_location(
        "fit_shipped_rules", ROOT / "tools" / "fit_shipped_rules.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rules_are_listed() -> None:
    names = [entry.name for entry in list_rules()]
    assert names == ["instructmining-v1", "instructmining-v2", DEFAULT_RULE, f"{DEFAULT_RULE}-perplexity"]


@pytest.mark.parametrize("file", ["rule.json", "rule_perplexity.json"])
def test_a_fit_of_the_shipped_runs_gives_the_shipped_rule(file: str) -> None:
    shipped, again = imine.load_rule(HOME / file), shipping().fitted(file)
    assert_rule_close(again, shipped, rtol=1e-9)
    for old, new in zip((shipped.intercept, *shipped.terms), (again.intercept, *again.terms), strict=True):
        assert new.std_error == pytest.approx(old.std_error, rel=1e-9)
    assert shipped.held_out is not None
    assert again.held_out.press_r2 == pytest.approx(shipped.held_out.press_r2, abs=1e-9)
    assert again.provenance.runs_sha256 == shipped.provenance.runs_sha256
    assert again.provenance.data == shipped.provenance.data
    assert again.fingerprints == shipped.fingerprints
    assert (again.choice, again.formula) == (shipped.choice, shipped.formula)


@pytest.mark.parametrize("file", ["rule.json", "rule_perplexity.json"])
def test_the_shipped_rules_are_those_of_the_shipped_runs_as_imine_check_sees_it(file: str) -> None:
    check = imine.check_rule(HOME / file, HOME / "runs.parquet", rtol=1e-9)
    assert check.agrees, check.to_text()
    assert check.same_runs
    assert check.notes == ()


@pytest.mark.parametrize("name", ["", "_perplexity"])
def test_the_cards_are_those_of_the_rules(name: str) -> None:
    card = (HOME / f"card{name}.md").read_text(encoding="utf-8")
    assert card == imine.load_rule(HOME / f"rule{name}.json").card()


# The rules as they were first fitted and shipped: the file may gain keys, its predictions stay.
@pytest.mark.parametrize(
    ("file", "coefficients"),
    [
        (
            "rule.json",
            {
                "intercept": 1.1754105441853258,
                "input_length": 0.00017429525342655295,
                "output_length": 2.2932816249032547e-05,
                "mtld": -0.0010249007986746497,
                "knn_6": -0.5225179028319068,
            },
        ),
        (
            "rule_perplexity.json",
            {
                "intercept": 0.9232295253121369,
                "input_length": 8.562847951530386e-05,
                "output_length": 1.2639388635693651e-05,
                "mtld": -0.0005782840940939006,
                "knn_6": -0.3637392253668117,
                "log_perplexity": 0.015533069796492648,
            },
        ),
    ],
)
def test_the_shipped_coefficients_are_held(file: str, coefficients: dict[str, float]) -> None:
    rule = imine.load_rule(HOME / file)
    found = {name: estimate.coefficient for name, estimate in rule.coefficients.items()}
    assert found == pytest.approx(coefficients, rel=1e-9)


@pytest.mark.parametrize("study", ["smollm2_135m_pilot", "smollm2_135m_cpu_optimal"])
def test_the_runs_of_other_studies_are_numbers_without_text(study: str) -> None:
    runs = pl.read_parquet(ROOT / "studies" / study / "runs.parquet")
    assert runs.height == {"smollm2_135m_pilot": 32, "smollm2_135m_cpu_optimal": 33}[study]
    assert {name for name, dtype in runs.schema.items() if not dtype.is_numeric()} <= {"run_id"}


def test_beside_the_pools_the_indicators_add_nothing_that_can_be_told() -> None:
    """What the rules' first note says, over the mixes and the optimal subsets together."""
    mixes = pl.read_parquet(HOME / "runs.parquet").filter(pl.col("repeat") == 0)
    optimal = pl.read_parquet(ROOT / "studies" / "smollm2_135m_cpu_optimal" / "runs.parquet")
    both = pl.concat([mixes, optimal], how="diagonal_relaxed").with_columns(run_id=pl.int_range(pl.len()))
    rule = imine.load_rule(HOME / "rule_perplexity.json")
    data, shares = prepare_runs(both, rule.indicators, rule.target), pool_shares(both)
    assert shares is not None
    found = pools_or_indicators(data, shares, KFold(10), title="", level=0.95, seed=0)
    assert rule.notes[0].startswith("The runs are mixes of pools. Over 162 subsets")
    assert len(data.y) == 162
    assert found.robust is not None
    assert f"(p {found.p:.2f}; {found.robust.p:.2f} where" in rule.notes[0]
    alone, indicators, _ = found.held_out
    assert alone.r2.value > indicators.r2.value


def test_the_runs_are_numbers_without_text() -> None:
    runs = pl.read_parquet(HOME / "runs.parquet")
    assert runs.filter(pl.col("repeat") == 0).height == 129
    assert runs.filter(pl.col("repeat") > 0).height == 12
    assert {name for name, dtype in runs.schema.items() if not dtype.is_numeric()} <= {"run_id"}
    with np.load(HOME / "reference.npz", allow_pickle=False) as file:
        assert set(file.files) == {"name", "keys", "embeddings", "encoder_sha256"}
        assert all(len(key) == 32 for key in file["keys"]), "hashes of content, not content"


@pytest.mark.models
@pytest.mark.parametrize("file", ["rule.json", "rule_perplexity.json"])
def test_models_converted_here_are_those_of_the_rule(file: str, embedded_models: None) -> None:
    rule = imine.load_rule(HOME / file)
    planned = planned_fingerprints(rule.indicators, settings_for_rule(rule))
    assert compare_fingerprints(rule.fingerprints, planned) == []


@pytest.mark.models
def test_the_default_rule_mines_the_sample(embedded_models: None, tmp_path: Path) -> None:
    from imine.sample import load_sample

    selection = imine.select(load_sample(), DEFAULT_RULE, fraction=0.25)
    assert selection.kept is not None
    assert selection.kept.height == round(0.25 * selection.table["predicted_log_loss"].count())
    assert selection.table.filter("kept")["predicted_log_loss"].max() == selection.cut
    assert selection.kept_mean is not None
    assert selection.all_mean is not None
    assert selection.kept_mean.value < selection.all_mean.value


def test_bookkeeping_of_runs_is_no_candidate() -> None:
    from imine.regression.candidates import candidates_of

    runs = pl.read_parquet(HOME / "runs.parquet")
    assert set(candidates_of(runs, None).terms) == {
        "input_length",
        "output_length",
        "mtld",
        "log_perplexity",
        "knn_6",
    }
