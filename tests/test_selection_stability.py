"""How much a choice changes over refits, and that the same inputs give the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.errors import SelectionError
from imine.regression.bootstrap.draws import draw_block
from imine.rules import Estimate, Rule, Term
from imine.selection import Diversity, Quota, Selection, select_scored, selection_stability
from imine.selection.refits import parametric_refits, run_refits
from tests.naive_selection import choose_rows

NAMES = ("x", "y")


def make_rule(**changes: Any) -> Rule:
    terms = (Term(name="x", coefficient=0.3), Term(name="y", coefficient=-0.2))
    covariance = ((0.0009, 0.0001, 0.0), (0.0001, 0.0004, 0.0002), (0.0, 0.0002, 0.0016))
    given: dict[str, Any] = {"covariance": covariance, "df_resid": 20, "sigma": 0.1} | changes
    return Rule(name="two", intercept=Estimate(coefficient=1.0), terms=terms, **given)


def scores(rows: int = 60, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    ids = [f"r{i:03d}" for i in rng.permutation(rows)]
    x, y = rng.normal(1, 0.3, rows).round(1), rng.normal(1, 0.3, rows).round(1)
    frame = pl.DataFrame({"id": ids, "x": x, "y": y, "source": [f"s{i % 3}" for i in range(rows)]})
    return frame.with_columns(
        x=pl.when(pl.int_range(rows) % 17 != 0).then("x"), output_length=pl.int_range(1, rows + 1)
    )


def predictions(frame: pl.DataFrame, b: np.ndarray) -> np.ndarray:
    x, y = (frame[name].fill_null(float("nan")).to_numpy() for name in NAMES)
    return b[0] + b[1] * x + b[2] * y


@pytest.mark.parametrize("quota", [None, Quota("source", {"s0": (8, None), "*": (None, 0.5)})])
def test_as_by_choosing_again_with_each_refit(quota: Quota | None) -> None:
    frame, rule = scores(), make_rule()
    selection = select_scored(frame, rule, top=20, quota=quota)
    stability = selection_stability(selection, refits=80, seed=4)
    ids, kept = frame["id"].to_list(), set(selection.kept_ids)
    groups = frame["source"].to_list() if quota else None
    chosen = [
        choose_rows(ids, predictions(frame, b), 20, groups=groups, limits=quota.limits if quota else None)
        for b in parametric_refits(rule, 80, 4).coefficients
    ]
    assert stability.jaccard.tolist() == [len(kept & c) / len(kept | c) for c in chosen]
    expected = [sum(i in c for c in chosen) / 80 for i in ids]
    usable = frame["x"].is_not_null().to_list()
    assert np.isnan(stability.inclusion).tolist() == [not u for u in usable]
    assert [v for v, u in zip(stability.inclusion.tolist(), usable, strict=True) if u] == [
        v for v, u in zip(expected, usable, strict=True) if u
    ]
    assert 0.2 < stability.jaccard.mean() < 1, "ties and noise move some rows"


REQUESTS: list[dict[str, Any]] = [
    {"fraction": 0.3},
    {"threshold": 1.05},
    {"threshold": 1.05, "by": "upper"},
    {"threshold": 1.05, "cannot_tell": "keep"},
    {"threshold": 1.05, "cannot_tell": "drop", "band": 0.02},
    {"tokens": 300},
    {"top": 10, "by": "upper"},
    {"top": 10, "duplicates": 0.95},
    {"top": 8, "diversity": Diversity("k-center", 0.2)},
]


@pytest.mark.parametrize("how", REQUESTS, ids=str)
def test_a_refit_that_changes_nothing_keeps_the_same_rows(how: dict[str, Any]) -> None:
    zero = tuple(tuple(1e-30 * (i == j) for j in range(3)) for i in range(3))
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(60, 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32)
    # Rounded scores have ties, which even the smallest change would break.
    frame = scores().with_columns(pl.col(name) + pl.Series(rng.normal(0, 0.01, 60)) for name in NAMES)
    selection = select_scored(frame, make_rule(covariance=zero), embeddings=vectors, **how)
    stability = selection_stability(selection, refits=10)
    assert selection.kept_count
    assert stability.jaccard.tolist() == [1.0] * 10
    assert set(stability.sizes.tolist()) == {selection.kept_count}
    usable = stability.inclusion[~np.isnan(stability.inclusion)]
    assert sorted(set(usable.tolist())) == [0.0, 1.0]


def made_up_runs(n: int = 40) -> pl.DataFrame:
    rng = np.random.default_rng(11)
    x, y = rng.normal(1, 0.1, n), rng.normal(1, 0.1, n)
    loss = np.exp(1 + 0.3 * x - 0.2 * y + rng.normal(0, 0.02, n))
    return pl.DataFrame({"run_id": [f"r{i}" for i in range(n)], "x": x, "y": y, "loss": loss})


def test_refits_on_runs_drawn_anew() -> None:
    runs = made_up_runs()
    rule = imine.fit(runs, terms=list(NAMES))
    refits = run_refits(rule, runs, 70, 3)
    drawn = np.concatenate([draw_block(3, 0, 40), draw_block(3, 1, 40)])[:70]
    for b, rows in zip(refits.coefficients, drawn, strict=True):
        again = imine.fit(runs[rows.tolist()].drop("run_id"), terms=list(NAMES))
        assert b == pytest.approx([e.coefficient for e in again.coefficients.values()], rel=1e-9)
    assert (refits.kind, refits.failed, refits.notes) == ("runs", 0, ())
    spread = run_refits(rule, runs, 2000, 0).coefficients.std(axis=0)
    errors = [e.std_error for e in rule.coefficients.values()]
    assert spread == pytest.approx(errors, rel=0.25)
    stability = selection_stability(select_scored(scores(), rule, top=15), refits=100, runs=runs)
    assert "the runs drawn anew" in stability.summary()
    other = run_refits(rule, runs.with_columns(pl.col("loss") * 1.01), 10, 0)
    assert other.notes == ("The runs are not those that the rule was fitted on (their hash differs).",)


def test_runs_that_repeat_a_subset_are_drawn_together() -> None:
    rng = np.random.default_rng(5)
    subsets = made_up_runs(20)
    own = rng.normal(0, 0.02, 20)
    runs = pl.concat([
        subsets.with_columns(
            run_id=pl.col("run_id") + f"-{k}", loss=np.exp(1 + 0.3 * pl.col("x") - 0.2 * pl.col("y") + own)
        )
        for k in range(6)
    ])  # fmt: skip
    rule = imine.fit(runs, terms=list(NAMES))
    refits = run_refits(rule, runs, 500, 0)
    means = imine.fit(runs[:20], terms=list(NAMES))
    alone = run_refits(means, runs[:20], 500, 0)
    np.testing.assert_allclose(refits.coefficients, alone.coefficients, rtol=1e-9)
    assert refits.notes == ("The 120 runs are of 20 subsets: runs that repeat a subset are drawn together.",)
    assert alone.notes == ()


def test_parametric_refits_have_the_rules_covariance() -> None:
    runs = made_up_runs()
    fitted = imine.fit(runs, terms=list(NAMES))
    for rule in (make_rule(), fitted):
        drawn = parametric_refits(rule, 40_000, 1).coefficients
        sd = np.sqrt(np.diag(np.array(rule.covariance)))
        assert np.cov(drawn.T) / np.outer(sd, sd) == pytest.approx(
            np.array(rule.covariance) / np.outer(sd, sd), abs=0.03
        )
        assert drawn.mean(axis=0) == pytest.approx(
            [e.coefficient for e in rule.coefficients.values()], abs=0.02 * float(sd.max())
        )


def test_what_has_no_stability() -> None:
    selection = select_scored(scores(), make_rule(covariance=None, df_resid=None, sigma=None), top=5)
    with pytest.raises(
        SelectionError, match="has no covariance: its stability can only be told from the runs"
    ):
        selection_stability(selection, refits=10)
    with pytest.raises(SelectionError, match="refits must be at least 2; got 1"):
        selection_stability(selection, refits=1)
    with pytest.raises(SelectionError, match="keeps no row"):
        selection_stability(select_scored(scores(), make_rule(), threshold=-9.0), refits=10)
    few = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 1.0, 2.0], "loss": [1.0, 2.0, 2.5]})
    with pytest.raises(SelectionError, match="draws of the 3 runs do not determine the coefficients"):
        selection_stability(selection, refits=50, runs=few)


def test_a_refit_below_whose_threshold_no_quota_holds_keeps_nothing() -> None:
    frame = scores()
    lowest = np.sort(predictions(frame, np.array([1.0, 0.3, -0.2])))
    limits = Quota("source", {"*": (None, 0.5)})
    chosen = select_scored(frame, make_rule(), threshold=float(lowest[5]), quota=limits)
    stability = selection_stability(chosen, refits=200)
    assert (stability.sizes == 0).any()
    assert (stability.jaccard[stability.sizes == 0] == 0).all()
    assert stability.sizes.max() > chosen.kept_count


def test_inclusion_stands_in_the_table(tmp_path: Path) -> None:
    from dataclasses import replace

    selection = select_scored(scores(), make_rule(), top=20)
    stability = selection_stability(selection, refits=50)
    with_it = replace(selection, stability=stability)
    assert with_it.table["inclusion"].null_count() == 4
    joined = scores().with_columns(own=pl.Series(stability.inclusion)).join(with_it.table, on="id")
    assert (
        joined.filter(pl.col("inclusion").is_not_null())
        .select((pl.col("own") == pl.col("inclusion")).all())
        .item()
    )
    with_it.write_table(tmp_path / "t.parquet")
    assert pl.read_parquet(tmp_path / "t.parquet").equals(with_it.table)


def written(selection: Selection, folder: Path) -> bytes:
    selection.write_table(folder / "table.parquet")
    return (folder / "table.parquet").read_bytes()


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    frame, quota = scores(500), Quota("source", {"*": (10, 0.4)})
    first = written(select_scored(frame, make_rule(), top=90, quota=quota), tmp_path)
    for seed in (1, 2):
        shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
        assert written(select_scored(shuffled, make_rule(), top=90, quota=quota), tmp_path) == first


def test_parts_of_the_table_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = select_scored(scores(500), make_rule(), top=90)
    whole = selection.table
    monkeypatch.setattr("imine.selection.table._PART", 128)
    written(selection, tmp_path)
    assert pl.read_parquet(tmp_path / "table.parquet").equals(whole)


AGAIN = """
import sys, numpy as np, polars as pl, hashlib, json
from pathlib import Path
from imine.selection import Diversity, select_scored, selection_stability
from imine.rules import Estimate, Rule, Term
rng = np.random.default_rng(0)
n = 20_000
vectors = rng.normal(size=(n, 64)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1)[:, None]
frame = pl.DataFrame({"id": [f"r{i}" for i in range(n)], "x": rng.normal(size=n), "y": rng.normal(size=n)})
terms = (Term(name="x", coefficient=0.3), Term(name="y", coefficient=-0.2))
covariance = ((0.0009, 0.0001, 0.0), (0.0001, 0.0004, 0.0002), (0.0, 0.0002, 0.0016))
rule = Rule(name="two", intercept=Estimate(coefficient=1.0), terms=terms, covariance=covariance, df_resid=20, sigma=0.1)
diverse = select_scored(frame, rule, top=300, diversity=Diversity(), embeddings=vectors)
plain = select_scored(frame, rule, fraction=0.2)
stability = selection_stability(plain, refits=20)
diverse.write_table(Path(sys.argv[1]) / "a.parquet")
plain.write_table(Path(sys.argv[1]) / "b.parquet")
parts = [(Path(sys.argv[1]) / name).read_bytes() for name in ("a.parquet", "b.parquet")]
parts.append(stability.inclusion.tobytes() + stability.jaccard.tobytes())
print(json.dumps([hashlib.sha256(part).hexdigest() for part in parts]))
"""


def test_number_of_threads_does_not_matter(tmp_path: Path) -> None:
    found = []
    for threads in ("1", "3"):
        names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        done = subprocess.run(
            [sys.executable, "-c", AGAIN, str(tmp_path)],
            env=os.environ | dict.fromkeys(names, threads) | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
