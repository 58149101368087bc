"""``imine fit`` with a choice of terms, and ``imine study power``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.__main__ import main
from imine.regression import Pilot, power_curve, prepare_runs, runs_needed

NAMES = ["mtld", "output_length", "log_perplexity", "knn_10"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(40, 4))
    y = 0.15 * X[:, 0] - 0.15 * X[:, 3] + rng.normal(0, 0.05, 40)
    y[7] += 0.5
    frame = pl.DataFrame({name: X[:, j] for j, name in enumerate(NAMES)}).with_columns(
        run_id=pl.Series([f"r{i}" for i in range(40)]),
        pool=pl.Series([f"p{i % 8}" for i in range(40)]),
        subset=pl.Series([i // 2 for i in range(40)]),
        loss=pl.Series(np.exp(y)),
    )
    frame.write_parquet(tmp_path / "runs.parquet")
    return tmp_path / "runs.parquet"


def run(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def test_every_option_reaches_the_rule(capsys: Any, runs: Path, tmp_path: Path) -> None:
    options = ["--choose", "both", "--criterion", "bic", "--force-in", "output_length", "--force-out"]
    options += [
        "log_perplexity",
        "--max-terms",
        3,
        "--bootstrap",
        50,
        "--validate",
        "kfold:5x1",
        "--validate",
    ]
    options += ["column:pool", "--permutations", 9, "--cluster", "pool", "--seed", 4, "--level", 0.9]
    code, out, err = run(capsys, "fit", runs, "-o", tmp_path / "r.json", *options)
    assert code == 0
    rule = imine.load_rule(tmp_path / "r.json")
    assert rule.indicators == ("mtld", "output_length", "knn_10")
    assert (str(rule.choice), rule.choice.forced) == ("both, by bic", ("output_length",))
    assert rule.choice.settings == {"start": "null", "max_terms": 3, "forced_out": "log_perplexity"}
    assert [v.scheme for v in rule.validation] == [
        "5-fold",
        "leave one pool out",
        "10-fold, against 9 shuffles of the losses",
    ]
    assert [o.method for o in rule.other_intervals] == ["50 splits", "BCa bootstrap", "by groups"]
    assert {o.level for o in rule.other_intervals} == {0.9}
    assert (rule.stability.repeats, rule.stability.seed) == (50, 4)
    assert rule.table() in out
    assert "bootstrap: 50 resamples of the runs" in err


def test_trace_and_diagnostics(capsys: Any, runs: Path, tmp_path: Path) -> None:
    options = ["--choose", "forward", "--trace", "--diagnostics", "--validate", "none"]
    code, out, _ = run(capsys, "fit", runs, "-o", tmp_path / "r.json", *options)
    assert code == 0
    assert out.index("step 1: no terms") < out.index("ended: ") < out.index("coefficient")
    influential = out[out.index("Influential runs") :].splitlines()
    assert influential[2].startswith("r7 ")
    assert "outlier" in influential[2]
    assert "lack of fit" in out
    assert "no labels of repeated runs were given" in out
    assert imine.load_rule(tmp_path / "r.json").validation == ()
    code, out, _ = run(capsys, "fit", runs, "-o", tmp_path / "r.json", "--replicates", "subset")
    assert code == 0
    assert "no labels of repeated runs" not in out


def test_the_papers_way_shows_each_candidate_alone(capsys: Any, runs: Path, tmp_path: Path) -> None:
    options = ["--choose", "paper", "--trace", "--validate", "none"]
    code, out, _ = run(capsys, "fit", runs, "-o", tmp_path / "r.json", *options)
    assert code == 0
    assert (
        out.index("one regression a candidate") < out.index("terms have p below 0.05") < out.index("chosen: ")
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--criterion", "bic", "--max-terms", 2], "--criterion, --max-terms says how terms are chosen"),
        (["--trace"], "--trace shows how terms were chosen"),
        (["--choose", "paper", "--criterion", "bic"], "goes by p-values alone"),
        (["--choose", "forward", "--force-in", "mtld", "--force-out", "mtld"], "forced in and forced out"),
        (["--cluster", "pool", "--covariance", "HC3"], "give it or --covariance, not both"),
        (["--validate", "folds"], "validate must be kfold"),
        (["--weights", "mtld", "--bootstrap", 100], "they cannot stand beside bootstrap"),
        (["--cluster", "zeal"], "no column zeal"),
        (["--terms", " , "], "terms must be a list of at least one indicator"),
    ],
)
def test_options_that_do_not_go_together(
    capsys: Any, runs: Path, tmp_path: Path, options: list[Any], match: str
) -> None:
    code, _, err = run(capsys, "fit", runs, "-o", tmp_path / "r.json", *options)
    assert code == 2
    assert match in err
    assert "Traceback" not in err
    assert not (tmp_path / "r.json").exists()


def test_power(capsys: Any, runs: Path) -> None:
    options = ["--term", "mtld", "--power", 0.8, "--runs", "40,120", "--spread", "1,2"]
    code, out, _ = run(capsys, "study", "power", runs, *options)
    assert code == 0
    data = prepare_runs(runs)
    assert data.names == tuple(NAMES)
    pilot = Pilot.from_runs(data.X, data.y, data.names)
    rows = [line.split()[:3] for line in out.splitlines()[4:8]]
    curve = power_curve(pilot, "mtld", [40, 120], spreads=[1, 2])
    assert rows == [[str(plan.runs), f"{plan.spread:g}", f"{plan.power:.2f}"] for plan in curve]
    needed = [runs_needed(p, "mtld", power=0.8).runs for p in (pilot, pilot.cautious())]
    assert f"{needed[0]} runs give a power of 0.8; {needed[1]} if sigma" in out


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--term", "zeal"], "term must be one of mtld"),
        (["--term", "mtld", "--width", 1, "--power", 0.8], "give width or power"),
        (["--term", "mtld", "--runs", "many"], "--runs takes numbers joined by commas; got 'many'"),
        (["--term", "mtld", "--runs", "4"], "runs must be at least 6"),
    ],
)
def test_power_that_cannot_be_told(capsys: Any, runs: Path, options: list[Any], match: str) -> None:
    code, _, err = run(capsys, "study", "power", runs, *options)
    assert code == 2
    assert match in err
