import math

import numpy as np
import pytest
from scipy.stats import t as student

from imine.errors import RegressionError
from imine.regression import fit_ols
from imine.regression.after_choosing import ForwardStepwise, aggregate, multi_split, split_inference
from imine.regression.results import Array

NAMES = ["a", "b", "c", "d"]
STEP = ForwardStepwise(steps=2)


def study(seed: int = 0, n: int = 61) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, X[:, 0] + 0.3 * X[:, 1] + rng.normal(size=n)


def test_split_infers_on_rows_that_did_not_choose() -> None:
    X, y = study()
    seen = []

    def procedure(part: Array, _: Array) -> list[int]:
        seen.append(part.copy())
        return [3, 0]

    split = split_inference(X, y, NAMES, procedure, seed=4)
    assert sorted([*split.choosing, *split.inferring]) == list(range(61))
    assert len(split.choosing) == 30
    np.testing.assert_array_equal(seen[0], X[split.choosing])
    plain = fit_ols(X[split.inferring][:, [3, 0]], y[split.inferring], ["d", "a"])
    assert split.names == ("d", "a")
    np.testing.assert_array_equal(split.params, plain.params[1:])
    np.testing.assert_array_equal(split.p, plain.p[1:])
    np.testing.assert_array_equal(split.conf_int(0.9), plain.conf_int(0.9)[1:])


def test_split_is_seeded() -> None:
    X, y = study()
    one, same, other = (split_inference(X, y, NAMES, STEP, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.choosing, same.choosing)
    assert one.choosing.tolist() != other.choosing.tolist()
    assert len(split_inference(X, y, NAMES, STEP, fraction=0.25).choosing) == 15


def test_split_without_a_choice() -> None:
    X, y = study()
    split = split_inference(X, y, NAMES, lambda X, y: [])
    assert split.names == ()
    assert split.conf_int().shape == (0, 2)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "fraction must lie", {"fraction": 1.0}),
        (ValueError, r"returned \[4\]", {"procedure": lambda X, y: [4]}),
        (ValueError, r"returned \[1, 1\]", {"procedure": lambda X, y: [1, 1]}),
        (ValueError, "names one entry a candidate", {"names": ["a"]}),
        (RegressionError, "runs are too few", {"fraction": 0.97}),
    ],
)
def test_splits_that_cannot_be(error: type[Exception], message: str, arguments: dict) -> None:
    X, y = study()
    with pytest.raises(error, match=message):
        split_inference(**{"X": X, "y": y, "names": NAMES, "procedure": STEP, **arguments})


def test_missing_values_are_refused() -> None:
    X, y = study()
    X[3, 2] = math.nan
    with pytest.raises(RegressionError, match="finite"):
        split_inference(X, y, NAMES, STEP)


def naive_aggregate(p: Array, gamma_min: float) -> float:
    """The definition, over a fine grid of gamma: quantiles of ``p / gamma``, the smallest, and the factor."""
    p = np.sort(p)
    best = 1.0
    for gamma in np.arange(1, 100_001) / 100_000:
        if gamma >= gamma_min:
            best = min(best, p[max(math.ceil(gamma * len(p) - 1e-9), 1) - 1] / gamma)
    return min(1.0, (1.0 - math.log(gamma_min)) * best)


@pytest.mark.parametrize("splits", [1, 20, 50])
@pytest.mark.parametrize("gamma_min", [0.05, 0.5])
def test_aggregate_against_its_definition(splits: int, gamma_min: float) -> None:
    p = np.random.default_rng(splits).uniform(size=splits) ** 4
    assert aggregate(p[:, None], gamma_min)[0] == pytest.approx(naive_aggregate(p, gamma_min), rel=1e-9)


def test_multi_split_p_values() -> None:
    X, y = study()
    found = multi_split(X, y, NAMES, STEP, splits=20, seed=3)
    p, adjusted = np.ones((20, 4)), np.ones((20, 4))
    for split, seed in enumerate(np.random.SeedSequence(3).spawn(20)):
        order = np.random.default_rng(seed).permutation(61)
        choosing, inferring = np.sort(order[:30]), np.sort(order[30:])
        chosen = STEP(X[choosing], y[choosing])
        fit = fit_ols(X[inferring][:, chosen], y[inferring], [NAMES[j] for j in chosen])
        p[split, chosen] = fit.p[1:]
        adjusted[split, chosen] = np.minimum(1.0, len(chosen) * fit.p[1:])
    np.testing.assert_allclose(found.p_single, [naive_aggregate(column, 0.05) for column in p.T])
    np.testing.assert_allclose(found.p, [naive_aggregate(column, 0.05) for column in adjusted.T])
    np.testing.assert_allclose(found.chosen_share, (p < 1).mean(axis=0))


@pytest.mark.parametrize("familywise", [False, True])
def test_multi_split_intervals_are_what_is_not_rejected(familywise: bool) -> None:
    X, y = study()
    found = multi_split(X, y, NAMES, STEP, splits=20, seed=3)
    low, high = found.conf_int(0.9, familywise=familywise)[0]
    sizes = np.isfinite(found.estimates).sum(axis=1) if familywise else np.ones(20)
    here = np.isfinite(found.estimates[:, 0])

    def p_of(value: float) -> float:
        p = np.ones(20)
        t = np.abs(found.estimates[here, 0] - value) / found.std_errors[here, 0]
        p[here] = np.minimum(1.0, sizes[here] * 2 * student.sf(t, found.df[here]))
        return float(aggregate(p[:, None])[0])

    eps = 1e-9
    assert p_of(low - eps) <= 0.1 <= p_of(low + eps) + 1e-6
    assert p_of(high + eps) <= 0.1 <= p_of(high - eps) + 1e-6
    for value in np.linspace(low - 3, low - eps, 40):
        assert p_of(value) <= 0.1
    assert p_of(0.5 * (low + high)) > 0.1


def test_rarely_chosen_has_no_interval_and_says_why() -> None:
    X, y = study()
    found = multi_split(X, y, NAMES, lambda X, y: [0], splits=20)
    interval = found.intervals()[1]
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert "chosen in 0 of 20 splits" in str(interval.why)
    assert found.p[1] == 1.0
    assert math.isfinite(found.intervals()[0].low)


def test_same_for_any_number_of_workers() -> None:
    X, y = study(1)
    one, two = (multi_split(X, y, NAMES, STEP, splits=4, workers=w) for w in (1, 2))
    np.testing.assert_array_equal(one.estimates, two.estimates)
    np.testing.assert_array_equal(one.p, two.p)


def test_a_procedure_that_cannot_travel() -> None:
    X, y = study()
    with pytest.raises(ValueError, match="workers=1"):
        multi_split(X, y, NAMES, lambda X, y: [0], splits=4, workers=2)
    with pytest.raises(ValueError, match="workers must be at least 1"):
        multi_split(X, y, NAMES, STEP, splits=4, workers=0)
    with pytest.raises(ValueError, match="gamma_min must lie"):
        multi_split(X, y, NAMES, STEP, gamma_min=0.0)
