"""The statistics of a comparison: known answers, a plain twin, and what they do where nothing differs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from imine.regression.choosing.univariate import holm
from imine.selection.comparison import contrast

TOKENS = np.array([10.0, 20.0, 30.0, 5.0])


def table(by_seed: list[float]) -> np.ndarray:
    """Losses that differ by seed, not by example: nats a token."""
    return np.outer(by_seed, TOKENS)


def test_without_variation_among_examples_the_paired_interval_is_students() -> None:
    differences = np.array([-0.03, -0.01, -0.02, -0.04, 0.0])
    found = contrast(
        table(differences + np.arange(1, 6)), table([1, 2, 3, 4, 5]), TOKENS, paired=True, repeats=400_000
    )
    plain = stats.ttest_1samp(differences, 0.0)
    low, high = plain.confidence_interval(0.95)
    assert found.value == pytest.approx(-0.02, abs=1e-12)
    assert found.seed_error == pytest.approx(stats.sem(differences), rel=1e-12)
    # Quantiles of 400,000 draws of t with 4 degrees of freedom: within 1.5 % of the width.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.015 * (high - low))
    assert found.p == pytest.approx(plain.pvalue, rel=0.03)
    assert found.example_error == pytest.approx(0.0, abs=1e-12)


def test_without_variation_among_examples_the_unpaired_interval_is_welchs() -> None:
    first, second = [1.0, 1.1, 1.2, 0.9, 1.05], [1.3, 1.0, 1.6, 1.2]
    found = contrast(table(first), table(second), TOKENS, paired=False, repeats=400_000)
    plain = stats.ttest_ind(first, second, equal_var=False)
    low, high = plain.confidence_interval(0.95)
    assert found.seed_error == pytest.approx(math.hypot(stats.sem(first), stats.sem(second)), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.015 * (high - low))
    assert found.p == pytest.approx(plain.pvalue, rel=0.03)


def ratio_error(difference: np.ndarray, tokens: np.ndarray) -> float:
    residuals = difference - difference.sum() / tokens.sum() * tokens
    return float(np.sqrt((residuals**2).sum() * len(tokens) / (len(tokens) - 1)) / tokens.sum())


def test_without_variation_among_seeds_it_is_the_bootstrap_t_of_the_ratio() -> None:
    rng = np.random.default_rng(1)
    tokens = rng.integers(5, 200, 60).astype(float)
    base = rng.gamma(2.0, 0.5, 60) * tokens
    better = base - rng.normal(0.02, 0.1, 60) * tokens
    found = contrast(
        np.tile(better, (3, 1)), np.tile(base, (3, 1)), tokens, paired=True, repeats=40_000, level=0.9
    )
    difference, twin = better - base, []
    value, error = difference.sum() / tokens.sum(), ratio_error(difference, tokens)
    for _ in range(20_000):
        rows = rng.integers(60, size=60)
        off = difference[rows].sum() / tokens[rows].sum() - value
        twin.append(value - off / ratio_error(difference[rows], tokens[rows]) * error)
    low, high = np.quantile(twin, [0.05, 0.95])
    assert found.value == pytest.approx(value, rel=1e-12)
    assert found.example_error == pytest.approx(error, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low))
    share = float(np.mean(np.array(twin) >= 0))
    assert found.p == pytest.approx(2 * min(share, 1 - share), abs=0.01)


def test_what_varies_among_all_models_alike_is_no_difference() -> None:
    """Hard examples are hard for both: only the difference counts."""
    rng = np.random.default_rng(2)
    tokens = np.full(40, 50.0)
    hard = rng.gamma(1.0, 2.0, 40) * tokens
    first = np.tile(hard - 0.01 * tokens, (4, 1))
    found = contrast(first, np.tile(hard, (4, 1)), tokens, paired=True)
    assert (found.low, found.high) == pytest.approx((-0.01, -0.01), abs=1e-9)
    assert found.p == pytest.approx(2 / 20_001)


def test_wins_ties_and_losses_go_by_the_mean_over_seeds() -> None:
    base = table([1.0, 1.0])
    first = base + np.array([[-0.3, 0.1, 0.2, 0.0], [0.1, 0.1, 0.2, 0.09]])
    found = contrast(first, base, TOKENS, paired=True, tie=0.0091)
    # Mean differences a token: -0.01, 0.005, 0.00667, 0.009.
    assert (found.wins, found.ties, found.losses) == (1, 3, 0)


def test_the_same_models_cannot_be_told_apart() -> None:
    same = np.random.default_rng(3).normal(100, 1, (5, 4))
    found = contrast(same, same, TOKENS, paired=True)
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(100, 1, (2, 5, 4))
    assert contrast(first, second, TOKENS, paired=False, seed=7) == contrast(
        first, second, TOKENS, paired=False, seed=7
    )
    assert contrast(first, second, TOKENS, paired=False, seed=7) != contrast(
        first, second, TOKENS, paired=False, seed=8
    )


@pytest.mark.parametrize(
    ("first", "second", "tokens", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), np.ones(3), "same two or more examples"),
        (np.ones((1, 3)), np.ones((2, 3)), np.ones(3), "two or more seeds"),
        (np.ones((3, 3)), np.ones((2, 3)), np.ones(3), "as many in both groups if paired"),
        (np.full((2, 3), np.nan), np.ones((2, 3)), np.ones(3), "must be finite"),
        (np.ones((2, 3)), np.ones((2, 3)), np.zeros(3), "tokens positive"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    first: np.ndarray, second: np.ndarray, tokens: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        contrast(first, second, tokens, paired=True)


@pytest.mark.parametrize("count", [2, 3])
def test_two_or_three_examples_prove_nothing(count: int) -> None:
    # So few that a resample is often one of them alone, which has no spread: that is no certainty.
    base = np.tile([40.0, 60.0, 50.0][:count], (3, 1))
    found = contrast(base - [[4.0, 7.0, 6.0][:count]], base, [10, 10, 10][:count], paired=True, repeats=2000)
    assert found.value < 0
    assert found.low < found.value < found.high
    assert found.low < 0 < found.high
    assert found.p > 0.05
    assert all(np.isfinite([found.low, found.high, found.p]))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


# Standard deviations in nats a token: of the noise of a seed in each group, of what the two groups share in a seed,
# of an example's own difference, and of the interaction of seeds and examples.
WORLDS = {
    "seeds": (0.01, 0.01, 0.0, 0.01, 0.01),
    "one noisy group": (0.002, 0.02, 0.0, 0.01, 0.01),
    "shared parts": (0.005, 0.005, 0.03, 0.02, 0.02),
    "examples": (0.001, 0.001, 0.0, 0.1, 0.02),
    "both": (0.01, 0.01, 0.0, 0.1, 0.05),
    "interaction": (0.0, 0.0, 0.0, 0.0, 0.1),
}


def null_world(
    name: str, seeds: int, examples: int
) -> Callable[[np.random.Generator], tuple[np.ndarray, ...]]:
    """Two groups whose expected loss is the same over all seeds and examples."""
    first_sd, second_sd, shared_sd, example_sd, cell_sd = WORLDS[name]

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        tokens = np.maximum(2, rng.lognormal(4.5, 0.7, examples).round())
        hard = rng.gamma(4.0, 0.4, examples)
        shared = rng.normal(0, shared_sd, (seeds, 1))
        # Skewed, as examples' differences are; the mean is 0 whatever the tokens.
        own = example_sd * (rng.exponential(1.0, examples) - 1.0)
        first = (
            hard
            + own
            + shared
            + rng.normal(0, first_sd, (seeds, 1))
            + rng.normal(0, cell_sd, (seeds, examples))
        )
        second = (
            hard + shared + rng.normal(0, second_sd, (seeds, 1)) + rng.normal(0, cell_sd, (seeds, examples))
        )
        return first * tokens, second * tokens, tokens

    return draw


def rates(
    name: str, *, paired: bool, seeds: int, examples: int, worlds: int, repeats: int
) -> tuple[float, float]:
    """Coverage of the 95 % interval and share of p below 0.05, where nothing differs."""
    rng, draw = np.random.default_rng([len(name), seeds, examples, paired]), null_world(name, seeds, examples)
    found = [contrast(*draw(rng), paired=paired, repeats=repeats, seed=i) for i in range(worlds)]
    covered = sum(c.low <= 0 <= c.high for c in found)
    return covered / worlds, sum(c.p < 0.05 for c in found) / worlds


@pytest.mark.parametrize(("name", "paired"), [("seeds", False), ("both", True)])
def test_under_the_null_few_differences_are_told(name: str, paired: bool) -> None:
    coverage, size = rates(name, paired=paired, seeds=5, examples=60, worlds=400, repeats=1000)
    # 400 worlds: two standard errors are 0.022.
    assert coverage >= 0.92
    assert size <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("name", WORLDS)
def test_coverage_and_size_under_the_null(name: str, paired: bool) -> None:
    for seeds, examples in ((5, 80), (5, 252)):
        coverage, size = rates(name, paired=paired, seeds=seeds, examples=examples, worlds=2000, repeats=1500)
        # 2,000 worlds: two standard errors are 0.01.
        assert coverage >= 0.93
        assert size <= 0.07
