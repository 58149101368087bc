"""Findings of made-up runs whose truth is known, and of the shipped ones."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats
from typer.testing import CliRunner

from imine._cli import app
from imine.errors import RegressionError
from imine.regression import fit_ols, prepare_runs
from imine.regression.validation import KFold, cross_validate
from imine.rendering import format_p
from imine.study.findings import FindingsSettings, rank_correlation, study_findings
from imine.study.findings.compute import Findings
from imine.study.findings.evaluations import compare_sets
from imine.study.findings.noise import noise_of_repeats, repeat_labels
from imine.study.findings.numbers import WholeGroups, held_out, spread_interval
from imine.study.findings.pools import _robust_test, leave_pools_out, pool_shares, pools_or_indicators
from imine.study.findings.signs import compare_signs, published_signs

SHIPPED = Path(__file__).resolve().parents[1] / "imine" / "rules" / "smollm2_135m" / "runs.parquet"
QUICK = FindingsSettings(bootstrap=0, repeats=2, shares=(0.1, 0.5))


def made_up(n: int = 60, seed: int = 0, noise: float = 0.01) -> pl.DataFrame:
    """Runs of three pools whose loss follows mtld on one set, and mtld and knn_6 on the other."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet([0.5] * 3, n)
    rows = np.array([rng.multinomial(40, w) for w in weights])
    mtld, knn = 60 + 10 * weights[:, 0] + rng.normal(0, 2, n), 1 + rng.normal(0, 0.1, n)
    length = rng.normal(100, 10, n)
    common = 0.01 * mtld + rng.normal(0, noise, n)
    return pl.DataFrame(
        {
            "run_id": np.arange(n),
            "mtld": mtld,
            "mtld__sd": np.full(n, 20.0),
            "mtld__n": np.full(n, 40),
            "knn_6": knn,
            "output_length": length,
            **{f"rows_{p}": rows[:, i] for i, p in enumerate("abc")},
            "loss": np.exp(common),
            "loss_one": np.exp(common + rng.normal(0, noise / 4, n)),
            "loss_two": np.exp(common + 0.5 * knn + rng.normal(0, noise / 4, n)),
        }
    )


@pytest.fixture(scope="module")
def found() -> Findings:
    return study_findings(made_up(), QUICK)


def test_the_true_term_is_chosen_and_its_interval_holds_the_truth(found: Findings) -> None:
    assert found.after is not None
    assert found.after.rule.indicators == ("mtld",)
    low, high = found.before.results.conf_int()[1]
    assert low < 0.01 < high


def test_held_out_is_the_cross_validation_of_the_same_folds(found: Findings) -> None:
    data = prepare_runs(made_up())
    scheme = WholeGroups(tuple(range(60)), 10, 2, 0)
    plain = cross_validate(data.X, data.y, data.names, scheme=scheme)
    fixed = found.held_out[0]
    assert fixed.r2.value == pytest.approx(plain.spread(lambda s: s.level.r2).mean, rel=1e-12)
    assert fixed.spearman is not None
    assert fixed.spearman.value == plain.spread(lambda s: s.rank.spearman).mean
    assert fixed.r2.low < fixed.r2.value < fixed.r2.high
    assert fixed.n == 60


def test_whole_groups_are_held_out_together() -> None:
    labels = tuple(i // 2 for i in range(20))
    for fold in WholeGroups(labels, 4, 3, 1).folds(20):
        inside = {labels[i] for i in fold.rows}
        assert len(fold.rows) == 2 * len(inside)
    with pytest.raises(ValueError, match="one entry for each of the 3 runs"):
        WholeGroups(("a",)).folds(3)


def test_a_run_predicted_twice_counts_once_in_the_interval() -> None:
    data = prepare_runs(made_up(30))
    one = cross_validate(data.X, data.y, data.names, scheme=WholeGroups(tuple(range(30)), 5))
    twice = replace(one, folds=one.folds + one.folds)
    a, b = (held_out(c, "", "", level=0.95, seed=0) for c in (one, twice))
    assert b.n == a.n == 30
    assert b.r2.value == pytest.approx(a.r2.value)
    assert (b.r2.low, b.r2.high) == pytest.approx((a.r2.low, a.r2.high))


def test_leaving_a_pool_out_fits_on_runs_with_little_of_it() -> None:
    frame = made_up()
    data, shares = prepare_runs(frame), pool_shares(frame)
    assert shares is not None
    part = leave_pools_out(data, shares, 0.5, None, terms="all", level=0.95, seed=0)
    pool = part.pools[0]
    of_a = shares.values[:, 0] > 0.5
    assert (pool.n_fitted, pool.n_predicted) == (int((~of_a).sum()), int(of_a.sum()))
    fit = fit_ols(data.X[~of_a], data.y[~of_a], data.names)
    error = fit.predict(data.X[of_a]).mean - data.y[of_a]
    assert pool.bias == pytest.approx(error.mean())
    assert pool.rmse == pytest.approx(math.sqrt((error**2).mean()))
    assert pool.rmse_mean == pytest.approx(math.sqrt(((data.y[of_a] - data.y[~of_a].mean()) ** 2).mean()))
    assert part.together is not None
    assert part.together.r2.value > 0.5


def test_a_pool_that_every_run_has_cannot_be_left_out() -> None:
    frame = made_up().with_columns(rows_a=pl.col("rows_a") + 1)
    data, shares = prepare_runs(frame), pool_shares(frame)
    assert shares is not None
    part = leave_pools_out(data, shares, 0.0, None, terms="all", level=0.95, seed=0)
    assert part.pools[0].why is not None
    assert "leave out some runs and keep some" in part.pools[0].why
    assert part.pools[1].why is None


def test_indicators_that_say_more_than_the_pools() -> None:
    frame = made_up(seed=1)
    data, shares = prepare_runs(frame), pool_shares(frame)
    assert shares is not None
    found = pools_or_indicators(data, shares, WholeGroups(tuple(range(60)), 5), title="", level=0.95, seed=0)
    pools, indicators, both = (part.r2.value for part in found.held_out)
    assert pools < indicators
    assert found.r2[2] >= max(found.r2[:2])
    assert found.p < 1e-6
    small = fit_ols(shares.values[:, :2], data.y, ["a", "b"])
    large = fit_ols(np.column_stack([shares.values[:, :2], data.X]), data.y, ["a", "b", *data.names])
    f = ((small.residuals**2).sum() - (large.residuals**2).sum()) / 3 / large.sigma**2
    assert found.f == pytest.approx(f)
    assert both > 0.5
    assert found.robust is not None
    assert (found.robust.kind, found.robust.df) == ("HC3", (3, found.df[1]))
    assert found.robust.p < 1e-6


def test_beside_the_pools_unequal_noise_is_allowed_for() -> None:
    """Where the noise grows with an indicator that does nothing, its usual test is wrong too often and HC3's is not."""
    usual, robust = 0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shares, x = rng.dirichlet([1.0, 1.0, 1.0], 60), rng.normal(0, 1, 60)
        y = shares @ [0.1, 0.2, 0.3] + 0.05 * x**2 * rng.normal(0, 1, 60)
        X, names = np.column_stack([shares[:, :2], x]), ["a", "b", "mtld"]
        found = _robust_test(X, names, y, 1, None)
        assert found is not None
        usual, robust = usual + (fit_ols(X, y, names).p[-1] < 0.05), robust + (found.p < 0.05)
    assert usual > 20
    assert robust < 12


def test_repeats_of_a_subset_are_one_in_the_robust_test() -> None:
    frame = made_up(seed=1)
    data, shares = prepare_runs(frame), pool_shares(frame)
    assert shares is not None
    subsets = [i // 2 for i in range(60)]
    found = pools_or_indicators(data, shares, KFold(5), title="", level=0.95, seed=0, subsets=subsets)
    assert found.robust is not None
    assert (found.robust.kind, found.robust.df) == ("cluster", (3, 29))


def test_the_difference_of_two_sets_is_that_of_the_coefficients(found: Findings) -> None:
    (pair,) = found.sets
    assert pair.names == ("one", "two")
    for term in pair.terms:
        assert term.difference.value == pytest.approx(term.a.value - term.b.value, abs=1e-12)
    knn = next(term for term in pair.terms if term.name == "knn_6")
    assert knn.difference.low < -0.5 < knn.difference.high
    assert knn.p < 1e-6
    assert pair.p < 1e-6


def test_sets_that_differ_by_noise_alone_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(3)
    p = []
    for seed in range(40):
        frame = made_up(40, seed).with_columns(loss_two=pl.col("loss_one") * np.exp(rng.normal(0, 0.005, 40)))
        p.append(compare_sets(prepare_runs(frame), 0.95)[0].p)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_signs_beside_the_published_ones() -> None:
    frame = made_up().with_columns(
        loss=pl.col("loss") * np.exp(-0.5 * pl.col("knn_6") - 0.002 * pl.col("output_length"))
    )
    data = prepare_runs(frame)
    signs = {s.name: s for s in compare_signs(data, fit_ols(data.X, data.y, data.names), 0.95)}
    assert signs["knn_6"].verdict(signs["knn_6"].together) == "agrees"
    assert signs["output_length"].verdict(signs["output_length"].together) == "disagrees"
    assert signs["mtld"].verdict(signs["mtld"].alone) == "no published sign"
    assert signs["reward"].verdict(signs["reward"].alone) == "not in these runs"
    assert set(published_signs()) == {
        "reward", "output_length", "knn_6", "understandability", "naturalness", "coherence"
    }  # fmt: skip


def test_repeats_give_the_noise_and_are_found_by_their_means() -> None:
    rng = np.random.default_rng(0)
    base = made_up(30, noise=0.0)
    frame = pl.concat([base] * 4).with_columns(
        run_id=pl.Series(np.arange(120)),
        loss=pl.concat([base["loss"]] * 4) * np.exp(rng.normal(0, 0.02, 120)),
    )
    data = prepare_runs(frame)
    labels = repeat_labels(frame, data.names)
    assert len(set(labels)) == 30
    repeats = noise_of_repeats(data, fit_ols(data.X, data.y, data.names), labels, 0.95)
    assert repeats is not None
    assert (repeats.subsets, repeats.runs, repeats.df) == (30, 120, 90)
    assert repeats.sd.low < 0.02 < repeats.sd.high
    assert repeats.ceiling.value == pytest.approx(1 - repeats.sd.value**2 / data.y.var(ddof=1))
    assert repeats.ceiling.low == pytest.approx(1 - repeats.sd.high**2 / data.y.var(ddof=1))
    assert repeats.ceiling.low < repeats.ceiling.value < repeats.ceiling.high < 1
    assert noise_of_repeats(data, fit_ols(data.X, data.y, data.names), list(range(120)), 0.95) is None


def test_a_design_tells_repeats_by_their_rows_whatever_the_order() -> None:
    frame = pl.DataFrame({"run_id": [0, 1, 2], "mtld": [1.0, 2.0, 3.0]})
    design = pl.DataFrame({"run": [0, 0, 1, 1, 2, 2], "id": ["a", "b", "b", "a", "a", "c"]})
    labels = repeat_labels(frame, ["mtld"], design=design)
    assert labels[0] == labels[1] != labels[2]


def test_a_study_with_repeats_says_them_itself() -> None:
    frame = pl.DataFrame(
        {"run_id": [0, 1, 1000000], "mtld": [1.0, 1.0, 1.0], "subset": [0, 1, 0], "repeat": [0, 0, 1]}
    )
    assert repeat_labels(frame, ["mtld"]) == [0, 1, 0]
    with pytest.raises(RegressionError, match="replicates: the runs have no column pair"):
        repeat_labels(frame, ["mtld"], "pair")


def test_a_repeated_subset_counts_once_among_the_subset_means() -> None:
    runs = made_up(20)
    subsets = runs.with_columns(subset=pl.col("run_id"), repeat=pl.lit(0))
    again = subsets[:6].with_columns(pl.col("run_id") + 1_000_000, pl.col("loss") * 1.001, repeat=pl.lit(1))
    assert study_findings(pl.concat([subsets, again]), QUICK).spreads == study_findings(runs, QUICK).spreads


def test_repeats_get_intervals_by_subsets_beside_the_usual_ones() -> None:
    runs = made_up(20).with_columns(subset=pl.col("run_id"), repeat=pl.lit(0))
    again = runs[:6].with_columns(pl.col("run_id") + 1_000_000, pl.col("loss") * 1.001, repeat=pl.lit(1))
    found = study_findings(pl.concat([runs, again]), QUICK)
    data = found.before.data
    apart = fit_ols(data.X, data.y, data.names, covariance="cluster", groups=data.frame["subset"].to_list())
    low, high = apart.conf_int(0.95)[1]
    row = next(line for line in found.markdown().splitlines() if line.startswith(f"| {data.names[0]} | "))
    assert row.endswith(f"| [{low:.3g}, {high:.3g}] | {format_p(float(apart.p[1]))} |")
    assert "interval by subsets" not in study_findings(runs, QUICK).markdown()


def test_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    rho, hits = 0.6, 0
    truth = 6 / math.pi * math.asin(rho / 2)
    for _ in range(300):
        a, b = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 60).T
        found = rank_correlation(a, b, 0.9)
        hits += found.low < truth < found.high
    assert 0.85 < hits / 300 < 0.95
    draws = rng.normal(size=(2000, 9)).std(axis=1, ddof=1)
    inside = [i.low < 1 < i.high for i in (spread_interval(float(sd), 8, 0.9) for sd in draws)]
    assert 0.88 < np.mean(inside) < 0.92
    with pytest.raises(ValueError, match="at least 4 runs"):
        rank_correlation([1, 2, 3], [1, 2, 3], 0.9)


def test_no_choice_is_said_not_hidden() -> None:
    frame = made_up().with_columns(loss=pl.Series(np.exp(np.random.default_rng(5).normal(0, 0.01, 60))))
    found = study_findings(frame.drop("loss_one", "loss_two"), QUICK)
    assert found.after is None
    assert found.why_not
    assert "No terms were chosen" in found.markdown()


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="folds must be at least 2"):
        FindingsSettings(folds=1)
    with pytest.raises(ValueError, match="shares must lie"):
        FindingsSettings(shares=(1.0,))


def test_the_command_on_the_shipped_runs(tmp_path: Path) -> None:
    out = tmp_path / "findings.md"
    args = ["study", "findings", str(SHIPPED), "-o", str(out), "--bootstrap", "0", "--shares", "0.25"]
    assert CliRunner().invoke(app, args).exit_code == 0
    text = out.read_text()
    for heading in (
        "# Findings: smollm2-135m",
        "## Coefficients before selection",
        "## Coefficients after selection",
        "## Error on runs held out",
        "## Leaving one pool out",
        "## Pools or indicators",
        "## Signs beside the published rules",
        "## Spread of subset means and of examples",
        "## Evaluation sets selfinstruct_gpt4 and mtbench",
        "## Noise of a run",
    ):
        assert heading in text
    data = prepare_runs(SHIPPED)
    mtld = fit_ols(data.X, data.y, data.names).params[1 + data.names.index("mtld")]
    assert f"| mtld | {mtld:.4g} |" in text
    assert "18 runs on 6 repeated subsets" in text
