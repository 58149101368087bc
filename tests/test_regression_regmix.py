"""512 real proxy runs predict 256 others (tests/data/regmix)."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from imine.errors import RegressionError
from imine.regression import fit_ols
from imine.regression.after_choosing import ForwardStepwise
from imine.regression.results import Array
from imine.regression.validation import KFold, Predicted, Score, cross_validate, score

FOLDER = Path(__file__).parent / "data" / "regmix"
# Shares sum to one up to their rounding, so that one of them says nothing new.
LEFT_OUT = "uspto_backgrounds"


def runs(part: str) -> tuple[Array, Array, list[str]]:
    frame = pl.read_csv(FOLDER / f"{part}.csv")
    X = frame.drop("loss_pile_cc", LEFT_OUT)
    return X.to_numpy().astype(float), np.log(frame["loss_pile_cc"].to_numpy()), X.columns


def held_out(procedure: ForwardStepwise | None) -> Score:
    X, y, names = runs("train")
    chosen = list(range(X.shape[1])) if procedure is None else procedure(X, y)
    fit = fit_ols(X[:, chosen], y, [names[j] for j in chosen])
    unseen, truth, _ = runs("test")
    found = fit.predict(unseen[:, chosen], interval="observation")
    return score(Predicted(truth, found.mean, found.low, found.high, np.full(len(truth), y.mean()), 0.95))


@pytest.mark.parametrize("procedure", [None, ForwardStepwise(criterion="bic")], ids=["all", "chosen"])
def test_held_out_runs(procedure: ForwardStepwise | None) -> None:
    found = held_out(procedure)
    assert found.n_runs == 256
    assert found.level.r2 >= 0.78
    assert 0.93 <= found.intervals.coverage <= 0.98


def test_held_out_figures() -> None:
    """The figures of docs/validation.md."""
    found = held_out(None)
    assert found.level.r2 == pytest.approx(0.7888, abs=5e-5)
    assert found.intervals.coverage == 247 / 256
    assert found.rank.spearman == pytest.approx(0.9059, abs=5e-5)


def test_cross_validation_foretells_the_held_out_error() -> None:
    X, y, names = runs("train")
    found = cross_validate(X, y, names, ForwardStepwise(criterion="bic"), scheme=KFold(10))
    assert found.repeats[0].level.r2 == pytest.approx(held_out(None).level.r2, abs=0.05)
    assert 0.93 <= found.repeats[0].intervals.coverage <= 0.98


def test_exact_shares_are_dependent() -> None:
    X, y, names = runs("train")
    last = 1.0 - X.sum(axis=1)
    with pytest.raises(RegressionError, match="combination of"):
        fit_ols(np.column_stack([X, last]), y, [*names, LEFT_OUT])
